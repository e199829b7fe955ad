"""What is known of a series that is not being watched: its files in the spool, its row in the ledger."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from service.arrival.completeness import History
from service.arrival.spooled_series import count_instances, ended_well, read_folder, read_instance
from service.backlog.records import SeriesState
from service.errors import InstanceRefused
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from service.arrival.completeness import Tracker
    from service.backlog.ledger import Ledger
    from service.backlog.records import ReceivedInstance, RecordedSeries
    from service.backlog.spool import Spool

_log = EventLog("arrival")
_CLOCKS_SECONDS: Final = 60.0  # by which a file's time may differ from the recorded time of its arrival
_NEVER_COMPLETE = (SeriesState.COLLECTING, SeriesState.REFUSED)


class SeriesMemory:
    """Looks series up in spool and ledger."""

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool = spool
        self._ledger = ledger
        self._changed_at: dict[str, int] = {}
        self._settled: dict[str, int] = {}

    def history(self, series_instance_uid: str) -> History:
        """What is known of a series of which an instance has just arrived.

        A ledger that does not answer is taken to know nothing: the instance lies safely in the spool, and the
        ledger is asked again when the series is recorded.
        """
        instances, _ = read_folder(self._spool.series_folder(series_instance_uid))
        try:
            known = self._ledger.find_series(series_instance_uid)
        except SQLAlchemyError as error:
            _log.failure("arrival.ledger-silent", error)
            known = None
        return History(instances, _complete_before(known))

    def take_up(self, tracker: Tracker, now: float) -> int:
        """After a start: have every series watched that is not recorded as it lies in the spool; how many."""
        recorded = self._ledger.recorded_series()
        return sum(self._take_up(folder, recorded, tracker, now) for folder in self._spool.folders())

    def left_by_others(self, tracker: Tracker, now: float) -> int:
        """The same while we receive, for series that another host received and nobody watches; how many.

        A folder counts if it has not changed since the last time, so that what arrives here just now is left
        to those who know more of it.
        """
        before, self._changed_at = self._changed_at, {}
        still = []
        for folder in self._spool.folders():
            with contextlib.suppress(FileNotFoundError):  # purged just now
                changed_at = self._changed_at[folder.name] = folder.stat().st_mtime_ns
                if before.get(folder.name) == changed_at and self._settled.get(folder.name) != changed_at:
                    still.append(folder)
        self._settled = {name: at for name, at in self._settled.items() if name in self._changed_at}
        if not still:
            return 0
        recorded, count = self._ledger.recorded_series(), 0
        for folder in still:
            if not self._is_watched(folder, tracker):  # else its owner may yet take the part for the whole
                count += self._take_up(folder, recorded, tracker, now)
                self._settled[folder.name] = self._changed_at[folder.name]
        return count

    def _is_watched(self, folder: Path, tracker: Tracker) -> bool:
        file = next(folder.glob("[!.]*.dcm"), None)
        try:
            return file is not None and tracker.watches(read_instance(file).series_instance_uid)
        except (InstanceRefused, OSError):
            return False

    def _take_up(self, folder: Path, recorded: Mapping[str, int], tracker: Tracker, now: float) -> bool:
        count = count_instances(folder)
        if count == 0 or recorded.get(folder.name) == count:
            return False
        instances, unreadable = read_folder(folder)
        if unreadable:
            _log.error("arrival.spool-damaged", files=unreadable)
        if not instances:
            return False
        known = self._ledger.find_series(instances[0].series_instance_uid)
        if known is not None and _is_being_purged(known, instances):
            return False
        history = History(instances, _complete_before(known))
        tracker.take_up(history, ended_well=ended_well(folder, count), now=now)
        return True


def _is_being_purged(known: RecordedSeries, instances: Sequence[ReceivedInstance]) -> bool:
    """Whether the files are only what a purge that was broken off has left, and nothing came since."""
    newest = max(instance.received_at for instance in instances)
    return known.purged_at is not None and newest <= known.last_at + _CLOCKS_SECONDS


def _complete_before(known: RecordedSeries | None) -> int:
    """How many instances there were when the series was last found complete; a purged one begins anew."""
    if known is None or known.purged_at is not None or known.state in _NEVER_COMPLETE:
        return 0
    return known.instances
