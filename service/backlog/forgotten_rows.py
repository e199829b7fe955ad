"""Finding what the ledger has waiting and the engine does not know, so that it can be submitted anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.backlog.database import now
from service.backlog.engine import COMMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger


def any_with(keys: Collection[str], prefix: str) -> bool:
    """Whether a key begins so."""
    return any(key.startswith(prefix) for key in keys)


def submit_commitments(ledger: Ledger, engine: EngineClient, known: Collection[str]) -> int:
    """Submit questions for storage commitment, and answers to it, that are not among the ``known`` keys."""
    forgotten = [row for row in _commitments(ledger) if not any_with(known, f"{COMMIT}:{row}:")]
    for row in forgotten:
        engine.submit_now(COMMIT, f"{COMMIT}:{row}:r{int(now())}", row)
    return len(forgotten)


def _commitments(ledger: Ledger) -> Iterator[str]:
    yield from (f"ask:{delivery_id}" for delivery_id in ledger.open_commitments())
    yield from (f"report:{asked_id}" for asked_id in ledger.open_asked())
