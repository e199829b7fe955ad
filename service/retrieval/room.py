"""Whether a run may pull the next CT now: in its hours, with few CT waiting, and with room on the disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from service.backlog.records import JobState
from service.retrieval.hours import here
from service.retrieval.troubles import PullStopped

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.spool import Spool
    from service.config.site import Node
    from service.retrieval.choices import Choices, Show

_QUEUE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 60.0
_BYTES_PER_IMAGE: Final = 600_000  # 512 x 512 x 2 and its header
_WAITING: Final = (JobState.QUEUED, JobState.CONTOURING)


class Room:
    """Holds a run back.

    Args:
        node: its configuration.
        ledger, spool: of the node.
        choices: how the run is done.
        show: is told what is waited for.
        sleep: waits so many seconds.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one argument each for what it works with
        self,
        node: Node,
        ledger: Ledger,
        spool: Spool,
        choices: Choices,
        show: Show,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._spool = spool
        self._choices = choices
        self._show = show
        self._sleep = sleep
        self._clock = clock

    def wait(self, instances: int) -> None:
        """Until a CT of so many images may be pulled.

        Raises:
            PullStopped: it finds no room on the disk.
        """
        self.pause()
        ahead = self._choices.ahead
        while (waiting := self.waiting()) >= ahead:
            self._show.says(f"{waiting} CT wait to be contoured; going on when fewer than {ahead} do")
            self._sleep(_QUEUE_SECONDS)
            self.pause()
        self._show.says("")
        reserve = self._node.disk.reserve_gb * 1e9
        full = self._spool.free_bytes() - instances * _BYTES_PER_IMAGE < reserve
        if full or self._spool.over_budget.exists():
            sentence = "The disk is as full as `node.disk` allows. Free space and run this again: it goes on."
            raise PullStopped("pull.disk-reserve", sentence)

    def pause(self) -> None:
        """Until the hours in which the run may work."""
        between = self._choices.between
        if between is None:
            return
        zone = ZoneInfo(self._node.timezone)
        while (seconds := between.seconds_until(here(self._clock(), zone))) > 0:
            self._show.says(f"Paused: CT are pulled between {between} only")
            self._sleep(min(seconds, _PAUSE_SECONDS))
        self._show.says("")

    def waiting(self, series: Iterable[int] | None = None) -> int:
        """How many CT wait to be contoured or are contoured just now, of these or of all."""
        found = {job.series_id for job in self._ledger.find_jobs(_WAITING, limit=None)}
        return len(found if series is None else found & set(series))
