"""Senders and destinations, models, and what a CT would become."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from service.backlog.roles import Role
from service.console.callers import Caller, Reader, premises_of
from service.console.model_api import model, models
from service.console.pages.model_figures import charts_of
from service.console.pages.rendering import PageRoute, page
from service.console.pages.trials import stored_ct
from service.console.site_api import destinations, senders

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_Series = Annotated[int | None, Query(ge=1, le=2**53)]
_AeTitle = Annotated[str, Header(max_length=16)]


@router.get("/connections")
def connections(request: Request, caller: Reader) -> HTMLResponse:
    """Who sends and what they were refused for; where structure sets go and when they last arrived."""
    values: dict[str, Any] = {
        "destinations": destinations(request, caller),
        "senders": senders(request, caller),
    }
    return page(request, caller, "connections.html", place="connections", **values)


@router.get("/models")
def all_models(request: Request, caller: Reader) -> HTMLResponse:
    """Every bundle, and the protocols that use it."""
    used = _protocols_by_model(request)
    return page(request, caller, "models.html", place="models", models=models(request, caller), used=used)


@router.get("/models/{reference}")
def one_model(
    request: Request, caller: Reader, reference: Annotated[str, Path(max_length=128)]
) -> HTMLResponse:
    """A bundle's card, with its files compared with what the card says of them."""
    found = model(request, caller, reference)
    values: dict[str, Any] = {
        "model": found,
        "charts": list(charts_of(found.card.get("figures"))),
        "protocols": _protocols_by_model(request).get(reference, []),
        "stored": [],
    }
    if values["protocols"] and caller.account.role.may(Role.OPERATOR):
        values["stored"] = [f"{row}\t{label}" for row, label in stored_ct(premises_of(request), caller)]
    return page(request, caller, "model.html", place="models", **values)


def _protocols_by_model(request: Request) -> dict[str, list[str]]:
    used: dict[str, list[str]] = {}
    for name, protocol in premises_of(request).loaded().site.protocols.items():
        for each in protocol.uses:
            used.setdefault(each.model, []).append(name)
    return used


@router.get("/explain")
def explain_page(request: Request, caller: Reader, series: _Series = None) -> HTMLResponse:
    """Where a file is dropped; a stored series is explained at once."""
    found = [] if series is None else _of_series(request, caller, series)
    return page(request, caller, "explain.html", place="explain", series=series, found=found)


@router.post("/explain")
async def explain_file(request: Request, caller: Reader, x_calling_ae: _AeTitle = "") -> HTMLResponse:
    """What an image would become; it is read and not kept."""
    content = await request.body()
    return await run_in_threadpool(_of_file, request, caller, content, x_calling_ae)


def _of_file(request: Request, caller: Caller, content: bytes, calling_ae: str) -> HTMLResponse:
    from service.arrival.explanation import explained
    from service.arrival.series_of_folder import series_among

    loaded = premises_of(request).loaded()
    found = [explained(each, loaded, calling_ae or None) for each in series_among([content], loaded)]
    return page(request, caller, "explained.html", found=found)


def _of_series(request: Request, caller: Caller, row: int) -> list[object]:
    from service.arrival.explanation import explained
    from service.arrival.series_of_folder import series_among

    premises = premises_of(request)
    series, loaded = premises.ledger.series(row), premises.loaded()
    facts = {"series": row}
    premises.audit.record("looked.series", who=caller.who, address=caller.address, facts=facts)
    files = sorted(series.folder.glob("*.dcm"))
    titles = (series.calling_ae_title.strip(), series.called_ae_title.strip())
    return [explained(each, loaded, *titles) for each in series_among(files, loaded)]
