"""The ledger's part for structure sets that came: which were looked at, asked for, kept and deleted."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from service.backlog import ledger_tables
from service.backlog import review_tables as tables
from service.backlog.database import now
from service.backlog.ledger_commitments import CommitmentLedger
from service.backlog.ledger_series import insert_if_new


class ReviewFileLedger(CommitmentLedger):
    """Files of structure sets that came."""

    def change_reviewed_set(
        self,
        conn: sa.Connection,
        set_id: int,
        *,
        series_id: int | None,
        code: str | None,
        sentence: str | None,
    ) -> None:
        """A set was looked at again: of which CT it is, and what is said of it now."""
        t = tables.reviewed_set
        values = {"series_id": series_id, "code": code, "sentence": sentence}
        conn.execute(sa.update(t).where(t.c.id == set_id).values(**values))

    def known_set_names(self) -> set[str]:
        """Names of all sets that were looked at."""
        with self.reading() as conn:
            return set(conn.execute(sa.select(tables.reviewed_set.c.name)).scalars())

    def kept_reviews(self) -> dict[Path, float]:
        """Files of sets that are reviews, and when they came: kept as ``evaluation.keep_days`` says."""
        t = tables.reviewed_set
        reviews = sa.exists().where(tables.reviewed_structure.c.set_id == t.c.id)
        query = sa.select(t.c.file, t.c.received_at).where(t.c.file != "", reviews)
        with self.reading() as conn:
            return {self._found(row.file): float(row.received_at) for row in conn.execute(query)}

    def reviewed_file_gone(self, file: Path) -> None:
        """A structure set's file was deleted; what was measured on it stays."""
        t = tables.reviewed_set
        with self.begin() as conn:
            conn.execute(sa.update(t).where(t.c.file == self._stored(file)).values(file=""))

    def is_known_set(self, name: str) -> bool:
        """Whether a set was looked at."""
        t = tables.reviewed_set
        with self.reading() as conn:
            return conn.execute(sa.select(t.c.id).where(t.c.name == name)).first() is not None

    def record_query(self, names: Collection[str], destination: str) -> set[str]:
        """Write down that sets are asked for; those of the names that have not come yet."""
        q, at = tables.review_query, now()
        with self.begin() as conn:
            came = set(conn.execute(sa.select(tables.reviewed_set.c.name)).scalars())
            wanted = set(names) - came
            for name in sorted(wanted):
                conn.execute(insert_if_new(conn, q).values(name=name, destination=destination, asked_at=at))
        return wanted

    def contoured_studies(self, since: float) -> dict[str, set[str]]:
        """Studies of which a CT was contoured since then; of each, the SOP Instance UIDs that we sent."""
        j, s, d = ledger_tables.job, ledger_tables.series, ledger_tables.delivery
        query = sa.select(s.c.study_instance_uid, d.c.sop_instance_uid)
        query = query.select_from(j.join(s, j.c.series_id == s.c.id).outerjoin(d, d.c.job_id == j.c.id))
        query = query.where(j.c.contoured_at >= since, ~s.c.study_instance_uid.startswith("cleared."))
        studies: dict[str, set[str]] = {}
        with self.reading() as conn:
            for study, uid in conn.execute(query):
                studies.setdefault(str(study), set()).update([str(uid)] if uid else [])
        return studies

    def was_queried(self, name: str) -> bool:
        """Whether a set came because we asked for it."""
        q = tables.review_query
        with self.reading() as conn:
            return conn.execute(sa.select(q.c.name).where(q.c.name == name)).first() is not None


def forget_series(conn: sa.Connection, series_id: int) -> None:
    """A series is forgotten: what was measured on it stays, and no longer says on which."""
    t = tables.reviewed_set
    conn.execute(sa.update(t).where(t.c.series_id == series_id).values(series_id=None))


def clear_series(conn: sa.Connection, series_id: int) -> None:
    """Let sets of a series no longer say, by a hash, which they were."""
    t = tables.reviewed_set
    name = sa.literal("cleared.") + sa.cast(t.c.id, sa.Text)
    of_series = t.c.series_id == series_id
    conn.execute(sa.update(t).where(of_series).values(name=name, sha256="", file=""))


def has_kept_review(series_id: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Selects series of which a reviewed set lies on disk: these still say whose they are."""
    t = tables.reviewed_set
    return sa.exists().where(t.c.series_id == series_id, t.c.file != "")
