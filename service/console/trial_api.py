"""Trying a protocol on a stored CT."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from service.console.callers import Operator, premises_of
from service.console.job_models import Changed, PlainText
from service.console.refusals import ERRORS

router = APIRouter(prefix="/api/v1/series", tags=["jobs"], responses=ERRORS)


class Trial(BaseModel):
    """What is tried."""

    protocol: PlainText = Field(min_length=1, max_length=64)


@router.post("/{row}/trial")
def try_on_series(
    request: Request, caller: Operator, row: Annotated[int, Path(ge=1, le=2**53)], wanted: Trial
) -> Changed:
    """Contour a stored CT by a protocol and send nothing; the job's case shows what came of it."""
    from service.node.trial import try_protocol

    premises = premises_of(request)
    job = try_protocol(
        premises.loaded(), premises.ledger, premises.engine(), row, wanted.protocol, caller.who
    )
    return Changed(job=job.id, state=job.state)
