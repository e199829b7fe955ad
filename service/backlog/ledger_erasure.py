"""The ledger's part for erasing: which series are meant, and that rows no longer say whose they were."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.database import LedgerRefused, connect, sqlite_file
from service.backlog.ledger_retention import EndedSeries, RetentionLedger
from service.backlog.ledger_review_files import clear_series, has_kept_review
from service.backlog.records import PatientIdentity

_CLEARED: Final = "cleared"  # begins what stands in the place of a UID and of a folder
_PATIENCE_SECONDS: Final = 20.0
_NOBODY: Final = {field.name: "" for field in fields(PatientIdentity)}


class ErasureLedger(RetentionLedger):
    """Whose series are whose, and forgetting it."""

    def series_of_patient(self, patient_id: str) -> set[int]:
        """Series whose PatientID is exactly this."""
        s = tables.series
        with self.reading() as conn:
            return set(conn.execute(sa.select(s.c.id).where(s.c.patient_id == patient_id)).scalars())

    def series_of_nobody(self) -> dict[int, str]:
        """Series on disk that were refused before anybody knew whose they are; their folders' names."""
        s = tables.series
        query = sa.select(s.c.id, s.c.folder_name).where(s.c.patient_id == "", s.c.purged_at.is_(None))
        with self.reading() as conn:
            return {row.id: row.folder_name for row in conn.execute(query)}

    def folder_names(self, series_ids: Collection[int]) -> set[str]:
        """Under which names these series lie in the spool."""
        s = tables.series
        with self.reading() as conn:
            query = sa.select(s.c.folder_name).where(s.c.id.in_(series_ids))
            return set(conn.execute(query).scalars())

    def jobs_on_disk(self, series_ids: Collection[int]) -> dict[str, int]:
        """Jobs of these series whose files are there, with their series."""
        j = tables.job
        query = sa.select(j.c.id, j.c.series_id).where(j.c.series_id.in_(series_ids), j.c.purged_at.is_(None))
        with self.reading() as conn:
            return {row.id: row.series_id for row in conn.execute(query)}

    def ended_among(self, series_ids: Collection[int], before: float) -> list[EndedSeries]:
        """Those of them that are on disk, with nothing under way."""
        return [each for each in self.ended_series(before) if each.id in series_ids]

    def clear_identity(
        self, before: float, series_ids: Collection[int] | None = None, who: str | None = None
    ) -> int:
        """Let rows no longer say whose they were, where nothing is on disk any more; how many.

        ``before`` in seconds since the epoch: rows that have not changed since. ``series_ids`` narrows it,
        ``who`` is the person that asked for it. Numbers, times, states and the UIDs of the sets that we made
        stay: what was done, not for whom.
        """
        s, j = tables.series, tables.job
        in_use = sa.or_(j.c.purged_at.is_(None), j.c.updated_at >= before)
        in_use_by_job = sa.exists().where(j.c.series_id == s.c.id, in_use)
        query = sa.select(s.c.id, s.c.series_instance_uid)
        query = query.where(s.c.purged_at.is_not(None), s.c.last_at < before, ~in_use_by_job)
        query = query.where(~has_kept_review(s.c.id))
        query = query.where(~s.c.series_instance_uid.startswith(f"{_CLEARED}."))
        if series_ids is not None:
            query = query.where(s.c.id.in_(series_ids))
        with self.begin() as conn:
            rows = conn.execute(query.with_for_update()).all()
            for row in rows:
                name = f"{_CLEARED}.{row.id}"  # unique, as a UID was; and a folder that never is
                values = {"series_instance_uid": name, "study_instance_uid": name}
                values |= {"folder": f"spool/{name}", "folder_name": name, **_NOBODY}
                conn.execute(sa.update(s).where(s.c.id == row.id).values(**values))
                same = tables.resent.c.series_instance_uid == row.series_instance_uid
                conn.execute(sa.delete(tables.resent).where(same))
                clear_series(conn, row.id)
                self.add_event(conn, series_id=row.id, code="series.identity-cleared", who=who)
        return len(rows)

    def scrub(self, *, thorough: bool) -> None:
        """Leave nothing of what was cleared in the database's files, as far as the database lets us.

        SQLite overwrites what is deleted (``secure_delete``); its log is written back and emptied here. On
        PostgreSQL that is left to its own vacuum, unless ``thorough``: then the table is written anew, as a
        SQLite file is. A server's log of changes and all backups are the administrator's.

        Raises:
            LedgerRefused: others use the database without a pause. Nothing is lost by it; try again.
        """
        file = sqlite_file(self.database_url)
        try:
            if file is not None:
                _scrub_file(file, thorough=thorough)
            elif thorough:
                engine = connect(self.database_url, pooled=False).execution_options(
                    isolation_level="AUTOCOMMIT"
                )
                with engine.connect() as conn:
                    conn.execute(sa.text(f"set lock_timeout = {int(1000 * _PATIENCE_SECONDS)}"))
                    conn.execute(sa.text(f"vacuum (full) {tables.series.name}"))
        except (sqlite3.OperationalError, sa.exc.OperationalError):
            raise _busy() from None


def _scrub_file(file: Path, *, thorough: bool) -> None:
    with closing(sqlite3.connect(file, timeout=_PATIENCE_SECONDS, isolation_level=None)) as connection:
        if thorough:
            connection.execute("VACUUM")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise _busy()
            time.sleep(0.2)


def _busy() -> LedgerRefused:
    sentence = (
        "The files are deleted and the rows are cleared, but the database is too busy to write over what "
        "they held. Run the same command again, best while the node is stopped."
    )
    return LedgerRefused("ledger.busy", sentence)
