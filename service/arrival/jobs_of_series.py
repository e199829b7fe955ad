"""The jobs of a complete series: new ones, those that later slices overtake, those a person must release."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from service.backlog.delivery_records import newest_of
from service.backlog.engine import CONTOUR, DELIVER
from service.backlog.ledger import contour_key
from service.backlog.ledger_deliveries import OPEN
from service.backlog.operations import contour_queue
from service.backlog.records import DeliveryState, JobState, Mode
from service.backlog.trial_names import is_shadow, is_trial
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from service.arrival.routing import Decision, RoutedJob
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.records import Delivery, Job, ReceivedSeries
    from service.config.reader import LoadedSite

UNDELIVERED: Final = (JobState.QUEUED, JobState.CONTOURING, JobState.HELD, JobState.DELIVERING)
"""States of a job whose structure sets have not all left."""

_DAY_SECONDS: Final = 86400.0
_OVERTAKEN: Final = "Further slices of the series arrived; it is contoured anew with all of them."
_TRIAL_OVERTAKEN: Final = "Further slices of the series arrived; try the protocol again with all of them."

_log = EventLog("arrival")


@dataclass(slots=True)
class Made:
    """What one transaction did: jobs created, jobs stopped, and (code, sentence, job id) of those held."""

    created: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    held: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """What a job is to be made of."""

    series: ReceivedSeries
    series_id: int
    routed: RoutedJob
    files: tuple[Path, ...]
    loaded: LoadedSite
    notes: tuple[str, ...] = ()


class JobMaker:
    """Creates, holds and supersedes jobs in the caller's transaction."""

    def __init__(self, ledger: Ledger, engine: EngineClient, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._engine = engine
        self._clock = clock

    def make(  # noqa: PLR0913 - one transaction of one series
        self,
        conn: sa.Connection,
        series: ReceivedSeries,
        series_id: int,
        decision: Decision,
        loaded: LoadedSite,
        notes: Sequence[str],
        *,
        repeat: bool,
        other_patient: bool = False,
    ) -> Made:
        """Create the jobs that the decision asks for and that do not exist yet.

        Args:
            repeat: the series came again as it was contoured before.
            other_patient: it came again under its UIDs, but says that it is somebody else's.
        """
        made = Made()
        if not decision.jobs:
            return made
        self._ledger.save_config(conn, loaded.version, loaded.text)
        files = tuple(series.instances[index].file for index in decision.slices)
        for routed in decision.jobs:
            order = Order(series, series_id, routed, files, loaded, tuple(notes))
            latest = self._ledger.latest_job(series.series_instance_uid, routed.protocol, conn)
            if latest is None:
                self.create(conn, order, made, predecessor=None)
            elif other_patient:
                self.create(conn, order, made, predecessor=None)  # a set of somebody else is not replaced
            elif not repeat or set(latest.files) != set(order.files):
                self._replace(conn, order, made, latest)
        return made

    def create(self, conn: sa.Connection, order: Order, made: Made, *, predecessor: Job | None) -> Job:
        """Create one job, and submit it unless a person must release it first."""
        sets_before = self._ledger.sets_since(
            conn, order.series.study_instance_uid, self._clock() - _DAY_SECONDS
        )
        routed = order.routed
        job = self._ledger.create_job(
            conn,
            series_id=order.series_id,
            protocol=routed.protocol,
            destinations=routed.destinations,
            mode=routed.mode,
            priority=routed.priority,
            files=order.files,
            config_version=order.loaded.version,
            routes=routed.routes,
            when_sent_again=routed.when_sent_again,
            notes=order.notes,
            predecessor=predecessor.id if predecessor is not None else None,
        )
        reason = self._reason_to_hold(conn, order, predecessor, sets_before)
        if reason is None:
            key = contour_key(job.id)
            self._engine.submit(conn, contour_queue(job), key, job.id, priority=routed.priority)
        else:
            job = self._ledger.move_job(conn, job.id, JobState.HELD, code=reason[0], sentence=reason[1])
            made.held.append((*reason, job.id))
        made.created.append(job)
        _log.info(
            f"job.{job.state.value}", job=job.id, protocol=job.protocol, slices=len(job.files), code=job.code
        )
        return job

    def sent_before(self, conn: sa.Connection, job: Job) -> Job | None:
        """The job whose structure set a new one replaces: this one if its set left, else what it replaced."""
        if any(each.attempts > 0 for each in self._ledger.deliveries(job.id, conn)):
            return job
        return self._ledger.job(job.predecessor, conn) if job.predecessor is not None else None

    def supersede_undelivered(
        self, conn: sa.Connection, series_instance_uid: str, protocol: str | None = None
    ) -> list[Job]:
        """Stop the jobs of a series (of one protocol, if named) whose sets have not all left."""
        stopped = []
        for job in self._ledger.jobs_of_series(series_instance_uid, conn):
            if job.state in UNDELIVERED and protocol in (None, job.protocol):
                for delivery in self._newest(conn, job):
                    if delivery.state in OPEN:
                        self._ledger.move_delivery(conn, delivery.id, DeliveryState.CANCELLED)
                sentence = _TRIAL_OVERTAKEN if is_trial(job.protocol) else _OVERTAKEN
                self._ledger.move_job(
                    conn, job.id, JobState.SUPERSEDED, code="job.superseded", sentence=sentence
                )
                if job.state is JobState.HELD and job.code in ("job.held", "job.rest-held"):
                    self._ledger.change_job(conn, job.id, mode=Mode.HOLD)  # its successor waits as well
                stopped.append(job)
        return stopped

    def stop_rows(self, jobs: Sequence[Job]) -> None:
        """After the transaction: take stopped jobs out of the engine; a running transfer may end."""
        for job in jobs:
            self._engine.cancel_all(f"{CONTOUR}:{job.id}:")
            for delivery in self._ledger.deliveries(job.id):
                if delivery.state is DeliveryState.CANCELLED:
                    self._engine.cancel_all(f"{DELIVER}:{delivery.id}:")

    def _replace(self, conn: sa.Connection, order: Order, made: Made, latest: Job) -> None:
        """The series has a new revision: make its job, unless nothing that is contoured has changed."""
        if latest.revision == self._ledger.series(order.series_id, conn).revision:
            return  # this transaction was done before a crash, or the same content came by another way
        unchanged = set(latest.files) == set(order.files) and latest.state is not JobState.SUPERSEDED
        if unchanged:
            self._ledger.add_event(conn, job_id=latest.id, series_id=order.series_id, code="job.unchanged")
            return
        uid, protocol = order.series.series_instance_uid, order.routed.protocol
        made.stopped += self.supersede_undelivered(conn, uid, protocol)
        stopped = self._ledger.job(latest.id, conn)
        by_person = stopped.state is JobState.CANCELLED or (
            stopped.state is JobState.SUPERSEDED and stopped.mode is Mode.HOLD
        )
        if by_person and order.routed.mode is Mode.SEND:
            order = replace(order, routed=replace(order.routed, mode=Mode.HOLD))
        self.create(conn, order, made, predecessor=self.sent_before(conn, latest))

    def _reason_to_hold(
        self, conn: sa.Connection, order: Order, predecessor: Job | None, sets_before: int
    ) -> tuple[str, str] | None:
        if is_shadow(order.routed.protocol):
            return None  # it leaves the node in no case, so nobody has to look first
        node = order.loaded.site.node
        if order.series.doubt is not None:
            return order.series.doubt
        if sets_before >= node.sets_per_study_and_day:
            return (
                "job.too-many-sets",
                f"The study already has {sets_before} structure sets in 24 hours "
                f"(node.sets_per_study_and_day is {node.sets_per_study_and_day}). "
                "Release this one if it is wanted.",
            )
        if predecessor is not None:
            made_at = [each.created_at for each in self._ledger.deliveries(predecessor.id, conn)]
            hours = (self._clock() - min([predecessor.updated_at, *made_at])) / 3600
            if hours > node.late_hold_hours:
                return (
                    "job.replaces-an-old-set",
                    f"It replaces a structure set that was made {hours:.1f} hours ago and may be in use. "
                    "Look at that one, then release or cancel this one.",
                )
        return None

    def _newest(self, conn: sa.Connection, job: Job) -> list[Delivery]:
        return newest_of(self._ledger.deliveries(job.id, conn))
