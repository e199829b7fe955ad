"""The case: one CT with its structures, what the model warned of, and everything that happened to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from models.volume import Severity
from service.backlog.records import DeliveryState
from service.backlog.trial_names import configured_name
from service.console.callers import Caller, Reader, premises_of
from service.console.job_api import JobId
from service.console.pages.advance import advance_of
from service.console.pages.deeds import possible_deeds
from service.console.pages.rendering import PageRoute, page
from service.console.pages.structures import structure_set_of, structures_of
from service.console.refusals import ConsoleRefused

if TYPE_CHECKING:
    from service.backlog.ledger import Story
    from service.console.open_cases import OpenCases
    from service.console.premises import Premises

DICOM: Final = "application/dicom"

_STRICTEST_FIRST: Final = (Severity.STOP, Severity.HOLD, Severity.WARNING, Severity.NOTE)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/case/{job}")
def case(request: Request, caller: Reader, job: JobId) -> HTMLResponse:
    """Everything about one job."""
    premises = premises_of(request)
    story = premises.ledger.story(job)
    with premises.ledger.reading() as conn:
        advance = advance_of(conn, story.job, premises.storage)
    _write_down(premises, caller, job)
    file = structure_set_of(story, premises.storage)
    site = premises.loaded().site
    protocol = site.protocols.get(configured_name(story.job.protocol))
    values: dict[str, Any] = {
        "story": story,
        "advance": advance,
        "findings": sorted(story.findings, key=lambda each: _STRICTEST_FIRST.index(each.severity)),
        "structures": structures_of(story, file, protocol),
        "protocols": list(site.protocols),
        "has_set": file is not None,
        "deeds": possible_deeds(story.job.state.value, contoured=file is not None),
        "destinations": _destinations(premises, story),
        "overdue": [d for d, _ in story.deliveries if d.state is DeliveryState.RETRYING],
    }
    return page(request, caller, "case.html", place="worklist", **values)


@router.get("/case/{job}/structure-set")
def structure_set(request: Request, caller: Reader, job: JobId) -> FileResponse:
    """The RT Structure Set as it is sent, as a file."""
    premises = premises_of(request)
    file = structure_set_of(premises.ledger.story(job), premises.storage)
    if file is None:
        sentence = f"Job {job} has no structure set on this machine: none was made, or it was purged."
        raise ConsoleRefused(404, "structure-set.none", sentence)
    premises.audit.record("looked.structure-set", who=caller.who, address=caller.address, job_id=job)
    return FileResponse(file, media_type=DICOM, filename=f"rtstruct-{job}.dcm")


@router.get("/case/{job}/preview")
def preview(request: Request, caller: Reader, job: JobId) -> Response:
    """Slices with the contours of the structure set as a PDF; it names no patient."""
    from service.contouring.preview_pages import pdf_of
    from service.dicom.structure_set_reader import read_structure_set

    premises = premises_of(request)
    file = structure_set_of(premises.ledger.story(job), premises.storage)
    if file is None:
        sentence = f"Job {job} has no structure set on this machine: none was made, or it was purged."
        raise ConsoleRefused(404, "structure-set.none", sentence)
    cases: OpenCases = request.app.state.cases
    document = pdf_of(cases.series(premises.ledger.job(job)), read_structure_set(file))
    premises.audit.record("looked.preview", who=caller.who, address=caller.address, job_id=job)
    named = {"Content-Disposition": f'attachment; filename="preview-{job}.pdf"'}
    return Response(document, media_type="application/pdf", headers=named)


@router.get("/series/{row}")
def series(request: Request, caller: Reader, row: Annotated[int, Path(ge=1, le=2**53)]) -> HTMLResponse:
    """A series that nobody asked to contour, or that was refused: what it is and why."""
    premises = premises_of(request)
    found = premises.ledger.series(row)
    if premises.looks.is_new(caller.who, f"series {row}"):
        facts = {"series": row}
        premises.audit.record("looked.series", who=caller.who, address=caller.address, facts=facts)
    jobs = premises.ledger.jobs_of_series(found.series_instance_uid)
    protocols = list(premises.loaded().site.protocols)
    return page(
        request, caller, "series.html", place="worklist", series=found, jobs=jobs, protocols=protocols
    )


def _write_down(premises: Premises, caller: Caller, job: str) -> None:
    if premises.looks.is_new(caller.who, f"case {job}"):
        premises.audit.record("looked.job", who=caller.who, address=caller.address, job_id=job)


def _destinations(premises: Premises, story: Story) -> list[str]:
    """Where the set may be sent: where it went before, then what the configuration has."""
    before = [delivery.destination for delivery, _ in story.deliveries]
    return list(dict.fromkeys([*before, *story.job.destinations, *premises.loaded().site.destinations]))
