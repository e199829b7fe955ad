"""Finds structure sets in the spool that nobody has looked at, and submits each for review.

Reception keeps a structure set before it is acknowledged and knows nothing of reviews. So nothing is lost
when a process dies, or came before this program could compare it: what lies there and is not in the ledger is
new.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from service.backlog.engine import REVIEW, EngineClient
from service.backlog.ledger import Ledger
from service.backlog.ledger_reviews import review_key
from service.backlog.spool import Spool
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_SECONDS: Final = 2.0
_SETTLED_SECONDS: Final = 5.0  # a folder changed longer ago has nothing that came after we listed it

_log = EventLog("evaluation")


class SetIntake:
    """Submits what came.

    Args:
        enabled: ``evaluation.enabled`` of the configuration in force.
        spool, ledger, engine: of this node.
    """

    def __init__(
        self, enabled: Callable[[], bool], spool: Spool, ledger: Ledger, engine: EngineClient
    ) -> None:
        self._enabled = enabled
        self._spool = spool
        self._ledger = ledger
        self._engine = engine
        self._submitted: set[str] = set()
        self._listed: float | None = None

    def look(self) -> int:
        """Submit the sets that are new; how many."""
        changed_at = self._spool.structure_sets.stat().st_mtime
        if not self._enabled() or changed_at == self._listed:
            return 0
        before = time.time()
        there = {file.stem for file in self._spool.structure_sets.glob("*.dcm")}
        names = there - self._submitted
        new = names - self._ledger.known_set_names() if names else set()
        for name in sorted(new):
            self._engine.submit_now(REVIEW, review_key(name), name)
        self._submitted = there
        if before - changed_at > _SETTLED_SECONDS:
            self._listed = changed_at
        return len(new)


def keep_taking_in(intake: SetIntake, stop: threading.Event, every_seconds: float = EVERY_SECONDS) -> None:
    """Look now and then until ``stop``; the body of a thread."""
    while not stop.wait(every_seconds):
        try:
            found = intake.look()
            if found:
                _log.info("review.found", count=found)
        except Exception as error:  # noqa: BLE001 the loop body of this thread
            _log.failure("review.intake-failed", error)
