"""What becomes of a complete series: routed and written down with its jobs, all in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from service.arrival.jobs_of_series import JobMaker
from service.arrival.pulled import decide
from service.arrival.routing import Decision
from service.arrival.sent_again import SentAgain
from service.arrival.series_headers import identity_of, read_headers
from service.backlog.records import PatientIdentity, SeriesState
from service.errors import SeriesRefused
from service.failpoints import reach
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa
    from pydicom import Dataset

    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies
    from service.backlog.pull_orders import PullOrder
    from service.backlog.records import ReceivedInstance, ReceivedSeries, RecordedSeries
    from service.config.reader import LoadedSite

_log = EventLog("arrival")

_MOST_AHEAD: Final = 8
"""Series whose headers are kept before they are complete."""
_UNROUTED: Final = "No route of the configuration takes this series; it is kept and not contoured."
_IGNORED: Final = "The series holds localizers only; there is nothing to contour."
_ALL_LOCALIZERS: Final = (
    "As many images as a CT has all say that they are localizers (ImageType), so nothing is contoured. "
    "If this is the planning CT, export it again from the scanner."
)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Where the series goes."""

    state: SeriesState
    code: str | None = None
    sentence: str | None = None
    decision: Decision = field(default_factory=lambda: Decision((), (), (), ()))


@dataclass(frozen=True, slots=True, repr=False)
class _ReadAhead:
    """Headers that were read before their series was complete."""

    instances: tuple[ReceivedInstance, ...]
    version: str
    headers: Sequence[Dataset]


class Recorder:
    """Writes complete series and their jobs into the ledger and the engine.

    Args:
        ledger, engine: of this node.
        notify: told of refusals and of jobs that wait for a person.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        engine: EngineClient,
        notify: Notifies,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._notify = notify
        self._jobs = JobMaker(ledger, engine, clock)
        self._sent_again = SentAgain(ledger, engine, self._jobs, clock)
        self._ahead: dict[str, _ReadAhead] = {}

    def record(
        self,
        series: ReceivedSeries,
        loaded: LoadedSite,
        notes: Sequence[str] = (),
        order: PullOrder | None = None,
    ) -> None:
        """Route a series and write down what becomes of it; safe to repeat after a crash at any point.

        Args:
            series: complete, or refused.
            loaded: the configuration in force.
            notes: sentences that must stand in the structure sets.
            order: by which it was pulled from an archive, if it was.

        Raises:
            Exception: whatever keeps the database or the spool from being used; nothing was written then.
        """
        identity, outcome = self._decide(series, loaded, order)
        series = _in_doubt(series, outcome.decision)
        reach("arrival.between-file-and-ledger")
        with self._ledger.begin() as conn:
            known = self._ledger.find_series(series.series_instance_uid, conn)
            repeat = _is_repeat(series, known)
            other_patient = _is_other_patient(known, identity)
            series_id = self._ledger.record_series(
                conn, series, identity, outcome.state, outcome.code, outcome.sentence
            )
            if order is not None:
                self._tell_order(conn, series_id, series, order)
            if outcome.decision.reasons:
                self._tell_routing(conn, series_id, outcome.decision)
            made = self._jobs.make(
                conn, series, series_id, outcome.decision, loaded, notes,
                repeat=repeat, other_patient=other_patient,
            )  # fmt: skip
            self._tell(outcome, made.held)  # twice after a crash rather than never
        reach("arrival.after-ledger")
        self._jobs.stop_rows(made.stopped)
        _log.info(
            f"series.{outcome.state.value}",
            series=series_id,
            code=outcome.code,
            instances=len(series.instances),
            slices=len(outcome.decision.slices),
            count=len(made.created),
        )
        if repeat and order is None:
            new = {job.id for job in made.created}
            purged = known is not None and known.purged_at is not None
            self._sent_again.follow(series, series_id, outcome.decision, loaded, new, purged=purged)

    def read_ahead(self, series: ReceivedSeries, loaded: LoadedSite) -> None:
        """Read what will be looked at if nothing more comes, while the silence lasts that says so."""
        try:
            headers = read_headers(series.instances, loaded)
        except (SeriesRefused, OSError):  # whatever it is, it is met again when it counts
            return
        for oldest in list(self._ahead)[: len(self._ahead) - _MOST_AHEAD + 1]:
            self._ahead.pop(oldest, None)
        self._ahead[series.series_instance_uid] = _ReadAhead(series.instances, loaded.version, headers)

    def waiting(self, series: ReceivedSeries, loaded: LoadedSite) -> None:
        """Show people a series that is not complete although nothing more comes: what it waits for."""
        code, sentence = series.refusal or series.doubt or (None, None)
        known = self._ledger.find_series(series.series_instance_uid)
        if known is not None and known.state is not SeriesState.COLLECTING:
            return  # it was complete before and what people see of that stays true
        identity = self._identity(series, loaded)
        with self._ledger.begin() as conn:
            series_id = self._ledger.record_series(
                conn, series, identity, SeriesState.COLLECTING, code, sentence
            )
        _log.warning("series.waiting", series=series_id, code=code, instances=len(series.instances))

    def stop_undelivered(self, series_instance_uid: str) -> None:
        """Slices were added to a complete series: stop what was made without them and has not left yet."""
        with self._ledger.begin() as conn:
            stopped = self._jobs.supersede_undelivered(conn, series_instance_uid)
        self._jobs.stop_rows(stopped)
        for job in stopped:
            _log.warning("job.superseded", job=job.id, protocol=job.protocol)

    def report_conflict(self, series_instance_uid: str, count: int) -> None:
        """Tell people that images came under known UIDs with other content."""
        sentence = (
            f"{count} images came under UIDs that are known here, with other content. The first version was "
            "kept, the other set aside. Have the sender give changed images new UIDs."
        )
        self._notify.tell("instance.conflict", sentence)
        with self._ledger.begin() as conn:
            known = self._ledger.find_series(series_instance_uid, conn)
            if known is not None:
                self._ledger.add_event(conn, series_id=known.id, code="instance.conflict", sentence=sentence)

    def _decide(
        self, series: ReceivedSeries, loaded: LoadedSite, order: PullOrder | None
    ) -> tuple[PatientIdentity, _Outcome]:
        if series.refusal is not None:
            return self._identity(series, loaded), _Outcome(SeriesState.REFUSED, *series.refusal)
        try:
            headers = self._headers(series, loaded)
        except SeriesRefused as refusal:
            return PatientIdentity(), _Outcome(SeriesState.REFUSED, refusal.code, refusal.sentence)
        identity = identity_of(headers[0])
        try:
            decision = decide(headers, series, loaded, order)
        except SeriesRefused as refusal:
            return identity, _Outcome(SeriesState.REFUSED, refusal.code, refusal.sentence)
        if decision.only_localizers:
            outcome = _Outcome(SeriesState.IGNORED, "series.only-localizers", _IGNORED, decision)
            if len(decision.localizers) >= loaded.site.node.minimum_slices:
                code = "series.only-localizers"
                outcome = _Outcome(SeriesState.REFUSED, code, _ALL_LOCALIZERS, decision)
        elif not decision.jobs:
            outcome = _Outcome(SeriesState.UNROUTED, "series.no-route", _UNROUTED, decision)
        else:
            outcome = _Outcome(SeriesState.ROUTED, decision=decision)
        return identity, outcome

    def _headers(self, series: ReceivedSeries, loaded: LoadedSite) -> Sequence[Dataset]:
        ahead = self._ahead.pop(series.series_instance_uid, None)
        if ahead is not None and (ahead.instances, ahead.version) == (series.instances, loaded.version):
            return ahead.headers
        return read_headers(series.instances, loaded)

    def _identity(self, series: ReceivedSeries, loaded: LoadedSite) -> PatientIdentity:
        try:
            return identity_of(read_headers(series.instances[:1], loaded)[0])
        except SeriesRefused:
            return PatientIdentity()

    def _tell_order(
        self, conn: sa.Connection, series_id: int, series: ReceivedSeries, order: PullOrder
    ) -> None:
        facts = {"archive": order.archive, "instances": len(series.instances), "promised": order.instances}
        sentence = f"Pulled from the archive {order.archive}."
        self._ledger.add_event(
            conn, series_id=series_id, code="series.pulled", sentence=sentence, who=order.who, facts=facts
        )

    def _tell_routing(self, conn: sa.Connection, series_id: int, decision: Decision) -> None:
        said = [
            f"{reason.route}: {'applies' if reason.matched else 'does not apply'}, {reason.sentence}"
            for reason in decision.reasons
        ]
        self._ledger.add_event(conn, series_id=series_id, code="series.routing", sentence="\n".join(said))

    def _tell(self, outcome: _Outcome, held: Sequence[tuple[str, str, str]]) -> None:
        if outcome.state is SeriesState.REFUSED and outcome.code and outcome.sentence:
            self._notify.tell(outcome.code, outcome.sentence)
        for code, sentence, job_id in held:
            self._notify.tell(code, sentence, job_id)


def _is_repeat(series: ReceivedSeries, known: RecordedSeries | None) -> bool:
    """Whether it is what was contoured before: sent again, or sent again after it was purged."""
    if series.refusal is not None or known is None:
        return False
    purged = known.purged_at is not None and known.instances == len(series.instances)
    return series.sent_again or (purged and known.state is SeriesState.ROUTED)


def _in_doubt(series: ReceivedSeries, decision: Decision) -> ReceivedSeries:
    """With a doubt if slices may have been taken for localizers; a series that has one keeps it."""
    count = decision.like_slices
    if count < 2 or series.doubt is not None:
        return series
    sentence = (
        f"{count} images call themselves localizers and lie as the slices do; they were left out, so that "
        "part of the CT may be missing. Look at the CT: release the job if it is whole, else export it again."
    )
    return replace(series, doubt=("series.localizers-like-slices", sentence))


def _is_other_patient(known: RecordedSeries | None, identity: PatientIdentity) -> bool:
    """Whether it came again after a purge and says that it is somebody else's: archives correct whose a CT
    is and keep its UIDs."""
    if known is None or known.purged_at is None:
        return False
    whose = ("patient_id", "patient_name", "birth_date")
    return any(getattr(known.identity, key) != getattr(identity, key) for key in whose)
