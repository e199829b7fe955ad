"""Whom arrival turned away and which instances it refused: counted, and written into the audit trail.

Counts go to a file in the storage folder, where the process that answers ``/metrics`` finds them. The trail
gets each kind of refusal of each peer when it first happens, and at the end of an hour how often it happened
since. So a scanner of ports that comes all day fills neither disk nor trail.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from service.backlog.audit import AuditTrail
from service.log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

    from service.backlog.ledger import Ledger

NAMED_AN_HOUR: Final = 30
"""So many pairs of peer and reason have their own entries in an hour; the rest share one for each reason."""

HOUR_SECONDS: Final = 3600.0
COUNTS_SECONDS: Final = 5.0
_LONGEST_TITLE: Final = 16  # PS3.5 6.2, AE
_log = EventLog("arrival")


class Kind(NamedTuple):
    """What is counted together: association or instance, why, and a sender of the configuration or ''."""

    what: str
    reason: str
    sender: str


class _Peer(NamedTuple):
    reason: str
    title: str | None
    address: str | None


@dataclass
class _Row:
    """Entries of the trail that are due: a peer and how often."""

    peer: _Peer
    count: int


@dataclass
class Refusals:
    """Counts in memory; any thread may add to it."""

    counts: Counter[Kind] = field(default_factory=Counter)
    _named: dict[_Peer, int] = field(default_factory=dict)
    _rest: Counter[str] = field(default_factory=Counter)
    _new: list[_Row] = field(default_factory=list)
    _hour_ends: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, reason: str, *, address: str, title: str = "", sender: str = "") -> None:
        """One more.

        Args:
            what: ``association`` or ``instance``.
            reason: a code of ours.
            address: of the peer.
            title: the AE title that it gave, whatever that is.
            sender: the same if the configuration names it among the senders.
        """
        given = "".join(sign if sign.isprintable() else " " for sign in title[:_LONGEST_TITLE]).strip()
        peer = _Peer(reason, given or None, address)
        with self._lock:
            self.counts[Kind(what, reason, sender)] += 1
            if peer in self._named:
                self._named[peer] += 1
            elif len(self._named) < NAMED_AN_HOUR:
                self._named[peer] = 0
                self._new.append(_Row(peer, 1))
            else:
                self._rest[reason] += 1

    def so_far(self) -> Counter[Kind]:
        """The counts as they are now."""
        with self._lock:
            return Counter(self.counts)

    def due(self, at: float, *, ending: bool = False) -> list[_Row]:
        """What the trail is to be told now; ``ending``: all of it."""
        with self._lock:
            if self._hour_ends is None and self._named:
                self._hour_ends = at + HOUR_SECONDS
            rows, self._new = self._new, []
            if ending or (self._hour_ends is not None and at >= self._hour_ends):
                rows += [_Row(peer, count) for peer, count in self._named.items() if count]
                rows += [_Row(_Peer(reason, None, None), count) for reason, count in self._rest.items()]
                self._named, self._hour_ends = {}, None
                self._rest.clear()
            return rows

    def put_back(self, rows: list[_Row]) -> None:
        """They could not be written."""
        with self._lock:
            self._new = rows + self._new


class RefusalKeeper:
    """Writes what :class:`Refusals` counts, for one process of a host.

    Args:
        refusals: what is counted.
        ledger: has the trail.
        storage: the node's storage folder.
    """

    def __init__(self, refusals: Refusals, ledger: Ledger, storage: Path) -> None:
        self._refusals = refusals
        self._audit = AuditTrail(ledger)
        self._ledger = ledger
        self._file = storage / f"refusals.{socket.gethostname()}.json"
        self._written = read_file(self._file)
        refusals.counts.update(self._written)
        self._next_at = 0.0

    def keep(self, at: float, *, ending: bool = False) -> None:
        """Write what is due at this moment, in seconds; what disk or database do not take is kept."""
        if at < self._next_at and not ending:
            return
        self._next_at = at + COUNTS_SECONDS
        self._write_counts()
        rows = self._refusals.due(at, ending=ending)
        if not rows:
            return
        try:
            with self._ledger.begin() as conn:
                for row in rows:
                    self._record(row, conn)
        except SQLAlchemyError as error:  # receiving goes on
            self._refusals.put_back(rows)
            _log.failure("audit.not-written", error)

    def _record(self, row: _Row, conn: sa.Connection) -> None:
        reason, title, address = row.peer
        facts: dict[str, object] = {"count": row.count}
        self._audit.record(reason, who=title, address=address, succeeded=False, facts=facts, conn=conn)

    def _write_counts(self) -> None:
        counts = self._refusals.so_far()
        if counts == self._written:
            return
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps([[*kind, count] for kind, count in counts.items()]), encoding="utf-8")
            part.replace(self._file)
        except OSError:  # told again with the next turn
            return
        self._written = counts


def read_refusals(storage: Path) -> Counter[Kind]:
    """The counts of all hosts that share this storage folder."""
    total: Counter[Kind] = Counter()
    for file in storage.glob("refusals.*.json"):
        total.update(read_file(file))
    return total


def read_file(file: Path) -> Counter[Kind]:
    """The counts of one host; empty if it has refused nothing yet."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return Counter({Kind(*map(str, kind)): int(count) for *kind, count in rows})
    except (OSError, ValueError, TypeError):
        return Counter()
