"""What reviewers left of the node's contours: read it, grade a structure, acknowledge a drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from service.console.callers import Operator, Reader, premises_of
from service.console.job_models import PlainText
from service.console.refusals import ERRORS
from service.evaluation.drift import acknowledge
from service.evaluation.html_report import SHOWN
from service.evaluation.overview import Overview, Wanted
from service.evaluation.quality import State, StructureChart, plan_of
from service.evaluation.summary import Group

if TYPE_CHECKING:
    from service.evaluation.summary import Summary

router = APIRouter(prefix="/api/v1/quality", tags=["quality"], responses=ERRORS)

ReviewId = Annotated[int, Path(ge=1, le=2**53, description="row of a reviewed structure")]
Named = Annotated[str | None, Query(max_length=128)]
GRADED: Final = "quality.graded"


class WhichStructure(BaseModel):
    """A structure under one protocol and model version."""

    structure: PlainText = Field(min_length=1, max_length=64)
    protocol: PlainText = Field(min_length=1, max_length=64)
    model: PlainText = Field(min_length=1, max_length=128)
    is_shadow: bool = False


class StructureQuality(WhichStructure):
    """How it stands with one of them; medians by measure, shares 0 to 1."""

    state: State
    cases: int
    commissioning: int
    limit: float | None = Field(description="of single cases, of the measure that is watched")
    medians: dict[str, float]
    acceptable: float | None
    untouched: float | None
    outliers: int


class Grade(BaseModel):
    """What a reader says of a structure, or of one slice of it."""

    grade: Literal["acceptable", "minor", "major", "not-acceptable"]
    slice_position_mm: float | None = Field(default=None, ge=-1e5, le=1e5, allow_inf_nan=False)


class Graded(BaseModel):
    """The grade that the whole structure has now."""

    review: int
    grade: str | None


@router.get("")
def quality(
    request: Request,
    _: Reader,
    structure: Named = None,
    protocol: Named = None,
    model: Named = None,
) -> list[StructureQuality]:
    """Every structure under every protocol and model version. Names no patient."""
    premises = premises_of(request)
    wanted = Wanted(structure=structure, protocol=protocol, model=model)
    found: Overview = request.app.state.overviews.get(plan_of(premises.loaded().site), wanted)
    return [_quality(each, found.line_of(each)) for each in found.charts]


@router.put("/reviews/{review}/grade")
def grade(request: Request, caller: Operator, review: ReviewId, given: Grade) -> Graded:
    """Give a reader's grade to a reviewed structure, whole or for one slice; the latest of each counts."""
    premises = premises_of(request)
    with premises.ledger.begin() as conn:
        now = premises.ledger.grade(conn, review, given.grade, caller.who, given.slice_position_mm)
        facts = {"review": review, "structure": now.structure, "grade": given.grade}
        if given.slice_position_mm is not None:
            facts["slice_position_mm"] = given.slice_position_mm
        premises.audit.record(
            GRADED, who=caller.who, address=caller.address, job_id=now.job_id, facts=facts, conn=conn
        )
    return Graded(review=review, grade=now.reader_grade)


@router.post("/acknowledge")
def acknowledge_drift(request: Request, caller: Operator, which: WhichStructure) -> WhichStructure:
    """Say that the drift of a structure is known; its moving average begins anew."""
    premises = premises_of(request)
    group = Group(which.structure, which.protocol, which.model, which.is_shadow)
    plan = plan_of(premises.loaded().site)
    acknowledge(premises.ledger, premises.audit, plan, group, caller.who, caller.address)
    return which


def _quality(chart: StructureChart, line: Summary | None) -> StructureQuality:
    group, limits = chart.group, chart.limits
    medians = {} if line is None else {
        key: line.spreads[key].median for key in SHOWN if key in line.spreads
    }  # fmt: skip
    return StructureQuality(
        structure=group.structure,
        protocol=group.protocol,
        model=group.model,
        is_shadow=group.is_shadow,
        state=chart.state,
        cases=len(chart.points),
        commissioning=sum(chart.in_commissioning),
        limit=None if limits is None else limits.limit,
        medians=medians,
        acceptable=None if line is None else line.acceptable,
        untouched=None if line is None else line.untouched,
        outliers=len(chart.outliers),
    )
