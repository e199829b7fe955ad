"""What reviewers left of the node's contours, over time: all structures, one of them, one reviewed case."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from service.backlog.review_records import GRADES
from service.console.callers import Caller, Reader, premises_of
from service.console.pages import moments
from service.console.pages.rendering import PageRoute, page
from service.console.pages.review_drawing import WINDOWS, panels, png_of
from service.console.quality_api import ReviewId
from service.console.refusals import ConsoleRefused
from service.console.wording import wording_for
from service.errors import NodeError
from service.evaluation.charted import CHARTED
from service.evaluation.drawing import STYLE, Words, control_chart, distribution
from service.evaluation.html_report import SHOWN, percent
from service.evaluation.overview import Wanted
from service.evaluation.quality import StructureChart, plan_of
from service.node.reviewed_case import ReviewedCase, reviewed_case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.backlog.review_records import ReviewedStructure
    from service.console.premises import Premises
    from service.contouring.ct_series import CtSeries

_NEWEST: Final = 12

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Text = Annotated[str, Query(max_length=128)]
Structure = Annotated[str, Path(max_length=64)]


@router.get("/charts.css")
def charts_style() -> Response:
    """Colours of the charts, the same as those of the report."""
    return Response(STYLE, media_type="text/css")


@router.get("/quality")
def quality(
    request: Request,
    caller: Reader,
    protocol: Text = "",
    model: Text = "",
    since: Annotated[str, Query(max_length=10)] = "",
) -> HTMLResponse:
    """Every structure under every protocol and model version, with its state."""
    premises = premises_of(request)
    zone = premises.started_with.site.node.timezone
    day = _day(since)
    begins = None if day is None else datetime.combine(day, time(), ZoneInfo(zone)).timestamp()
    plan = plan_of(premises.loaded().site)
    wanted = Wanted(begins, None, protocol or None, model or None)
    found = request.app.state.overviews.get(plan, wanted)
    known = premises.loaded().site.protocols
    versions = sorted({each.group.model for each in found.charts} | ({model} if model else set()))
    values: dict[str, Any] = {
        "found": found,
        "plan": plan,
        "shown": [CHARTED[key] for key in SHOWN],
        "distribution": lambda chart, title: Markup(distribution(chart, title)),  # noqa: S704 - drawn by us
        "percent": percent,
        "protocols": list(known),
        "models": versions,
        "protocol": protocol,
        "model": model,
        "since": day,
    }
    return page(request, caller, "quality.html", place="quality", **values)


@router.get("/quality/{structure}")
def structure_page(
    request: Request, caller: Reader, structure: Structure, measure: Text = "", protocol: Text = ""
) -> HTMLResponse:
    """One structure: its control charts, drifts, outliers, agreement of grades."""
    premises = premises_of(request)
    plan = plan_of(premises.loaded().site)
    charted = CHARTED.get(measure, plan.measure)
    wanted = Wanted(structure=structure, protocol=protocol or None, measure=charted)
    found = request.app.state.overviews.get(plan, wanted)
    if not found.reviewed:
        sentence = "No structure of that name came back yet. The page Quality lists those that did."
        raise ConsoleRefused(404, "quality.no-such-structure", sentence)
    values: dict[str, Any] = {
        "structure": structure,
        "protocol": protocol,
        "found": found,
        "plan": plan,
        "measure": charted,
        "measures": list(CHARTED.values()),
        "shown": [CHARTED[key] for key in SHOWN],
        "percent": percent,
        "grades": GRADES,
        "draw": _drawer(request, premises),
        "newest": list(found.reviewed[: -_NEWEST - 1 : -1]),
    }
    return page(request, caller, "quality_structure.html", place="quality", **values)


@router.get("/quality/case/{review}")
def case_page(
    request: Request,
    caller: Reader,
    review: ReviewId,
    at: Annotated[int | None, Query(alias="slice", ge=1, le=100_000)] = None,
    window: Annotated[str, Query(pattern="^(soft|bone|lung)$")] = "soft",
) -> HTMLResponse:
    """One reviewed structure: both contours side by side, what differs, slice by slice, and grades."""
    premises = premises_of(request)
    reviewed = premises.ledger.reviewed_structure(review)
    _write_down(premises, caller, reviewed)
    values: dict[str, Any] = {"case": None, "why": None, "chosen": None, "pictures": []}
    try:
        case = _case(request, premises, reviewed)
        values |= {"case": case, **_shown(request, case, at, window)}
    except NodeError as error:
        values["why"] = error
    grades = premises.ledger.reader_grades(review)
    values |= {
        "reviewed": reviewed,
        "slices": premises.ledger.slice_measures(review),
        "numbers": _numbers(values["case"]),
        "measures": CHARTED,
        "grades": GRADES,
        "given": grades,
        "latest": {_hundredths(each.slice_position_mm): each.grade for each in grades},
        "window": window,
        "windows": list(WINDOWS),
    }
    return page(request, caller, "quality_case.html", place="quality", **values)


@router.get("/quality/case/{review}/slice/{number}.png")
def slice_picture(
    request: Request,
    caller: Reader,  # noqa: ARG001 - to be asked for is its use
    review: ReviewId,
    number: Annotated[int, Path(ge=1, le=100_000)],
    window: Annotated[str, Query(pattern="^(soft|bone|lung)$")] = "soft",
) -> Response:
    """One slice of the CT, without anything drawn on it."""
    premises = premises_of(request)
    job = premises.ledger.job(premises.ledger.reviewed_structure(review).job_id)
    series: CtSeries = request.app.state.cases.series(job)
    if number > len(series.references):
        raise ConsoleRefused(404, "console.no-such-slice", f"The CT has {len(series.references)} slices.")
    return Response(png_of(series.part(number - 1, 1)[0], window), media_type="image/png")


def _case(request: Request, premises: Premises, reviewed: ReviewedStructure) -> ReviewedCase:
    series = request.app.state.cases.series(premises.ledger.job(reviewed.job_id))
    return reviewed_case(premises.loaded(), premises.ledger, reviewed, series)


def _shown(request: Request, case: ReviewedCase, at: int | None, window: str) -> dict[str, Any]:
    """The slice that is asked for, else the one that was changed most, with its neighbours."""
    words = wording_for(request)
    indexes = [each.index for each in case.slices]
    place = case.worst if at is None or at - 1 not in indexes else indexes.index(at - 1)
    chosen = case.slices[place]
    image = f"/quality/case/{case.reviewed.id}/slice/{chosen.index + 1}.png?window={window}"
    named = [f"{words(f'review.{panel}')}, {words('review.slice', n=chosen.index + 1)}"
             for panel in ("ours", "theirs", "difference")]  # fmt: skip
    return {
        "chosen": chosen,
        "pictures": panels(case, chosen, image, named),
        "before": case.slices[place - 1].index + 1 if place else None,
        "after": case.slices[place + 1].index + 1 if place + 1 < len(case.slices) else None,
    }


def _day(text: str) -> date | None:
    """What a field of a form holds: nothing, or a day."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConsoleRefused(422, "console.no-such-day", "A day is written such as 2026-01-07.") from None


def _hundredths(position_mm: float | None) -> float | None:
    """A grade is of the slice within 0.01 mm of it."""
    return None if position_mm is None else round(position_mm, 2)


def _numbers(case: ReviewedCase | None) -> dict[float, int]:
    """Numbers of slices, from 1, by their position in the ledger."""
    slices = () if case is None else case.slices
    return {each.measures.position_mm: each.index + 1 for each in slices if each.measures is not None}


def _drawer(request: Request, premises: Premises) -> Callable[[Sequence[StructureChart], str], Markup]:
    language = wording_for(request).language
    zone = premises.started_with.site.node.timezone

    def draw(versions: Sequence[StructureChart], title: str) -> Markup:
        label = versions[0].measure.label
        words = Words(
            title=title,
            day=lambda at: moments.day(at, zone, language),
            point=lambda told, at: f"{label} {told}, {moments.when(at, zone, language)}",
            address=lambda row: f"/quality/case/{row}",
        )
        return Markup(control_chart(versions, words))  # noqa: S704 - drawn by us, texts are escaped

    return draw


def _write_down(premises: Premises, caller: Caller, reviewed: ReviewedStructure) -> None:
    if premises.looks.is_new(caller.who, f"case {reviewed.job_id}"):
        premises.audit.record("looked.job", who=caller.who, address=caller.address, job_id=reviewed.job_id)
