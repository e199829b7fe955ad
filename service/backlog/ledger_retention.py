"""The ledger's part for retention: what has ended and may be deleted, and that it was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.commitment_tables import commitment, commitment_asked, commitment_request
from service.backlog.database import now
from service.backlog.ledger_review_files import forget_series
from service.backlog.ledger_story import StoryLedger
from service.backlog.records import JobState, SeriesState

_UNDER_WAY: Final = tuple(
    state.value for state in (JobState.QUEUED, JobState.CONTOURING, JobState.HELD, JobState.DELIVERING)
)
_BATCH: Final = 500


@dataclass(frozen=True, slots=True, repr=False)
class EndedSeries:
    """A series of which nothing is under way.

    Attributes:
        id: row in the ledger.
        folder: where its instances lie.
        job_ids: its jobs.
        last_at: arrival of its last instance, seconds since the epoch.
        last_change: of it and its jobs, seconds since the epoch.
        failed: a person has yet to look at one of its jobs.
    """

    id: int
    folder: Path
    job_ids: tuple[str, ...]
    last_at: float
    last_change: float
    failed: bool


class RetentionLedger(StoryLedger):
    """What may be deleted."""

    def ended_series(self, before: float) -> list[EndedSeries]:
        """Series with instances on disk, nothing under way and no change since then; the oldest first."""
        with self.reading() as conn:
            return self._ended(conn, before, tables.series.c.purged_at.is_(None))

    def mark_series_purged(self, series_id: int, before: float) -> bool:
        """Write down that a series' instances are deleted; False, and nothing done, if it is in use again."""
        s = tables.series
        with self.begin() as conn:
            conn.execute(sa.select(s.c.id).where(s.c.id == series_id).with_for_update())
            if not self._ended(conn, before, s.c.id == series_id, s.c.purged_at.is_(None)):
                return False
            conn.execute(sa.update(s).where(s.c.id == series_id).values(purged_at=now()))
            self.add_event(conn, series_id=series_id, code="series.purged")
        return True

    def purged_series_folders(self) -> list[tuple[Path, float]]:
        """Folder and last arrival of series marked as deleted; a crash may have left their files."""
        s = tables.series
        with self.reading() as conn:
            query = sa.select(s.c.folder, s.c.last_at).where(s.c.purged_at.is_not(None))
            return [(self._found(folder), float(last_at)) for folder, last_at in conn.execute(query)]

    def purged_among(self, series_ids: Collection[int]) -> set[int]:
        """Those of the series whose instances are deleted."""
        s = tables.series
        with self.reading() as conn:
            query = sa.select(s.c.id).where(s.c.id.in_(series_ids), s.c.purged_at.is_not(None))
            return set(conn.execute(query).scalars())

    def is_purged_job(self, job_id: str) -> bool:
        """Whether a job is marked as deleted; a crash may have left its files."""
        j = tables.job
        with self.reading() as conn:
            query = sa.select(j.c.id).where(j.c.id == job_id, j.c.purged_at.is_not(None))
            return conn.execute(query).first() is not None

    def ended_jobs(self, before: float, *, failed: bool = True) -> list[str]:
        """Jobs with files on disk that have ended and not changed since then, the oldest first.

        ``failed=False`` leaves out those that a person has yet to look at.
        """
        j = tables.job
        query = sa.select(j.c.id).where(j.c.purged_at.is_(None), j.c.updated_at < before)
        without = _UNDER_WAY if failed else (*_UNDER_WAY, JobState.FAILED.value)
        query = query.where(j.c.state.not_in(without)).order_by(j.c.updated_at)
        with self.reading() as conn:
            return list(conn.execute(query).scalars())

    def mark_job_purged(self, job_id: str, before: float) -> bool:
        """Write down that a job's structure sets are deleted; False, and no change, if it is in use again."""
        j = tables.job
        ended = (j.c.id == job_id) & (j.c.updated_at < before) & j.c.state.not_in(_UNDER_WAY)
        with self.begin() as conn:
            marked = conn.execute(sa.update(j).where(ended).values(purged_at=now())).rowcount > 0
            if marked:
                self.add_event(conn, job_id=job_id, code="job.purged")
        return marked

    def count_rows(self, before: float) -> int:
        """How many series :meth:`delete_rows` would forget."""
        with self.reading() as conn:
            return len(self._ended(conn, before, tables.series.c.purged_at.is_not(None)))

    def delete_rows(self, before: float) -> int:
        """Forget series whose files are deleted and that have not changed since then; how many."""
        deleted = 0
        while True:
            with self.begin() as conn:
                ended = self._ended(conn, before, tables.series.c.purged_at.is_not(None))[:_BATCH]
                for series in ended:
                    _forget(conn, series)
                if not ended:
                    conn.execute(sa.delete(tables.resent).where(tables.resent.c.at < before))
                    old = commitment_asked.c.updated_at < before
                    conn.execute(sa.delete(commitment_asked).where(old))
                    used = sa.select(tables.job.c.config_version)
                    t = tables.config
                    unused = (t.c.first_used_at < before) & t.c.version.not_in(used)
                    conn.execute(sa.delete(t).where(unused))
                    return deleted
            deleted += len(ended)

    def _ended(
        self, conn: sa.Connection, before: float, *conditions: sa.ColumnElement[bool]
    ) -> list[EndedSeries]:
        s, j = tables.series, tables.job
        query = sa.select(s.c.id, s.c.folder, s.c.last_at).where(s.c.last_at < before, *conditions)
        query = query.where(s.c.state != SeriesState.COLLECTING.value)
        jobs_of = sa.select(j.c.id, j.c.state, j.c.updated_at)
        ended = []
        for row in conn.execute(query).all():
            jobs = conn.execute(jobs_of.where(j.c.series_id == row.id)).all()
            last_change = max([row.last_at, *(job.updated_at for job in jobs)])
            if last_change >= before or any(job.state in _UNDER_WAY for job in jobs):
                continue
            failed = any(job.state == JobState.FAILED.value for job in jobs)
            ids = tuple(job.id for job in jobs)
            ended.append(EndedSeries(row.id, self._found(row.folder), ids, row.last_at, last_change, failed))
        return sorted(ended, key=lambda each: each.last_change)


def _forget(conn: sa.Connection, series: EndedSeries) -> None:
    d = tables.delivery
    deliveries = sa.select(d.c.id).where(d.c.job_id.in_(series.job_ids))
    for table in (tables.attempt, commitment_request, commitment):
        conn.execute(sa.delete(table).where(table.c.delivery_id.in_(deliveries)))
    for table in (d, tables.finding):
        conn.execute(sa.delete(table).where(table.c.job_id.in_(series.job_ids)))
    forget_series(conn, series.id)
    conn.execute(sa.delete(tables.job).where(tables.job.c.series_id == series.id))
    conn.execute(sa.delete(tables.series).where(tables.series.c.id == series.id))
    e = tables.event  # last: the database refuses to forget what happened to something that it still holds
    conn.execute(sa.delete(e).where(e.c.job_id.in_(series.job_ids) | (e.c.series_id == series.id)))
