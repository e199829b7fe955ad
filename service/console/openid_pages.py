"""Leaving for the provider and coming back from it: ``/sign-in/oidc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from service.backlog.accounts import AccountRefused
from service.console.callers import address_of, premises_of
from service.console.openid import KEPT_SECONDS, OpenIdRefused
from service.console.pages.rendering import PageRoute, page
from service.console.refusals import ConsoleRefused
from service.console.session_api import keep_session

if TYPE_CHECKING:
    from service.console.openid import OpenId
    from service.console.premises import Premises

COOKIE: Final = "delineate_oidc"
_PATH: Final = "/sign-in/oidc"

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(_PATH)
def leave(request: Request) -> Response:
    """To the provider."""
    address, kept = _provider(premises_of(request)).begin()
    answer = RedirectResponse(address, status_code=303)
    answer.set_cookie(
        COOKIE,
        kept,
        max_age=KEPT_SECONDS,
        path=_PATH,
        httponly=True,
        samesite="lax",  # the provider's page leads back here
        secure=_is_secure(premises_of(request)),
    )
    return answer


@router.get(f"{_PATH}/return")
def come_back(request: Request) -> Response:
    """From the provider: a session, or why not."""
    premises, address = premises_of(request), address_of(request)
    name = None
    try:
        person = _provider(premises).finish(request.cookies.get(COOKIE, ""), request.query_params)
        name = person.name
        account = premises.accounts.vouched_for(name, person.role)
    except (OpenIdRefused, AccountRefused) as refusal:
        name = refusal.name if isinstance(refusal, OpenIdRefused) else name
        who = None if name is None else f"console:{name[:64]}"
        failed = {"by": "oidc", "reason": refusal.code}
        premises.audit.record("sign-in.failed", who=who, address=address, succeeded=False, facts=failed)
        raise
    facts = {"by": "oidc"}
    premises.audit.record("sign-in.succeeded", who=f"console:{account.name}", address=address, facts=facts)
    # A page and no redirect: a browser that comes from elsewhere would not send the session's cookie along.
    answer = page(request, None, "signed_in.html")
    keep_session(premises, answer, account, secure=_is_secure(premises))
    answer.delete_cookie(COOKIE, path=_PATH)
    return answer


def _provider(premises: Premises) -> OpenId:
    if premises.openid is None:
        raise ConsoleRefused(404, "console.not-found", "There is nothing at this address.")
    return premises.openid


def _is_secure(premises: Premises) -> bool:
    """Whether the browser speaks TLS: to us, or to what stands before us."""
    console = premises.started_with.site.console
    before = console.oidc is not None and console.oidc.address.startswith("https:")
    return before or console.tls_certificate is not None
