"""What is known of a series that is not being watched: its files in the spool, its row in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from service.arrival.completeness import History
from service.arrival.spooled_series import count_instances, ended_well, read_folder
from service.backlog.records import SeriesState
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        taken_up = 0
        for folder in self._spool.folders():
            count = count_instances(folder)
            if count == 0 or recorded.get(folder.name) == count:
                continue
            instances, unreadable = read_folder(folder)
            if unreadable:
                _log.error("arrival.spool-damaged", files=unreadable)
            if not instances:
                continue
            known = self._ledger.find_series(instances[0].series_instance_uid)
            if known is not None and _is_being_purged(known, instances):
                continue
            history = History(instances, _complete_before(known))
            tracker.take_up(history, ended_well=ended_well(folder, count), now=now)
            taken_up += 1
        return taken_up


def _is_being_purged(known: RecordedSeries, instances: Sequence[ReceivedInstance]) -> bool:
    """Whether the files are only what a purge that was broken off has left, and nothing came since."""
    newest = max(instance.received_at for instance in instances)
    return known.purged_at is not None and newest <= known.last_at + _CLOCKS_SECONDS


def _complete_before(known: RecordedSeries | None) -> int:
    """How many instances there were when the series was last found complete; a purged one begins anew."""
    if known is None or known.purged_at is not None or known.state in _NEVER_COMPLETE:
        return 0
    return known.instances
