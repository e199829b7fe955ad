"""Where ledger and engine differ: what the one has waiting and the other does not know, or gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.backlog.commitment_records import AskedState, CommitmentState
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


def end_commitment(ledger: Ledger, payload: str) -> None:
    """The engine set a row of storage commitment aside: nobody is asked, or answered, any more."""
    kind, _, number = payload.partition(":")
    if kind == "report":
        ledger.move_asked(int(number), AskedState.UNREACHABLE)
        return
    sentence = "Asking for storage commitment failed in an unforeseen way. See the log, then resend."
    state, code = CommitmentState.UNANSWERED, "commitment.set-aside"
    ledger.end_commitment(int(number), state, code=code, sentence=sentence)


def _commitments(ledger: Ledger) -> Iterator[str]:
    yield from (f"ask:{delivery_id}" for delivery_id in ledger.open_commitments())
    yield from (f"report:{asked_id}" for asked_id in ledger.open_asked())
