"""The ledger's part for evaluation: what came back of our structure sets, and how much of it survived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from service.backlog import ledger_tables
from service.backlog import review_tables as tables
from service.backlog.database import LedgerRefused, now
from service.backlog.ledger_review_files import ReviewFileLedger
from service.backlog.ledger_series import insert_if_new
from service.backlog.review_records import (
    GRADES,
    Approval,
    FoundBy,
    NewStructure,
    ReaderGrade,
    ReviewedSet,
    ReviewedStructure,
    SliceMeasures,
)

_SET: Final = tuple(field.name for field in fields(ReviewedSet))
_STRUCTURE: Final = tuple(field.name for field in fields(ReviewedStructure) if field.name != "approval")
_SAME_SLICE_MM: Final = 0.01
_DECIDED: Final = ("APPROVED", "REJECTED")  # a draft takes the place of neither, whenever it comes


class ReviewLedger(ReviewFileLedger):
    """Reviewed structure sets, their structures, and readers' grades."""

    def add_reviewed_set(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        *,
        name: str,
        received_at: float,
        series_id: int | None,
        sender: str,
        file: Path | None,
        sha256: str,
        approval: Approval = "",
        reviewer_known: bool = False,
        found_by: FoundBy = "sent",
        code: str | None = None,
        sentence: str | None = None,
    ) -> int | None:
        """Write down a structure set that came; its row, or None if it is written down already.

        Args:
            name: of its file, a hash of its SOP Instance UID: one row for each.
            file: where it lies; None if it is kept nowhere.
        """
        values: dict[str, Any] = {"received_at": received_at, "series_id": series_id, "sender": sender}
        values |= {"approval": approval, "reviewer_known": reviewer_known, "found_by": found_by}
        values |= {"file": "" if file is None else self._stored(file), "sha256": sha256}
        t = tables.reviewed_set
        new = insert_if_new(conn, t).values(name=name, code=code, sentence=sentence, **values)
        found = conn.execute(new.returning(t.c.id)).scalar()
        return None if found is None else int(found)

    def add_reviewed_structures(
        self, conn: sa.Connection, set_id: int, structures: Sequence[NewStructure]
    ) -> list[int]:
        """Write down what became of the structures of our jobs in a set; their rows, in the same order.

        What was written down of the same structure of the same job in this set is replaced; grades stay.
        Of several reviews of one structure of one job the one that came last counts, but one in which it was
        compared counts before one in which it was not.
        """
        t = tables.reviewed_structure
        query = sa.select(tables.reviewed_set.c.received_at).where(tables.reviewed_set.c.id == set_id)
        received_at = float(conn.execute(query).scalar_one())
        ids = []
        for each in structures:
            values = asdict(each) | {"measures": dict(each.measures)}
            values |= {"received_at": received_at, "superseded": False}
            same = (t.c.set_id == set_id) & (t.c.job_id == each.job_id) & (t.c.structure == each.structure)
            again = sa.update(t).where(same).values(**values).returning(t.c.id)
            found = conn.execute(again).scalar()
            if found is None:
                new = sa.insert(t).values(set_id=set_id, **values).returning(t.c.id)
                found = conn.execute(new).scalar_one()
            ids.append(int(found))
            _settle_which_counts(conn, each.job_id, each.structure)
        return ids

    def find_reviewed_structures(  # noqa: PLR0913 one condition each
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        structure: str | None = None,
        protocol: str | None = None,
        model: str | None = None,
        ct_sender: str | None = None,
        job_id: str | None = None,
        is_shadow: bool | None = None,
        set_id: int | None = None,
        with_superseded: bool = False,
        limit: int | None = None,
    ) -> list[ReviewedStructure]:
        """Structures that match everything given, oldest first; with ``limit`` the newest of them.

        Args:
            since, until: of the set's arrival, seconds since the epoch; ``until`` itself is outside.
            with_superseded: also those of which a later review came.
        """
        t = tables.reviewed_structure
        equal = {"structure": structure, "protocol": protocol, "model": model, "ct_sender": ct_sender}
        equal_too = {"job_id": job_id, "is_shadow": is_shadow, "set_id": set_id}
        wanted: dict[str, object] = {**equal, **equal_too}
        conditions = [t.c[name] == value for name, value in wanted.items() if value is not None]
        if since is not None:
            conditions.append(t.c.received_at >= since)
        if until is not None:
            conditions.append(t.c.received_at < until)
        if not with_superseded:
            conditions.append(t.c.superseded.is_(False))
        with self.reading() as conn:
            newest = self._select_structures(conn, *conditions, limit=limit)
        return newest[::-1]

    def reviewed_structure(
        self, reviewed_structure_id: int, conn: sa.Connection | None = None
    ) -> ReviewedStructure:
        """One by its row.

        Raises:
            LedgerRefused: there is none.
        """
        with self._joined(conn) as joined:
            which = tables.reviewed_structure.c.id == reviewed_structure_id
            found = self._select_structures(joined, which)
        if not found:
            sentence = f"The ledger holds no reviewed structure {reviewed_structure_id}. "
            raise LedgerRefused("review.unknown", sentence + "`delineate reviews show` names them.")
        return found[0]

    def reviewed_set(self, set_id: int) -> ReviewedSet:
        """One by its row.

        Raises:
            LedgerRefused: there is none.
        """
        found = self._select_sets(tables.reviewed_set.c.id == set_id)
        if not found:
            sentence = f"The ledger holds no reviewed set {set_id}. `delineate reviews list` names them."
            raise LedgerRefused("review.unknown-set", sentence)
        return found[0]

    def reviewed_sets(self, *, limit: int | None = None) -> list[ReviewedSet]:
        """All of them, newest first."""
        return self._select_sets(limit=limit)

    def reviewed_sets_of_job(self, job_id: str) -> list[ReviewedSet]:
        """Sets in which structures of a job were looked for, oldest first."""
        t = tables.reviewed_structure
        of_job = sa.select(t.c.set_id).where(t.c.job_id == job_id)
        return self._select_sets(tables.reviewed_set.c.id.in_(of_job))[::-1]

    def reviewed_file(self, set_id: int) -> Path | None:
        """Where a set lies; None once it is deleted."""
        file = self.reviewed_set(set_id).file
        return self._found(file) if file else None

    def maker(self, job_id: str) -> tuple[str, float]:
        """``name@version`` of the model of a job, and when it was contoured (seconds since the epoch)."""
        j = ledger_tables.job
        with self.reading() as conn:
            row = conn.execute(sa.select(j.c.provenance, j.c.contoured_at).where(j.c.id == job_id)).one()
        made = row.provenance or {}
        return f"{made.get('model', '')}@{made.get('version', '')}", float(row.contoured_at or 0.0)

    def slice_measures(self, reviewed_structure_id: int) -> list[SliceMeasures]:
        """The slices on which either of us drew the structure, ascending along the grid's normal."""
        t = tables.reviewed_structure
        with self.reading() as conn:
            rows = conn.execute(sa.select(t.c.slices).where(t.c.id == reviewed_structure_id)).scalar()
        return [SliceMeasures(**row) for row in rows or ()]

    def grade(
        self,
        conn: sa.Connection,
        reviewed_structure_id: int,
        grade: str,
        by: str,
        slice_position_mm: float | None = None,
    ) -> ReviewedStructure:
        """Write down a reader's grade of a structure, or of one slice of it; the latest of each counts.

        Args:
            grade: one of ``GRADES``.
            by: who gives it.
            slice_position_mm: within 0.01 mm of that of one of its :meth:`slice_measures`.

        Raises:
            LedgerRefused: there is no such structure, slice or grade.
        """
        self._must_be_gradable(conn, reviewed_structure_id, grade, slice_position_mm)
        values: dict[str, Any] = {"reviewed_structure_id": reviewed_structure_id, "grade": grade}
        values |= {"slice_position_mm": slice_position_mm, "reader": by, "at": now()}
        conn.execute(sa.insert(tables.reader_grade).values(**values))
        t = tables.reviewed_structure
        whole = _grade_of_whole(self.reader_grades(reviewed_structure_id, conn))
        conn.execute(sa.update(t).where(t.c.id == reviewed_structure_id).values(reader_grade=whole))
        graded = self.reviewed_structure(reviewed_structure_id, conn)
        facts = {"structure": graded.structure, "grade": grade, "position_mm": slice_position_mm}
        self.add_event(conn, job_id=graded.job_id, code="job.graded", facts=facts, who=by)
        return graded

    def reader_grades(
        self, reviewed_structure_id: int, conn: sa.Connection | None = None
    ) -> list[ReaderGrade]:
        """Every grade that was given to a structure and to its slices, oldest first."""
        t = tables.reader_grade
        query = sa.select(t).where(t.c.reviewed_structure_id == reviewed_structure_id).order_by(t.c.id)
        names = [field.name for field in fields(ReaderGrade)]
        with self._joined(conn) as joined:
            return [
                ReaderGrade(**{name: row[name] for name in names}) for row in joined.execute(query).mappings()
            ]

    def _select_sets(
        self, *conditions: sa.ColumnElement[bool], limit: int | None = None
    ) -> list[ReviewedSet]:
        t = tables.reviewed_set
        query = sa.select(*(t.c[name] for name in _SET)).where(*conditions)
        with self.reading() as conn:
            rows = conn.execute(query.order_by(t.c.received_at.desc(), t.c.id.desc()).limit(limit)).mappings()
            return [ReviewedSet(**row) for row in rows]

    def _select_structures(
        self, conn: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None
    ) -> list[ReviewedStructure]:
        t, s = tables.reviewed_structure, tables.reviewed_set
        columns = [t.c[name] for name in _STRUCTURE]
        query = sa.select(*columns, s.c.approval).join(s, t.c.set_id == s.c.id).where(*conditions)
        query = query.order_by(t.c.received_at.desc(), t.c.id.desc()).limit(limit)
        return [ReviewedStructure(**row) for row in conn.execute(query).mappings()]

    def _must_be_gradable(
        self, conn: sa.Connection, reviewed_structure_id: int, grade: str, slice_position_mm: float | None
    ) -> None:
        self.reviewed_structure(reviewed_structure_id, conn)
        if grade not in GRADES:
            raise LedgerRefused("review.no-such-grade", f"A grade is one of {', '.join(GRADES)}.")
        if slice_position_mm is None:
            return
        t = tables.reviewed_structure
        slices = conn.execute(sa.select(t.c.slices).where(t.c.id == reviewed_structure_id)).scalar_one()
        if all(abs(each["position_mm"] - slice_position_mm) > _SAME_SLICE_MM for each in slices):
            sentence = "Neither contour is on a slice at that position. `delineate reviews show` lists them."
            raise LedgerRefused("review.no-such-slice", sentence)


def _settle_which_counts(conn: sa.Connection, job_id: str, structure: str) -> None:
    """Mark all reviews of a structure but the one that counts."""
    t = tables.reviewed_structure
    same = (t.c.job_id == job_id) & (t.c.structure == structure)
    s = tables.reviewed_set
    query = sa.select(t.c.id, t.c.received_at, t.c.measures, s.c.approval).join(s, t.c.set_id == s.c.id)
    rows = conn.execute(query.where(same)).all()
    counts = max(
        rows,
        key=lambda row: (bool(row.measures), row.approval in _DECIDED, row.received_at, row.id),
    )
    conn.execute(sa.update(t).where(same).values(superseded=t.c.id != counts.id))


def _grade_of_whole(grades: Sequence[ReaderGrade]) -> str | None:
    """The latest of the whole, else the worst of the slices' latest."""
    latest = {each.slice_position_mm: each.grade for each in grades}
    whole = latest.pop(None, None)
    if whole is not None or not latest:
        return whole
    return max(latest.values(), key=GRADES.index)


def review_key(name: str, attempt: int = 1) -> str:
    """The engine's key of the n-th look at a structure set that came."""
    return f"review:{name}:{attempt}"
