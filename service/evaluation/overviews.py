"""Overviews that were asked for just now: nothing is read again within a minute unless something new came."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from service.backlog import review_tables as tables
from service.evaluation.drift import acknowledgements
from service.evaluation.overview import Overview, Wanted, overview_of

if TYPE_CHECKING:
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger
    from service.backlog.review_records import ReviewedStructure
    from service.evaluation.quality import Plan

_KEPT: Final = 8
_AT_MOST_SECONDS: Final = 60.0


class Overviews:
    """For a process that is asked often; may be used by several threads.

    Args:
        ledger: what came back.
        audit: which drifts people acknowledged.
    """

    def __init__(self, ledger: Ledger, audit: AuditTrail) -> None:
        self._ledger = ledger
        self._audit = audit
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._read_at = 0.0
        self._rows: Sequence[ReviewedStructure] = ()
        self._made: OrderedDict[object, Overview] = OrderedDict()

    def get(self, plan: Plan, wanted: Wanted) -> Overview:
        """What :func:`service.evaluation.overview.overview` says."""
        known = acknowledgements(self._audit, plan)
        asked = (plan, wanted, tuple(sorted((repr(group), tuple(at)) for group, at in known.items())))
        with self._lock:
            self._read_what_is_new()
            found = self._made.get(asked)
            if found is None:
                found = self._made[asked] = overview_of(self._rows, plan, known, wanted)
                if len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(asked)
            return found

    def _read_what_is_new(self) -> None:
        """A new review and a new grade are new rows; a set that is compared anew keeps its rows."""
        with self._ledger.reading() as conn:
            newest = [
                conn.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))).scalar_one()
                for table in (tables.reviewed_structure, tables.reader_grade)
            ]
        stamp = (int(newest[0]), int(newest[1]))
        if stamp != self._stamp or time.monotonic() - self._read_at > _AT_MOST_SECONDS:
            self._rows = self._ledger.find_reviewed_structures()
            self._made.clear()
            self._stamp, self._read_at = stamp, time.monotonic()
