"""Who is asking: by the cookie of a session or by a token, and what they may do."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request

from service.backlog.accounts import Account
from service.backlog.roles import Role
from service.backlog.sign_in import csrf_token
from service.console.refusals import ConsoleRefused

if TYPE_CHECKING:
    from service.console.premises import Premises

COOKIE: Final = "delineate_session"
CSRF_HEADER: Final = "X-CSRF-Token"
REFRESH_HEADER: Final = "X-Refresh"
"""Of what a page asks for by itself: nobody sits before it for that reason, and the session may end."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is signed in; ``session`` is None for a program with a token."""

    account: Account
    address: str
    session: str | None

    @property
    def who(self) -> str:
        """As the audit trail names them."""
        return f"console:{self.account.name}"


def premises_of(request: Request) -> Premises:
    """What the process has open."""
    found: Premises = request.app.state.premises
    return found


def address_of(request: Request) -> str:
    """From where the request came."""
    return request.client.host if request.client else "unknown"


def caller_of(request: Request) -> Caller | None:
    """Who is asking; None if nobody whom we know.

    Raises:
        ConsoleRefused: a change that a page of another site may have asked for.
    """
    premises = premises_of(request)
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.casefold() == "bearer":
        account = premises.sign_ins.by_token(token.strip())
        return None if account is None else Caller(account, address_of(request), None)
    session = request.cookies.get(COOKIE)
    if session is None:
        return None
    by_itself = REFRESH_HEADER in request.headers
    idle_minutes = premises.started_with.site.console.idle_minutes
    account = premises.sign_ins.by_session(session, idle_minutes, seen=not by_itself)
    if account is None:
        return None
    if request.method not in _SAFE:
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), csrf_token(session).encode()):
            sentence = f"A change by a page needs the session's token in the header {CSRF_HEADER}."
            raise ConsoleRefused(403, "console.csrf", sentence)
    return Caller(account, address_of(request), session)


class _Needs:
    def __init__(self, role: Role) -> None:
        self._role = role

    def __call__(self, request: Request) -> Caller:
        caller = caller_of(request)
        if caller is None:
            raise ConsoleRefused(401, "console.not-signed-in", "Sign in first, or send a token.")
        if not caller.account.role.may(self._role):
            has = caller.account.role.value
            sentence = f"This needs the role {self._role.value}; {caller.account.name} is {has}."
            raise ConsoleRefused(403, "console.not-allowed", sentence)
        return caller


Reader = Annotated[Caller, Depends(_Needs(Role.READER))]
Operator = Annotated[Caller, Depends(_Needs(Role.OPERATOR))]
Administrator = Annotated[Caller, Depends(_Needs(Role.ADMINISTRATOR))]
