"""What a model can be tried on: the CT that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.records import SeriesState

if TYPE_CHECKING:
    from service.console.callers import Caller
    from service.console.premises import Premises

_NEWEST: Final = 50
_LIST: Final = "stored CT to try a model on"


def stored_ct(premises: Premises, caller: Caller) -> list[tuple[int, str]]:
    """Row and what people know it by, newest first; the audit trail has who was shown them."""
    s = tables.series
    query = sa.select(s.c.id, s.c.patient_id, s.c.study_description, s.c.study_date, s.c.instances)
    query = query.where(s.c.purged_at.is_(None), s.c.state != SeriesState.COLLECTING.value)
    with premises.ledger.reading() as conn:
        rows = conn.execute(query.order_by(s.c.last_at.desc()).limit(_NEWEST)).all()
    if rows and premises.looks.is_new(caller.who, _LIST):
        facts = {"list": _LIST, "count": len(rows)}
        premises.audit.record("looked.list", who=caller.who, address=caller.address, facts=facts)
    return [(row, _label(*said)) for row, *said in rows]


def _label(patient_id: str, description: str, study_date: str, images: int) -> str:
    said = (patient_id or "–", description, study_date, f"({images})")
    return " ".join(" ".join(each.split()) for each in said if each)
