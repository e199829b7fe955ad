"""Sessions and tokens of people who signed in, and the growing delay for those who guess.

What a person holds is random (256 bits); the database keeps its SHA-256 only, so that who reads the database
cannot sign in with what is found there. Failures are counted in the database too: neither a restart nor a
second console lets anybody guess faster.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from service.backlog import account_tables as tables
from service.backlog.accounts import Account, AccountRefused
from service.backlog.audit import AuditTrail
from service.backlog.database import now
from service.backlog.ledger_series import insert_if_new
from service.backlog.roles import Role

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger

TOKEN_PREFIX: Final = "delineate_"  # noqa: S105 - the beginning of every token, so that scanners find lost ones
_FREE_FAILURES: Final = {"person": 5, "address": 20}
_LONGEST_DELAY_SECONDS: Final = 900.0
_FORGOTTEN_SECONDS: Final = 86400.0
_SEEN_SECONDS: Final = 30.0  # a session is written no more often than this


class SignIns:
    """Who is signed in."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def open_session(self, account: Account, hours: float) -> str:
        """Begin a session; what the person's browser keeps."""
        token, at = secrets.token_urlsafe(32), now()
        t = tables.sign_in_session
        values = {"account": account.name, "created_at": at, "seen_at": at, "expires_at": at + hours * 3600}
        with self._ledger.begin() as conn:
            conn.execute(sa.delete(t).where(t.c.expires_at < at))
            conn.execute(sa.insert(t).values(token_sha256=_hashed(token), **values))
        return token

    def by_session(self, token: str, idle_minutes: float, *, seen: bool = True) -> Account | None:
        """Whose session it is; None if it is none, has ended, or was left alone for too long.

        With ``seen=False`` this does not count as a sign of the person's presence.
        """
        t, a, at = tables.sign_in_session, tables.account, now()
        query = sa.select(a.c.name, a.c.role, a.c.created_at, t.c.seen_at).join(t, t.c.account == a.c.name)
        ours = t.c.token_sha256 == _hashed(token)
        with self._ledger.reading() as conn:
            alive = (t.c.expires_at > at) & (t.c.seen_at > at - idle_minutes * 60)
            row = conn.execute(query.where(ours, alive)).first()
        if row is None:
            return None
        if seen and at - row.seen_at > _SEEN_SECONDS:
            with self._ledger.begin() as conn:
                conn.execute(sa.update(t).where(ours).values(seen_at=at))
        return Account(row.name, Role(row.role), row.created_at)

    def close_session(self, token: str) -> None:
        """End a session at once."""
        t = tables.sign_in_session
        with self._ledger.begin() as conn:
            conn.execute(sa.delete(t).where(t.c.token_sha256 == _hashed(token)))

    def new_token(self, account: str, label: str, days: float | None, who: str | None = None) -> str:
        """A token for a program that acts as ``account``; shown once, never again.

        Raises:
            AccountRefused: there is no such account.
        """
        token, at = TOKEN_PREFIX + secrets.token_urlsafe(32), now()
        values = {"account": account, "label": label, "token_sha256": _hashed(token), "created_at": at}
        with self._ledger.begin() as conn:
            a = tables.account
            if conn.execute(sa.select(a.c.name).where(a.c.name == account)).first() is None:
                raise AccountRefused("account.unknown", f"There is no account {account}.")
            ends = None if days is None else at + days * 86400
            conn.execute(sa.insert(tables.api_token).values(**values, expires_at=ends))
            facts = {"account": account, "label": label, "days": days}
            AuditTrail(self._ledger).record("account.token-made", who=who, facts=facts, conn=conn)
        return token

    def by_token(self, token: str) -> Account | None:
        """For whom a token acts; None if it is none or has ended."""
        t, a = tables.api_token, tables.account
        query = sa.select(a.c.name, a.c.role, a.c.created_at).join(t, t.c.account == a.c.name)
        alive = t.c.expires_at.is_(None) | (t.c.expires_at > now())
        with self._ledger.reading() as conn:
            row = conn.execute(query.where(t.c.token_sha256 == _hashed(token), alive)).first()
        return None if row is None else Account(row.name, Role(row.role), row.created_at)

    def seconds_to_wait(self, name: str, address: str) -> float:
        """How long this person at this address, or anybody there, must wait before the next try."""
        t = tables.failed_sign_in
        with self._ledger.reading() as conn:
            keys = _keys(name, address)
            rows = conn.execute(sa.select(t).where(t.c.key.in_(keys.values()))).all()
        found = {row.key: row for row in rows}
        waits = [0.0]
        for kind, key in keys.items():
            if key in found:
                beyond = int(found[key].failures) - _FREE_FAILURES[kind]
                delay = min(2.0**beyond, _LONGEST_DELAY_SECONDS) if beyond >= 0 else 0.0
                waits.append(found[key].last_at + delay - now())
        return max(waits)

    def failed(self, name: str, address: str) -> None:
        """A try that did not succeed."""
        t, at = tables.failed_sign_in, now()
        with self._ledger.begin() as conn:
            conn.execute(sa.delete(t).where(t.c.last_at < at - _FORGOTTEN_SECONDS))
            for key in _keys(name, address).values():
                more = {
                    "failures": sa.case((t.c.failures < 60, t.c.failures + 1), else_=t.c.failures),
                    "last_at": at,
                }
                conn.execute(insert_if_new(conn, t).values(key=key, failures=0, last_at=at))
                conn.execute(sa.update(t).where(t.c.key == key).values(**more))

    def succeeded(self, name: str, address: str) -> None:
        """The person's own failures are forgotten; the address's are not: it may be guessing at others."""
        t = tables.failed_sign_in
        with self._ledger.begin() as conn:
            conn.execute(sa.delete(t).where(t.c.key == _keys(name, address)["person"]))


def csrf_token(session: str) -> str:
    """What a page must send back with every change: made of the session, which no script can read."""
    return hashlib.sha256(f"csrf:{session}".encode()).hexdigest()


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _keys(name: str, address: str) -> dict[str, str]:
    """The person is counted at each address apart: nobody else can lock them out of their own place."""
    person = f"person:{name.strip().casefold()[:64]}@{address}"
    return {"person": _hashed(person), "address": _hashed(f"address:{address}")}
