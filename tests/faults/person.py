"""What people do after faults: release what is held, retry what was set aside; and whether they were told of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from running_node import wait_until

from service.backlog.ledger import LedgerRefused
from service.backlog.records import JobState

if TYPE_CHECKING:
    from faults.site import Site

    from service.backlog.records import Job


class Person:
    """Somebody who looks after a node.

    Attributes:
        did: how often something was ``released`` or ``retried``, each with its reason too, and how often of
            that nobody had been told.
    """

    def __init__(self, site: Site, progress: Callable[[], None]) -> None:
        self.did: Counter[str] = Counter()
        self._site = site
        self._progress = progress

    def settle(self, seconds: float) -> bool:
        """Wait until all has been sent and arrived, and do what only a person can; False if time ran out."""
        site = self._site
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._progress()
            time.sleep(0.5)
            if any(sender.is_alive() for sender in site.senders):
                continue
            for job in site.jobs_for_a_person():
                self._act_on(job)
            if site.under_way() == 0 and site.sets_missing() == 0:
                return True
        return False

    def _act_on(self, job: Job) -> None:
        is_told = True
        try:
            wait_until(lambda: self._site.is_told(job), 30)
        except TimeoutError:
            is_told = False
        word = "released" if job.state is JobState.HELD else "retried"
        with self._site.operations() as operations:
            try:
                (operations.release if word == "released" else operations.retry)(job.id)
            except LedgerRefused:  # it was overtaken meanwhile
                return
        self.did[word] += 1
        self.did[f"{word} for {job.code}"] += 1
        self.did["untold"] += not is_told

    def report(self) -> dict[str, int | dict[str, int]]:
        """What was done, as a result says it."""
        return {
            "released": self.did["released"],
            "set_aside_and_retried": self.did["retried"],
            "untold": self.did["untold"],
            "reasons": {word: number for word, number in self.did.items() if " for " in word},
        }
