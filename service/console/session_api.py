"""Signing in and out: ``/api/v1/session``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.backlog.accounts import Account
from service.backlog.roles import Role
from service.backlog.sign_in import csrf_token
from service.console.callers import COOKIE, Caller, Reader, address_of, premises_of
from service.console.refusals import ERRORS, ConsoleRefused, Refusal

if TYPE_CHECKING:
    from service.console.premises import Premises

router = APIRouter(prefix="/api/v1/session", tags=["session"], responses=ERRORS)

_one_at_a_time: Final = threading.Lock()  # else many guesses at once would be made before one is counted
_PATIENCE_SECONDS: Final = 2.0


class Credentials(BaseModel):
    """Who wants to sign in."""

    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=256)


class Session(BaseModel):
    """Who is signed in; ``csrf_token`` goes into the header ``X-CSRF-Token`` of every change by a page."""

    account: str
    role: Role
    csrf_token: str | None


@router.post("", responses={429: {"model": Refusal}})
def sign_in(request: Request, response: Response, credentials: Credentials) -> Session:
    """Begin a session, kept in a cookie that no script can read."""
    premises, address = premises_of(request), address_of(request)
    _must_be_from_here(request)
    if not _one_at_a_time.acquire(timeout=_PATIENCE_SECONDS):
        raise _too_many(1.0)
    try:
        account = _verified(premises, credentials, address)
    finally:
        _one_at_a_time.release()
    secure = premises.started_with.site.console.tls_certificate is not None
    token = keep_session(premises, response, account, secure=secure)
    return Session(account=account.name, role=account.role, csrf_token=csrf_token(token))


def keep_session(premises: Premises, response: Response, account: Account, *, secure: bool) -> str:
    """Begin a session and give it to the browser; ``secure``: to be sent over TLS only."""
    hours = premises.started_with.site.console.session_hours
    token = premises.sign_ins.open_session(account, hours)
    response.set_cookie(
        COOKIE, token, max_age=int(hours * 3600), httponly=True, samesite="strict", secure=secure
    )
    return token


@router.get("")
def who_am_i(caller: Reader) -> Session:
    """Who is asking."""
    return _session_of(caller)


@router.delete("", status_code=204)
def sign_out(request: Request, response: Response, caller: Reader) -> None:
    """End the session at once; a token is left alone."""
    premises = premises_of(request)
    if caller.session is not None:
        premises.sign_ins.close_session(caller.session)
        premises.audit.record("sign-in.ended", who=caller.who, address=caller.address)
    response.delete_cookie(COOKIE)


def _session_of(caller: Caller) -> Session:
    token = None if caller.session is None else csrf_token(caller.session)
    return Session(account=caller.account.name, role=caller.account.role, csrf_token=token)


def _verified(premises: Premises, credentials: Credentials, address: str) -> Account:
    wait = premises.sign_ins.seconds_to_wait(credentials.name, address)
    if wait > 0:
        raise _too_many(wait)
    account = premises.accounts.verified(credentials.name, credentials.password)
    if account is not None:
        premises.sign_ins.succeeded(credentials.name, address)
        premises.audit.record("sign-in.succeeded", who=f"console:{account.name}", address=address)
        return account
    premises.sign_ins.failed(credentials.name, address)
    people = {each.name for each in premises.accounts.all()}
    if not people:
        how = "`delineate users add NAME --role administrator`"
        sentence = f"Nobody has an account yet. On the node's machine: {how}."
        raise ConsoleRefused(403, "console.no-accounts", sentence)
    # What is no name may be a password that was typed into the wrong field: it is not written down.
    name = credentials.name.strip().casefold()
    who = f"console:{name}" if name in people else None
    premises.audit.record("sign-in.failed", who=who, address=address, succeeded=False)
    raise ConsoleRefused(401, "console.sign-in-failed", "Name or password are not right.")


def _too_many(seconds: float) -> ConsoleRefused:
    sentence = f"Too many tries. Try again in {max(1, round(seconds))} s."
    return ConsoleRefused(429, "console.too-many-tries", sentence, retry_after=seconds)


def _must_be_from_here(request: Request) -> None:
    """A page of another site must not sign a person in under a name of its choice."""
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    if foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise ConsoleRefused(403, "console.csrf", "Sign in on the console's own page.")
