"""The rows of the worklist: every CT, once for each protocol that it takes, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.database import now
from service.backlog.trial_names import no_trial
from service.console.pages.advance import Advance, advances

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from service.backlog.ledger import Ledger

_SERIES_COLUMNS: Final = (
    "patient_id", "patient_name", "study_description", "series_description", "study_date", "instances",
    "calling_ae_title", "sender_address", "first_at", "last_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for; what is empty is not asked. ``text`` is part of a Patient ID, name or job id."""

    states: tuple[str, ...] = ()
    sender: str = ""
    protocol: str = ""
    text: str = ""
    since: float | None = None
    before: float | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, repr=False)
class Sending:
    """The newest delivery of one object to one destination."""

    destination: str
    kind: str
    state: str
    attempts: int
    next_at: float | None
    sentence: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """One line. ``job`` is None for a series that nobody asked to contour, or that was refused.

    Attributes:
        key: the job's id, or ``series-N``: what the line is known by in the page.
        series: columns of the ledger's row.
        state, code, sentence: of the job, or of the series if that has none.
        structures: volume in cm3 by structure, once contoured.
        findings: how many by severity.
        took_seconds: from the last image to now, or to the end.
        advance: how far contouring is, while it lasts.
    """

    key: str
    job: str | None
    series_row: int
    series: Mapping[str, Any]
    state: str
    code: str | None
    sentence: str | None
    protocol: str | None = None
    mode: str | None = None
    priority: int | None = None
    routes: Sequence[str] = ()
    destinations: Sequence[str] = ()
    created_at: float = 0.0
    updated_at: float = 0.0
    structures: Mapping[str, float] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)
    sendings: Sequence[Sending] = ()
    advance: Advance | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state not in ("queued", "contouring", "delivering", "collecting")

    @property
    def took_seconds(self) -> float:
        """From the last image to now, or to the end."""
        return max(0.0, (self.updated_at if self.ended else now()) - float(self.series["last_at"]))


def worklist(ledger: Ledger, storage: Path, asked: Asked) -> list[Row]:
    """What matches everything asked, newest first; ``storage`` has how far contouring is."""
    with ledger.reading() as conn:
        jobs = _jobs(conn, asked)
        ids = [row["id"] for row in jobs]
        sendings, findings = _sendings(conn, ids), _findings(conn, ids)
        contoured = [(row["id"], row["protocol"], row["run"]) for row in jobs if row["state"] == "contouring"]
        under_way = advances(conn, contoured, storage)
        rows = [_row_of_job(row, sendings, findings, under_way) for row in jobs]
        if not asked.protocol:
            rows += [_row_of_series(row) for row in _series_alone(conn, asked)]
    return sorted(rows, key=lambda row: row.created_at, reverse=True)[: asked.limit]


def senders_and_protocols(ledger: Ledger) -> tuple[list[str], list[str]]:
    """What there is to choose from."""
    s, j = tables.series.c.calling_ae_title, tables.job.c.protocol
    with ledger.reading() as conn:
        senders = conn.execute(sa.select(s).distinct().order_by(s)).scalars().all()
        protocols = conn.execute(sa.select(j).where(no_trial(j)).distinct().order_by(j)).scalars().all()
    return list(senders), list(protocols)


def _jobs(conn: sa.Connection, asked: Asked) -> Sequence[sa.RowMapping]:
    j, s = tables.job, tables.series
    own = ("id", "series_id", "protocol", "mode", "priority", "routes", "destinations", "state", "code",
           "sentence", "created_at", "updated_at", "volumes_cm3", "run")  # fmt: skip
    query = sa.select(*(j.c[name] for name in own), *(s.c[name] for name in _SERIES_COLUMNS))
    query = query.join(s, s.c.id == j.c.series_id)
    if asked.states:
        query = query.where(j.c.state.in_(asked.states))
    if asked.protocol:
        query = query.where(j.c.protocol == asked.protocol)
    query = query.where(*_of_series(asked, j.c.created_at, j.c.id))
    return conn.execute(query.order_by(j.c.created_at.desc()).limit(asked.limit)).mappings().all()


def _series_alone(conn: sa.Connection, asked: Asked) -> Sequence[sa.RowMapping]:
    s = tables.series
    own = ("id", "state", "code", "sentence", "recorded_at")
    query = sa.select(*(s.c[name] for name in (*own, *_SERIES_COLUMNS)))
    asked_for = sa.exists().where(tables.job.c.series_id == s.c.id, no_trial(tables.job.c.protocol))
    query = query.where(~asked_for)
    if asked.states:
        query = query.where(s.c.state.in_(asked.states))
    query = query.where(*_of_series(asked, s.c.last_at))
    return conn.execute(query.order_by(s.c.last_at.desc()).limit(asked.limit)).mappings().all()


def _of_series(asked: Asked, at: sa.Column[float], *also: sa.Column[str]) -> Iterable[sa.ColumnElement[bool]]:
    s = tables.series
    if asked.sender:
        yield s.c.calling_ae_title == asked.sender
    if asked.since is not None:
        yield at >= asked.since
    if asked.before is not None:
        yield at < asked.before
    if asked.text:
        columns = (s.c.patient_id, s.c.patient_name, *also)
        yield sa.or_(*(column.icontains(asked.text, autoescape=True) for column in columns))


def _sendings(conn: sa.Connection, jobs: Sequence[str]) -> dict[str, dict[tuple[str, str], Sending]]:
    d, a = tables.delivery, tables.attempt
    last = (a.c.delivery_id == d.c.id) & (a.c.n == d.c.attempts)
    columns = (d.c.job_id, d.c.destination, d.c.kind, d.c.state, d.c.attempts, d.c.next_at, a.c.sentence)
    query = sa.select(*columns).outerjoin(a, last).where(d.c.job_id.in_(jobs)).order_by(d.c.id)
    # The rows are in the order of their making: the newest of each wins.
    found: dict[str, dict[tuple[str, str], Sending]] = {}
    for job, destination, kind, *rest in conn.execute(query):
        found.setdefault(job, {})[destination, kind] = Sending(destination, kind, *rest)
    return found


def _findings(conn: sa.Connection, jobs: Sequence[str]) -> dict[str, dict[str, int]]:
    f = tables.finding
    query = sa.select(f.c.job_id, f.c.severity, sa.func.count()).where(f.c.job_id.in_(jobs))
    found: dict[str, dict[str, int]] = {}
    for job, severity, count in conn.execute(query.group_by(f.c.job_id, f.c.severity)):
        found.setdefault(job, {})[severity] = count
    return found


def _row_of_job(
    row: sa.RowMapping,
    sendings: Mapping[str, Mapping[tuple[str, str], Sending]],
    findings: Mapping[str, Mapping[str, int]],
    under_way: Mapping[str, Advance],
) -> Row:
    same = ("state", "code", "sentence", "protocol", "mode", "priority", "routes", "destinations",
            "created_at", "updated_at")  # fmt: skip
    job = row["id"]
    return Row(
        key=job,
        job=job,
        series_row=row["series_id"],
        series={name: row[name] for name in _SERIES_COLUMNS},
        **{name: row[name] for name in same},
        structures=row["volumes_cm3"] or {},
        findings=findings.get(job, {}),
        sendings=tuple(sendings.get(job, {}).values()),
        advance=under_way.get(job),
    )


def _row_of_series(row: sa.RowMapping) -> Row:
    return Row(
        key=f"series-{row['id']}",
        job=None,
        series_row=row["id"],
        series={name: row[name] for name in _SERIES_COLUMNS},
        state=row["state"],
        code=row["code"],
        sentence=row["sentence"],
        created_at=row["last_at"],
        updated_at=row["recorded_at"],
    )
