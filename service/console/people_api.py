"""People and the audit trail, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from service.backlog.accounts import Accounts
from service.backlog.audit import Deed, Entry
from service.backlog.documents import iso
from service.backlog.roles import Role
from service.console.callers import Administrator, Caller, premises_of
from service.console.refusals import ERRORS, ConsoleRefused

_EPOCH_AT_MOST: Final = 1e11

router = APIRouter(prefix="/api/v1", responses=ERRORS)


class AccountOut(BaseModel):
    """A person."""

    name: str
    role: Role
    created: str | None


class NewAccount(BaseModel):
    """A person to let in."""

    name: str = Field(min_length=1, max_length=64)
    role: Role
    password: str = Field(min_length=1, max_length=256)


class RoleOnly(BaseModel):
    """Another role."""

    role: Role


class AuditEntry(BaseModel):
    """One line of the audit trail."""

    at: str
    deed: Deed
    code: str
    who: str | None
    address: str | None
    succeeded: bool
    job: str | None
    facts: dict[str, Any]


Name = Annotated[str, Path(max_length=64)]


@router.get("/users", tags=["users"])
def users(request: Request, _: Administrator) -> list[AccountOut]:
    """Everybody who may sign in."""
    zone = premises_of(request).started_with.site.node.timezone
    everybody = premises_of(request).accounts.all()
    return [AccountOut(name=one.name, role=one.role, created=iso(one.created_at, zone)) for one in everybody]


@router.post("/users", status_code=201, tags=["users"])
def add_user(request: Request, caller: Administrator, new: NewAccount) -> AccountOut:
    """Let a person in."""
    made = _accounts(request, caller).add(new.name, new.role, new.password)
    zone = premises_of(request).started_with.site.node.timezone
    return AccountOut(name=made.name, role=made.role, created=iso(made.created_at, zone))


@router.put("/users/{name}/role", status_code=204, tags=["users"])
def set_role(request: Request, caller: Administrator, name: Name, wanted: RoleOnly) -> None:
    """Let a person do more or less; not oneself."""
    _not_oneself(caller, name)
    _accounts(request, caller).set_role(name, wanted.role)


@router.delete("/users/{name}", status_code=204, tags=["users"])
def remove_user(request: Request, caller: Administrator, name: Name) -> None:
    """Take a person out, with sessions and tokens; not oneself."""
    _not_oneself(caller, name)
    _accounts(request, caller).remove(name)


@router.get("/audit", tags=["audit"])
def audit(
    request: Request,
    caller: Administrator,
    since: Annotated[float, Query(ge=0, le=_EPOCH_AT_MOST, description="seconds since the epoch")] = 0.0,
    until: Annotated[
        float | None, Query(ge=0, le=_EPOCH_AT_MOST, description="seconds since the epoch")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="at most so many, the newest")] = 1000,
) -> list[AuditEntry]:
    """Who did what to which job, and when; oldest first."""
    premises = premises_of(request)
    found = premises.audit.entries(since, until, limit=limit)
    facts = {"count": len(found)}
    premises.audit.record("audit.read", who=caller.who, address=caller.address, facts=facts)
    zone = premises.started_with.site.node.timezone
    return [_entry(each, zone) for each in found]


def _entry(entry: Entry, zone: str) -> AuditEntry:
    values = asdict(entry) | {"at": iso(entry.at, zone), "job": entry.job_id}
    return AuditEntry.model_validate(values)


def _accounts(request: Request, caller: Caller) -> Accounts:
    return Accounts(premises_of(request).ledger, caller.who)


def _not_oneself(caller: Caller, name: str) -> None:
    if name.strip().casefold() == caller.account.name:
        sentence = "Nobody changes their own role or takes themselves out; another administrator does."
        raise ConsoleRefused(409, "console.oneself", sentence)
