"""How far the contouring of a CT is: by the model's own word, else the time so far beside what is usual."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.contouring_progress import part_done
from service.backlog.database import now
from service.backlog.records import JobState

if TYPE_CHECKING:
    from service.backlog.records import Job

_EARLIER: Final = 50  # jobs of a protocol that say how long contouring usually takes


@dataclass(frozen=True, slots=True)
class Advance:
    """Of one job that is contoured.

    Attributes:
        seconds: how long it has been contoured.
        usual_seconds: median of the protocol's last jobs, None if there are none.
        part: what the model has done of its work, 0 to 1; None if it has not said.
    """

    seconds: float
    usual_seconds: float | None
    part: float | None


def advances(conn: sa.Connection, jobs: Sequence[tuple[str, str, int]], storage: Path) -> dict[str, Advance]:
    """By job id; ``jobs`` are those being contoured: id, protocol and number of the run."""
    begun = _contouring_since(conn, [job for job, _, _ in jobs])
    usual = {protocol: _usual_seconds(conn, protocol) for protocol in {each for _, each, _ in jobs}}
    at = now()
    return {
        job: Advance(max(0.0, at - begun[job]), usual[protocol], part_done(storage / "jobs" / job, run))
        for job, protocol, run in jobs
        if job in begun
    }


def advance_of(conn: sa.Connection, job: Job, storage: Path) -> Advance | None:
    """Of one job, None if it is not being contoured."""
    if job.state is not JobState.CONTOURING:
        return None
    return advances(conn, [(job.id, job.protocol, job.run)], storage).get(job.id)


def _contouring_since(conn: sa.Connection, jobs: Sequence[str]) -> dict[str, float]:
    e = tables.event
    code = f"job.{JobState.CONTOURING.value}"
    query = sa.select(e.c.job_id, sa.func.max(e.c.at)).where(e.c.job_id.in_(jobs), e.c.code == code)
    return {job: float(at) for job, at in conn.execute(query.group_by(e.c.job_id))}


def _usual_seconds(conn: sa.Connection, protocol: str) -> float | None:
    """Median from the beginning of contouring to its end, of the last jobs of the protocol."""
    j, e = tables.job, tables.event
    begun = (e.c.job_id == j.c.id) & (e.c.code == f"job.{JobState.CONTOURING.value}")
    query = sa.select(j.c.contoured_at - sa.func.max(e.c.at)).join(e, begun)
    query = query.where(j.c.protocol == protocol, j.c.contoured_at.is_not(None))
    query = query.group_by(j.c.id, j.c.contoured_at, j.c.created_at).order_by(j.c.created_at.desc())
    seconds = [float(each) for each in conn.execute(query.limit(_EARLIER)).scalars() if each > 0]
    return statistics.median(seconds) if seconds else None
