"""``/health``, ``/ready`` and ``/metrics``: for supervisors and for Prometheus."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from service.backlog.roles import Role
from service.console.callers import caller_of, premises_of
from service.console.readiness import Checks, readiness
from service.console.refusals import ConsoleRefused

router = APIRouter()


class Alive(BaseModel):
    """This process answers."""

    status: Literal["alive"] = "alive"


@router.get("/health")
def health() -> Alive:
    """Whether the HTTP process answers; nothing else is looked at."""
    return Alive()


@router.get("/ready", responses={503: {"model": Checks}})
def ready(request: Request, response: Response) -> Checks:
    """Whether a CT that is sent now would be taken and contoured: database, spool, processes, disk."""
    checks = readiness(premises_of(request))
    if not checks.ready:
        response.status_code = 503
    return checks


def _may_read_metrics(request: Request) -> None:
    if premises_of(request).started_with.site.console.open_metrics:
        return
    caller = caller_of(request)
    if caller is None or not caller.account.role.may(Role.READER):
        sentence = "Metrics need a token of a reader, or `console.open_metrics: true`."
        raise ConsoleRefused(401, "console.not-signed-in", sentence)


@router.get("/metrics", response_class=Response, responses={401: {}})
def metrics(request: Request, _: Annotated[None, Depends(_may_read_metrics)]) -> Response:
    """Everything that is counted, for Prometheus; no patient and no UID."""
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
