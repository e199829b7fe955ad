"""A series that was contoured before arrives once more: nothing, the same set again, or contoured anew.

At most once in ten minutes and three times in a day, so that two machines that forward to one another do not
go on for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.arrival.gathering import END_UNKNOWN
from service.arrival.jobs_of_series import UNDELIVERED, JobMaker, Made, Order
from service.backlog.database import LedgerRefused
from service.backlog.operations import Operations
from service.backlog.records import JobState, Mode
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from service.arrival.routing import Decision
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.records import Job, ReceivedSeries
    from service.config.reader import LoadedSite

SHORTEST_SECONDS: Final = 600.0
MOST_PER_DAY: Final = 3

_DAY_SECONDS: Final = 86400.0
_log = EventLog("arrival")


class SentAgain:
    """Follows ``when_sent_again`` of the routes."""

    def __init__(
        self, ledger: Ledger, engine: EngineClient, jobs: JobMaker, clock: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._clock = clock
        self._operations = Operations(ledger, engine)

    def follow(
        self,
        series: ReceivedSeries,
        series_id: int,
        decision: Decision,
        loaded: LoadedSite,
        new: Collection[str] = (),
        *,
        purged: bool = False,
    ) -> None:
        """Do for each job of the series what its routes say, except for those that are ``new``.

        Args:
            purged: its images were purged meanwhile. Nothing shows that those that came are the same, so that
                they are contoured where the set of before would have been sent.
        """
        if self._too_often(series.series_instance_uid):
            self._say(series_id, None, "series.sent-again-too-often", "It came again too soon or too often.")
            return
        files = tuple(series.instances[index].file for index in decision.slices)
        acted = False
        for routed in decision.jobs:
            latest = self._ledger.latest_job(series.series_instance_uid, routed.protocol)
            if latest is None or latest.id in new:
                continue
            order = Order(series, series_id, routed, files, loaded, latest.notes)
            acted = self._follow_one(order, latest, purged=purged) or acted
        if acted:
            with self._ledger.begin() as conn:
                self._ledger.record_resend(conn, series.series_instance_uid, self._clock())

    def _follow_one(self, order: Order, latest: Job, *, purged: bool) -> bool:
        if latest.state is JobState.HELD and latest.code == END_UNKNOWN:
            self._operations.release(latest.id)  # the whole series, to its proper end: that was all
            _log.info("job.released", job=latest.id, code=END_UNKNOWN)
            return True
        wish = order.routed.when_sent_again
        if wish == "ignore":
            sentence = "It came again; its routes say to ignore that."
            self._say(order.series_id, latest, "job.sent-again-ignored", sentence)
            return False
        if latest.state in UNDELIVERED or latest.state is JobState.CANCELLED:
            sentence = f"It came again while the job is {latest.state.value}; nothing is repeated."
            self._say(order.series_id, latest, "job.sent-again-ignored", sentence)
            return False
        if wish == "contour_again":
            return self._contour_again(order, latest, forced=True)
        if purged:
            return self._contour_again(order, latest, forced=False)
        destinations = self._destinations(order, latest)
        if destinations and order.routed.mode is not Mode.SEND:
            sentence = f"It came again; its routes say {order.routed.mode}, so nothing is sent by itself."
            self._say(order.series_id, latest, "job.sent-again-ignored", sentence)
            return False
        return self._send_same(latest, destinations) or self._contour_again(order, latest, forced=False)

    def _destinations(self, order: Order, latest: Job) -> list[str]:
        """Where the job's sets went, as far as the routes of today still send there."""
        went = dict.fromkeys(each.destination for each in self._ledger.deliveries(latest.id))
        return [destination for destination in went if destination in order.routed.destinations]

    def _send_same(self, latest: Job, destinations: Sequence[str]) -> bool:
        """Send each structure set of the job again; False if there is none any more."""
        try:
            for destination in destinations:
                self._operations.resend(latest.id, destination)
        except LedgerRefused:  # purged
            return False
        return bool(destinations)

    def _contour_again(self, order: Order, latest: Job, *, forced: bool) -> bool:
        nothing_to_send = latest.mode is Mode.SHADOW or not latest.destinations
        if not forced and latest.state is JobState.DONE and nothing_to_send:
            return False
        made = Made()
        with self._ledger.begin() as conn:
            present = self._ledger.latest_job(order.series.series_instance_uid, order.routed.protocol, conn)
            if present is None or present.id != latest.id:
                return False
            if present.revision == self._ledger.series(order.series_id, conn).revision:
                self._ledger.new_revision(conn, order.series_id)
            self._jobs.create(conn, order, made, predecessor=self._jobs.sent_before(conn, latest))
        _log.info("series.contoured-again", series=order.series_id, job=made.created[0].id)
        return True

    def _too_often(self, series_instance_uid: str) -> bool:
        now = self._clock()
        times = self._ledger.resent(series_instance_uid, now - _DAY_SECONDS)
        return len(times) >= MOST_PER_DAY or any(now - at < SHORTEST_SECONDS for at in times)

    def _say(self, series_id: int, job: Job | None, code: str, sentence: str) -> None:
        with self._ledger.begin() as conn:
            job_id = job.id if job is not None else None
            self._ledger.add_event(conn, series_id=series_id, job_id=job_id, code=code, sentence=sentence)
        _log.info(code, series=series_id, job=job.id if job is not None else None)
