"""Jobs: find them, read their story, change what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Path, Query, Request

from service.backlog.documents import job_document, series_document, story_document
from service.backlog.ledger import JobSearch
from service.backlog.records import Job, JobState
from service.console.callers import Caller, Operator, Reader, premises_of
from service.console.job_models import Action, Changed, JobList, JobStory, Priority, Resend, Resent, Search
from service.console.refusals import ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.backlog.records import RecordedSeries
    from service.console.premises import Premises

_EVERYBODY: Final = "every patient"

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=ERRORS)

JobId = Annotated[str, Path(pattern="^[0-9a-z]{1,32}$", description="the job's id")]


@router.get("")
def list_jobs(
    request: Request,
    caller: Reader,
    state: Annotated[JobState | None, Query(description="only in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobList:
    """The newest jobs, and series that nobody asked to contour. Shows who the patients are."""
    states = () if state is None else (state.value,)
    alone = [] if state is not None else premises_of(request).ledger.series_without_jobs(None, limit)
    return _found(request, caller, JobSearch(states=states, limit=limit), alone, _EVERYBODY)


@router.post("/search")
def search_jobs(request: Request, caller: Reader, search: Search) -> JobList:
    """Jobs that match everything asked for. A POST, so that no patient stands in an address."""
    wanted = JobSearch(
        states=tuple(state.value for state in search.states),
        **search.model_dump(exclude={"states"}),
    )
    only_patient = search.model_dump(exclude={"patient_id", "limit"}, exclude_defaults=True) == {}
    alone: Sequence[RecordedSeries] = ()
    if only_patient:
        alone = premises_of(request).ledger.series_without_jobs(search.patient_id, search.limit)
    asked = "a search for a patient" if search.patient_id or search.text else _EVERYBODY
    return _found(request, caller, wanted, alone, asked)


@router.get("/{job}")
def story(request: Request, caller: Reader, job: JobId) -> JobStory:
    """The whole story of one job, from the CT's arrival on. Shows who the patient is."""
    premises = premises_of(request)
    found = premises.ledger.story(job)
    premises.audit.record("looked.job", who=caller.who, address=caller.address, job_id=job)
    return JobStory.model_validate(story_document(found, _zone(premises)))


@router.post("/{job}/resend")
def resend(request: Request, caller: Operator, job: JobId, to: Resend) -> Resent:
    """Send the structure set to a destination again, or to one that has not had it yet."""
    from service.node.resending import resend as submit

    premises = premises_of(request)
    sent = submit(premises.loaded(), premises.ledger, premises.operations(caller.who), job, to.destination)
    return Resent(job=job, delivery=sent.id, destination=sent.destination, state=sent.state)


@router.put("/{job}/priority")
def set_priority(request: Request, caller: Operator, job: JobId, wanted: Priority) -> Changed:
    """Change when a waiting job's turn comes."""
    return _changed(premises_of(request).operations(caller.who).set_priority(job, wanted.priority))


@router.post("/{job}/{action}")
def change(request: Request, caller: Operator, job: JobId, action: Action) -> Changed:
    """Try again, give up, hold or release."""
    operations = premises_of(request).operations(caller.who)
    deeds = {
        "retry": operations.retry,
        "cancel": operations.cancel,
        "hold": operations.hold,
        "release": operations.release,
    }
    return _changed(deeds[action](job))


def _found(
    request: Request, caller: Caller, search: JobSearch, alone: Sequence[RecordedSeries], asked: str
) -> JobList:
    premises = premises_of(request)
    zone = _zone(premises)
    lines = premises.ledger.search_jobs(search)
    if premises.looks.is_new(caller.who, repr((asked, search.patient_id, search.text))):
        facts: dict[str, object] = {"list": asked, "count": len(lines)}
        if asked != _EVERYBODY:
            facts["jobs"] = [line.job.id for line in lines]
        premises.audit.record("looked.list", who=caller.who, address=caller.address, facts=facts)
    return JobList.model_validate(
        {
            "jobs": [job_document(line.job, line.identity, zone) for line in lines],
            "series_without_jobs": [series_document(series, zone) for series in alone],
        }
    )


def _changed(job: Job) -> Changed:
    return Changed(job=job.id, state=job.state)


def _zone(premises: Premises) -> str:
    return premises.started_with.site.node.timezone
