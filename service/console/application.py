"""The application: every address of the HTTP process in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from service.console import (
    job_api,
    model_api,
    pages,
    people_api,
    pictures,
    probes,
    quality_api,
    refusals,
    session_api,
    site_api,
    trial_api,
)
from service.console.measures import Measures
from service.console.open_cases import OpenCases
from service.console.protection import Protection
from service.evaluation.overviews import Overviews

if TYPE_CHECKING:
    from service.console.premises import Premises


def application(premises: Premises) -> FastAPI:
    """What uvicorn serves."""
    app = FastAPI(
        title="Delineate",
        version="1",
        description="What the command line can do, over HTTP.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    app.state.premises = premises
    app.state.cases = OpenCases()
    app.state.overviews = Overviews(premises.ledger, premises.audit)
    app.state.metrics = CollectorRegistry()
    app.state.metrics.register(Measures(premises))
    refusals.install(app)
    app.include_router(probes.router, tags=["probes"])
    for part in (session_api, job_api, trial_api, pictures, site_api, model_api, quality_api, people_api):
        app.include_router(part.router)
    pages.install(app, premises)
    if premises.openid is not None:
        from service.console import openid_pages

        app.include_router(openid_pages.router)
    tls = premises.started_with.site.console.tls_certificate is not None
    app.add_middleware(Protection, tls=tls)
    return app
