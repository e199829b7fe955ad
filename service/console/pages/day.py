"""The day: how many came and went, how long it took, what was refused and why, and how full the disk is."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from service.backlog import ledger_tables as tables
from service.backlog.database import now
from service.backlog.records import DeliveryState, JobState, SeriesState
from service.console.callers import Reader, premises_of
from service.console.graphics_cards import cards_now
from service.console.pages.plots import Plot, bars_by_hour, points_of_day
from service.console.pages.rendering import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Day:
    """What the ledger says of one day.

    Attributes:
        series, jobs: how many by state, of those that came in that day.
        arrived_at: last image of each series, seconds since the epoch.
        delivered: time of each first delivery, and seconds from the last image to it.
        refused: reason with how many, most first.
    """

    series: dict[str, int]
    jobs: dict[str, int]
    arrived_at: Sequence[float]
    delivered: Sequence[tuple[float, float]]
    refused: Sequence[tuple[str, str, int]]

    @property
    def median_seconds(self) -> float | None:
        """From the last image to delivered."""
        return statistics.median(seconds for _, seconds in self.delivered) if self.delivered else None


@router.get("/day")
def day_page(request: Request, caller: Reader, on: Annotated[date | None, Query()] = None) -> HTMLResponse:
    """Today, or another day."""
    premises = premises_of(request)
    zone = ZoneInfo(premises.started_with.site.node.timezone)
    today = datetime.fromtimestamp(now(), zone).date()
    wanted = min(on or today, today)
    begins, ends = (
        datetime.combine(each, time(), zone).timestamp() for each in (wanted, wanted + timedelta(days=1))
    )
    with premises.ledger.reading() as conn:
        found = day_of(conn, begins, ends)
    disk = shutil.disk_usage(premises.storage)
    plots: dict[str, Plot] = {
        "arrived": bars_by_hour(found.arrived_at, begins),
        "took": points_of_day(found.delivered, begins),
    }
    return page(
        request, caller, "day.html", place="day", day=found, on=wanted, today=today, plots=plots, disk=disk,
        cards=cards_now(), before=wanted - timedelta(days=1), after=wanted + timedelta(days=1),
        counts=premises.ledger.counts(), reserve=premises.started_with.site.node.disk.reserve_gb * 1e9,
    )  # fmt: skip


def day_of(conn: sa.Connection, begins: float, ends: float) -> Day:
    """Read the ledger for what came between two moments."""
    s, j, d = tables.series, tables.job, tables.delivery
    that_day = (s.c.last_at >= begins, s.c.last_at < ends)
    created = (j.c.created_at >= begins, j.c.created_at < ends)
    series = {
        k: n
        for k, n in conn.execute(sa.select(s.c.state, sa.func.count()).where(*that_day).group_by(s.c.state))
    }
    jobs = {
        k: n
        for k, n in conn.execute(sa.select(j.c.state, sa.func.count()).where(*created).group_by(j.c.state))
    }
    arrived = conn.execute(sa.select(s.c.last_at).where(*that_day)).scalars().all()
    first = sa.select(d.c.updated_at, d.c.updated_at - s.c.last_at).join(j, j.c.id == d.c.job_id)
    first = first.join(s, s.c.id == j.c.series_id).where(*that_day, d.c.generation == 1)
    took = conn.execute(first.where(d.c.state == DeliveryState.DELIVERED.value)).all()
    return Day(series, jobs, [float(each) for each in arrived],
               [(float(at), float(seconds)) for at, seconds in took if seconds >= 0],
               _refused(conn, that_day, created))  # fmt: skip


def _refused(
    conn: sa.Connection,
    that_day: tuple[sa.ColumnElement[bool], ...],
    created: tuple[sa.ColumnElement[bool], ...],
) -> list[tuple[str, str, int]]:
    """Code, one of the sentences, and how many; of series refused on arrival and of jobs that ended badly."""
    s, j = tables.series, tables.job
    ended = (JobState.REFUSED.value, JobState.FAILED.value)
    of_series = sa.select(s.c.code, sa.func.max(s.c.sentence), sa.func.count())
    of_series = of_series.where(s.c.state == SeriesState.REFUSED.value, *that_day).group_by(s.c.code)
    of_jobs = sa.select(j.c.code, sa.func.max(j.c.sentence), sa.func.count())
    of_jobs = of_jobs.where(j.c.state.in_(ended), *created).group_by(j.c.code)
    found = [(code or "", sentence or "", int(n)) for query in (of_series, of_jobs)
             for code, sentence, n in conn.execute(query)]  # fmt: skip
    return sorted(found, key=lambda each: -each[2])
