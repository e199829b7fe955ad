"""The audit trail: who did what to which CT, and when.

What happened to a series or a job stands among its events already (received, sent with what outcome, retried,
released); this adds what is no event of a job, in a table that the database keeps from being changed, and
reads both as one trail. Entries name jobs and series by id; who they belong to says the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from service.backlog import account_tables as people
from service.backlog import ledger_tables as tables
from service.backlog.database import now

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger

_BATCH: Final = 1000


class Deed(StrEnum):
    """What kind of thing was done."""

    RECEIVED = "received"
    PULLED = "pulled"
    SENT = "sent"
    REFUSED = "refused"
    CHANGED = "changed"
    LOOKED = "looked"
    DELETED = "deleted"
    SIGNED_IN = "signed-in"
    PEOPLE = "people"
    CONFIGURATION = "configuration"
    AUDIT_READ = "audit-read"


_DEED_OF: Final = {
    "association": Deed.REFUSED,
    "instance": Deed.REFUSED,
    "spool": Deed.REFUSED,
    "tls": Deed.REFUSED,
    "account": Deed.PEOPLE,
    "audit": Deed.AUDIT_READ,
    "config": Deed.CONFIGURATION,
    "looked": Deed.LOOKED,
    "pull": Deed.PULLED,
    "sign-in": Deed.SIGNED_IN,
    "destination": Deed.CHANGED,
    "quality": Deed.CHANGED,
}
"""By the first word of a code in the table ``audit``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trail.

    Attributes:
        at: seconds since the epoch.
        deed: what kind of thing.
        code: exactly what.
        who: a login, ``console:<account>``, an AE title, or None for the node itself; of what was refused
            the AE title that was given, or None for several peers.
        address: of who did it, where that is known.
        succeeded: whether it came about.
        job_id, series_id: what it was done to.
        facts: further particulars; no patient's.
    """

    at: float
    deed: Deed
    code: str
    who: str | None
    address: str | None
    succeeded: bool
    job_id: str | None
    series_id: int | None
    facts: Mapping[str, Any]


class AuditTrail:
    """Writes the trail and reads it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def record(  # noqa: PLR0913 one row
        self,
        code: str,
        *,
        who: str | None,
        address: str | None = None,
        succeeded: bool = True,
        job_id: str | None = None,
        facts: Mapping[str, object] | None = None,
        conn: sa.Connection | None = None,
    ) -> None:
        """Add an entry, in the caller's transaction if there is one; its code begins with a known word."""
        _ = _DEED_OF[code.partition(".")[0]]
        values = {"at": now(), "code": code, "who": who, "address": address, "succeeded": succeeded}
        statement = sa.insert(people.audit).values(
            **values, job_id=job_id, facts=dict(facts) if facts else None
        )
        if conn is not None:
            conn.execute(statement)
            return
        with self._ledger.begin() as own:
            own.execute(statement)

    def entries(
        self, since: float = 0.0, until: float | None = None, *, limit: int | None = None
    ) -> list[Entry]:
        """The trail of that time, oldest first; with ``limit`` the newest of it."""
        until = now() + 1 if until is None else until
        with self._ledger.reading() as conn:
            found = [
                *self._newest(_of_events(conn, since, until), limit),
                *self._newest(_of_audit(conn, since, until), limit),
                *self._newest(_of_configurations(conn, since, until), limit),
            ]
        return sorted(found, key=lambda entry: entry.at)[-limit if limit else 0 :]

    def coded(self, code: str, since: float = 0.0) -> list[Entry]:
        """Entries of that code in the table ``audit``, oldest first."""
        a = people.audit
        with self._ledger.reading() as conn:
            return [*_of_audit(conn, since, now() + 1, a.c.code == code)][::-1]

    def _newest(self, entries: Iterator[Entry], limit: int | None) -> Iterator[Entry]:
        for count, entry in enumerate(entries):
            if limit is not None and count >= limit:
                return
            yield entry


def _of_events(conn: sa.Connection, since: float, until: float) -> Iterator[Entry]:
    """Newest first."""
    e = tables.event
    query = sa.select(e).where(e.c.at >= since, e.c.at < until).order_by(e.c.at.desc(), e.c.id.desc())
    for row in conn.execute(query.execution_options(yield_per=_BATCH)).mappings():
        facts = row["facts"] or {}
        deed = _deed_of_event(row["code"], row["who"], facts)
        if deed is None:
            continue
        received = deed is Deed.RECEIVED
        yield Entry(
            at=row["at"],
            deed=deed,
            code=row["code"],
            who=facts.get("sender") if received else row["who"],
            address=facts.get("address") if received else None,
            succeeded=deed is not Deed.SENT or facts.get("state") == "delivered",
            job_id=row["job_id"],
            series_id=row["series_id"],
            facts=facts,
        )


def _deed_of_event(code: str, who: str | None, facts: Mapping[str, Any]) -> Deed | None:
    """None for what the node did by itself with what it had."""
    if code == "series.pulled":
        return Deed.PULLED
    if "sender" in facts:
        return Deed.RECEIVED
    if "attempt" in facts:
        return Deed.SENT
    if code in ("series.purged", "job.purged"):
        return Deed.DELETED
    return None if who is None else Deed.CHANGED


def _of_audit(
    conn: sa.Connection, since: float, until: float, *further: sa.ColumnElement[bool]
) -> Iterator[Entry]:
    """Newest first."""
    a = people.audit
    query = sa.select(a).where(a.c.at >= since, a.c.at < until, *further)
    query = query.order_by(a.c.at.desc(), a.c.id.desc())
    for row in conn.execute(query.execution_options(yield_per=_BATCH)).mappings():
        same = {name: row[name] for name in ("at", "code", "who", "address", "succeeded", "job_id")}
        deed = _DEED_OF[row["code"].partition(".")[0]]
        yield Entry(deed=deed, series_id=None, facts=row["facts"] or {}, **same)


def _of_configurations(conn: sa.Connection, since: float, until: float) -> Iterator[Entry]:
    """A configuration that came into force; who edited the file, only the file system knows."""
    c = tables.config
    query = sa.select(c.c.version, c.c.first_used_at)
    query = query.where(c.c.first_used_at >= since, c.c.first_used_at < until)
    for version, at in conn.execute(query.order_by(c.c.first_used_at.desc())):
        facts = {"version": version}
        yield Entry(at, Deed.CONFIGURATION, "config.in-force", None, None, True, None, None, facts)
