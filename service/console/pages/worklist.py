"""The worklist: every CT, where it is, and what can be done about it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import HTMLResponse

from service.backlog.records import JobState, SeriesState
from service.console.callers import Caller, Reader, premises_of
from service.console.job_models import PlainText
from service.console.pages.deeds import possible_deeds
from service.console.pages.rendering import PageRoute, page
from service.console.pages.worklist_rows import Asked, Row, senders_and_protocols, worklist

if TYPE_CHECKING:
    from service.console.premises import Premises

STATES: Final = tuple(dict.fromkeys([*(s.value for s in JobState), *(s.value for s in SeriesState)]))
_ROWS: Final = 100

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


_Day = Annotated[date | None, BeforeValidator(_none_if_empty)]


class Filter(BaseModel):
    """What the form above the list asks for; a body, so that no patient stands in an address."""

    state: str = Field(default="", max_length=20)
    sender: PlainText = Field(default="", max_length=16)
    protocol: PlainText = Field(default="", max_length=64)
    text: PlainText = Field(default="", max_length=64)
    since: _Day = None
    until: _Day = None


@router.get("/")
def worklist_page(request: Request, caller: Reader) -> HTMLResponse:
    """The newest CT, and the form to look for others."""
    senders, protocols = senders_and_protocols(premises_of(request).ledger)
    choices: dict[str, Any] = {"states": STATES, "senders": senders, "protocols": protocols}
    rows = _rows(request, caller, Filter())
    return page(
        request, caller, "worklist.html", place="worklist", rows=rows, deeds=possible_deeds, **choices
    )


@router.post("/worklist")
def rows_only(request: Request, caller: Reader, wanted: Filter) -> HTMLResponse:
    """The rows that match, for the page that is open."""
    rows = _rows(request, caller, wanted)
    return page(request, caller, "worklist_rows.html", rows=rows, deeds=possible_deeds)


def _rows(request: Request, caller: Caller, wanted: Filter) -> list[Row]:
    premises = premises_of(request)
    asked = _asked(wanted, premises.started_with.site.node.timezone)
    rows = worklist(premises.ledger, premises.storage, asked)
    _write_down(premises, caller, wanted, rows)
    return rows


def _asked(wanted: Filter, zone: str) -> Asked:
    until = None if wanted.until is None else wanted.until + timedelta(days=1)
    return Asked(
        states=(wanted.state,) if wanted.state in STATES else (),
        sender=wanted.sender,
        protocol=wanted.protocol,
        text=wanted.text.strip(),
        since=_midnight(wanted.since, zone),
        before=_midnight(until, zone),
        limit=_ROWS,
    )


def _midnight(day: date | None, zone: str) -> float | None:
    return None if day is None else datetime.combine(day, time(), ZoneInfo(zone)).timestamp()


def _write_down(premises: Premises, caller: Caller, wanted: Filter, rows: list[Row]) -> None:
    """A look at a list of patients stands in the audit trail; a page that is kept up to date is one look."""
    text = wanted.text.strip()
    if not premises.looks.is_new(caller.who, f"worklist {text}"):
        return
    facts: dict[str, object] = {"list": "a search for a patient" if text else "worklist", "count": len(rows)}
    if text:
        facts["jobs"] = [row.job for row in rows if row.job is not None]
    premises.audit.record("looked.list", who=caller.who, address=caller.address, facts=facts)
