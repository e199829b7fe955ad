"""The ledger read for people: the whole story of one CT, lists, and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from models.volume import Finding, Severity
from service.backlog import ledger_tables as tables
from service.backlog.commitment_records import Commitment
from service.backlog.database import now
from service.backlog.ledger_reviews import ReviewLedger
from service.backlog.records import Delivery, DeliveryState, Job, JobState, PatientIdentity, RecordedSeries
from service.backlog.trial_names import no_shadow, no_trial


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One line of a story: when, what, why, and who if it was a person."""

    at: float
    code: str
    sentence: str | None
    who: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Attempt:
    """One attempt of a delivery; ``ended_at`` is None while it lasts, ``status`` is the DIMSE status."""

    n: int
    started_at: float
    ended_at: float | None
    status: int | None
    code: str | None
    sentence: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Story:
    """Everything that is known of one job.

    Attributes:
        job, series: as they are now.
        events: of the job and of its series, oldest first.
        findings: what the model wants people to know.
        deliveries: each with its attempts, oldest first.
        provenance: which model, None before contouring.
        volumes_cm3: by structure.
        seconds: by step.
        contoured_at: when the model's answer was recorded.
        successor: id of the job whose structure set replaces this one's.
        purged_at: when its structure sets were deleted.
        commitments: by the id of those deliveries of which more than an acknowledgement is wanted.
    """

    job: Job
    series: RecordedSeries
    events: tuple[Event, ...]
    findings: tuple[Finding, ...]
    deliveries: tuple[tuple[Delivery, tuple[Attempt, ...]], ...]
    provenance: Mapping[str, Any] | None
    volumes_cm3: Mapping[str, float]
    seconds: Mapping[str, float]
    contoured_at: float | None
    successor: str | None
    purged_at: float | None
    commitments: Mapping[int, Commitment]


@dataclass(frozen=True, slots=True, repr=False)
class JobLine:
    """A job in a list, with whose it is; ``retried`` is why which destination has not got its set yet."""

    job: Job
    identity: PatientIdentity
    retried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class JobSearch:
    """What jobs are looked for; what is None or empty is not asked.

    Attributes:
        states: any of them.
        patient_id, sender, protocol, destination: exactly.
        text: part of the job's id, the Patient ID, the patient's name or the accession number, ignoring case.
        since, before: of the job's creation, seconds since the epoch.
        limit: at most so many.
    """

    states: tuple[str, ...] = ()
    patient_id: str | None = None
    text: str | None = None
    sender: str | None = None
    protocol: str | None = None
    destination: str | None = None
    since: float | None = None
    before: float | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are in each state, and how long the oldest queued job has waited (seconds).

    A shadow waits for no one's sake and does not count there.
    """

    series: Mapping[str, int]
    jobs: Mapping[str, int]
    deliveries: Mapping[str, int]
    longest_wait_seconds: float


class StoryLedger(ReviewLedger):
    """What people read."""

    def story(self, job_id: str) -> Story:
        """Everything about one job.

        Raises:
            LedgerRefused: there is no such job.
        """
        with self.reading() as conn:
            job = self.job(job_id, conn)
            row = conn.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).mappings().one()
            successor = sa.select(tables.job.c.id).where(tables.job.c.predecessor == job_id)
            deliveries = self.deliveries(job_id, conn)
            return Story(
                job=job,
                series=self.series(job.series_id, conn),
                events=_events(conn, job),
                findings=_findings(conn, job_id),
                deliveries=tuple((each, _attempts(conn, each.id)) for each in deliveries),
                provenance=row["provenance"],
                volumes_cm3=row["volumes_cm3"] or {},
                seconds=row["seconds"] or {},
                contoured_at=row["contoured_at"],
                successor=conn.execute(successor.order_by(tables.job.c.created_at.desc())).scalar(),
                purged_at=row["purged_at"],
                commitments={
                    each.id: found for each in deliveries if (found := self.commitment(each.id, conn))
                },
            )

    def job_lines(
        self, state: JobState | None = None, patient_id: str | None = None, limit: int | None = 100
    ) -> list[JobLine]:
        """Jobs with the identity they belong to, newest first."""
        jobs = self.find_jobs(state, patient_id, limit=limit)
        with self.reading() as conn:
            identities = {
                series_id: self.series(series_id, conn).identity for series_id in {j.series_id for j in jobs}
            }
            return [JobLine(job, identities[job.series_id], _retried(conn, job)) for job in jobs]

    def search_jobs(self, search: JobSearch) -> list[JobLine]:
        """Jobs that match everything asked for, with the identity they belong to, newest first."""
        j, s = tables.job, tables.series
        asked: list[tuple[object, sa.ColumnElement[bool]]] = [
            (search.states, j.c.state.in_(search.states)),
            (search.patient_id, s.c.patient_id == search.patient_id),
            (search.sender, s.c.calling_ae_title == search.sender),
            (search.protocol, j.c.protocol == search.protocol),
            (search.since, j.c.created_at >= (search.since or 0.0)),
            (search.before, j.c.created_at < (search.before or 0.0)),
        ]
        conditions = [condition for wanted, condition in asked if wanted]
        if search.text:
            columns = (j.c.id, s.c.patient_id, s.c.patient_name, s.c.accession_number)
            conditions.append(sa.or_(*(column.icontains(search.text, autoescape=True) for column in columns)))
        if search.destination:
            quoted = f'"{search.destination}"'
            conditions.append(sa.cast(j.c.destinations, sa.Text).contains(quoted, autoescape=True))
        with self.reading() as conn:
            jobs = self._select(conn, *conditions, limit=search.limit)
            ids = {job.series_id for job in jobs}
            identities = {series_id: self.series(series_id, conn).identity for series_id in ids}
        return [JobLine(job, identities[job.series_id]) for job in jobs]

    def series_without_jobs(
        self, patient_id: str | None = None, limit: int | None = 100
    ) -> list[RecordedSeries]:
        """Series that nobody asked to contour, or that were refused, newest first."""
        s = tables.series
        query = sa.select(s).where(
            ~sa.exists().where(tables.job.c.series_id == s.c.id, no_trial(tables.job.c.protocol))
        )
        if patient_id is not None:
            query = query.where(s.c.patient_id == patient_id)
        with self.reading() as conn:
            rows = conn.execute(query.order_by(s.c.last_at.desc()).limit(limit)).mappings()
            return [self._series_of(row) for row in rows]

    def counts(self) -> Counts:
        """How many series, jobs and deliveries there are in each state."""
        with self.reading() as conn:
            waits = no_shadow(tables.job.c.protocol)
            queued = (tables.job.c.state == JobState.QUEUED.value) & waits
            oldest = conn.execute(sa.select(sa.func.min(tables.job.c.created_at)).where(queued)).scalar()
            return Counts(
                series=_by_state(conn, tables.series),
                jobs=_by_state(conn, tables.job),
                deliveries=_by_state(conn, tables.delivery),
                longest_wait_seconds=0.0 if oldest is None else max(0.0, now() - float(oldest)),
            )


def _by_state(conn: sa.Connection, table: sa.Table) -> dict[str, int]:
    rows = conn.execute(sa.select(table.c.state, sa.func.count()).group_by(table.c.state))
    return {state: int(count) for state, count in rows}


def _events(conn: sa.Connection, job: Job) -> tuple[Event, ...]:
    t = tables.event
    of_series = (t.c.series_id == job.series_id) & t.c.job_id.is_(None)
    query = sa.select(t).where((t.c.job_id == job.id) | of_series).order_by(t.c.at, t.c.id)
    rows = conn.execute(query).mappings()
    return tuple(
        Event(row["at"], row["code"], row["sentence"], row["who"], row["facts"] or {}) for row in rows
    )


def _findings(conn: sa.Connection, job_id: str) -> tuple[Finding, ...]:
    t = tables.finding
    rows = conn.execute(sa.select(t).where(t.c.job_id == job_id).order_by(t.c.id)).mappings()
    return tuple(Finding(r["code"], r["sentence"], r["structure"], Severity(r["severity"])) for r in rows)


def _retried(conn: sa.Connection, job: Job) -> tuple[str, ...]:
    """Of each delivery that waits for its next attempt, what the last one said."""
    if job.state is not JobState.DELIVERING:
        return ()
    d, a = tables.delivery, tables.attempt
    last = (a.c.delivery_id == d.c.id) & (a.c.n == d.c.attempts)
    waits = (d.c.job_id == job.id) & (d.c.state == DeliveryState.RETRYING.value)
    rows = conn.execute(sa.select(d.c.destination, a.c.sentence).join(a, last).where(waits).order_by(d.c.id))
    return tuple(f"{destination}: {sentence}" for destination, sentence in rows)


def _attempts(conn: sa.Connection, delivery_id: int) -> tuple[Attempt, ...]:
    t = tables.attempt
    rows = conn.execute(sa.select(t).where(t.c.delivery_id == delivery_id).order_by(t.c.n)).mappings()
    return tuple(
        Attempt(r["n"], r["started_at"], r["ended_at"], r["status"], r["code"], r["sentence"]) for r in rows
    )
