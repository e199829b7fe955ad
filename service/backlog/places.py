"""What the ledger knows of destinations and senders: how it went there, what came from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.records import DeliveryState, SeriesState

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger


@dataclass(frozen=True, slots=True)
class DestinationSeen:
    """Deliveries by state, and the last attempts; times are seconds since the epoch."""

    deliveries: Mapping[str, int]
    last_success_at: float | None
    last_attempt_at: float | None
    last_code: str | None
    last_sentence: str | None


@dataclass(frozen=True, slots=True)
class SenderSeen:
    """Series by state, refused ones by reason, and the last arrival."""

    series: Mapping[str, int]
    refused: Mapping[str, int]
    last_at: float


def destinations_seen(ledger: Ledger) -> dict[str, DestinationSeen]:
    """By the destination's name."""
    d, a = tables.delivery, tables.attempt
    with ledger.reading() as conn:
        by_state = _nested(conn, d.c.destination, d.c.state)
        delivered = d.c.state == DeliveryState.DELIVERED.value
        successes = sa.select(d.c.destination, sa.func.max(d.c.updated_at)).where(delivered)
        success = {name: float(at) for name, at in conn.execute(successes.group_by(d.c.destination))}
        newest = sa.select(d.c.destination, sa.func.max(a.c.started_at).label("at"))
        newest_of = newest.join(a, a.c.delivery_id == d.c.id).group_by(d.c.destination).subquery()
        same = (newest_of.c.destination == d.c.destination) & (newest_of.c.at == a.c.started_at)
        query = sa.select(d.c.destination, a.c.started_at, a.c.code, a.c.sentence)
        rows = conn.execute(query.join(a, a.c.delivery_id == d.c.id).join(newest_of, same)).all()
    last = {row.destination: row for row in rows}
    return {
        name: DestinationSeen(
            counts,
            success.get(name),
            last[name].started_at if name in last else None,
            last[name].code if name in last else None,
            last[name].sentence if name in last else None,
        )
        for name, counts in by_state.items()
    }


def senders_seen(ledger: Ledger) -> dict[str, SenderSeen]:
    """By AE title, of all series in the ledger."""
    s = tables.series
    title = s.c.calling_ae_title
    with ledger.reading() as conn:
        states = _nested(conn, title, s.c.state)
        reasons = _nested(conn, title, s.c.code, s.c.state == SeriesState.REFUSED.value)
        newest = sa.select(title, sa.func.max(s.c.last_at)).group_by(title)
        last = {name: float(at) for name, at in conn.execute(newest)}
    return {
        name.strip(): SenderSeen(counts, reasons.get(name, {}), last[name]) for name, counts in states.items()
    }


def _nested(
    conn: sa.Connection, outer: sa.Column[str], inner: sa.Column[str], *where: sa.ColumnElement[bool]
) -> dict[str, dict[str, int]]:
    """How many rows there are of each pair."""
    found: dict[str, dict[str, int]] = {}
    query = sa.select(outer, inner, sa.func.count()).where(*where).group_by(outer, inner)
    for first, second, count in conn.execute(query):
        found.setdefault(first, {})[second or ""] = count
    return found
