"""Where people sign in, and the files that every page is made of."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from service.console.callers import caller_of, premises_of
from service.console.pages.rendering import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """Name and password; who is signed in goes on to the worklist."""
    if caller_of(request) is not None:
        return RedirectResponse("/", status_code=303)
    by_provider = premises_of(request).openid is not None
    return page(request, None, "sign_in.html", by_provider=by_provider)
