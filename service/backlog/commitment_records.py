"""What the ledger keeps of storage commitment, and the states it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CommitmentState(StrEnum):
    """How far a destination has committed itself to keep a structure set that it acknowledged."""

    WANTED = "commitment wanted"
    ASKED = "commitment asked"
    COMMITTED = "committed"
    REFUSED = "commitment refused"
    NOT_OFFERED = "commitment not offered"
    UNANSWERED = "commitment unanswered"

    @property
    def is_open(self) -> bool:
        """Whether an answer may still come."""
        return self in (CommitmentState.WANTED, CommitmentState.ASKED)


@dataclass(frozen=True, slots=True, repr=False)
class Commitment:
    """What became of one delivery after it was acknowledged.

    Attributes:
        delivery_id: row in the ledger.
        state: how far it is.
        failure_reason: (0008,1197) as the destination gave it.
        created_at: when the delivery was acknowledged, seconds since the epoch.
        requests: how often the destination was asked.
    """

    delivery_id: int
    state: CommitmentState
    failure_reason: int | None
    created_at: float
    requests: int


class AskedState(StrEnum):
    """Whether a sender that asked us has its answer."""

    WAITING = "waiting"
    REPORTED = "reported"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, repr=False)
class AskedCommitment:
    """A sender's request, from when it was taken until it is answered.

    Attributes:
        id: row in the ledger.
        ae_title, address: of the sender that asked.
        transaction_uid: its name for the request.
        instances: (SOP class UID, SOP instance UID) of each that it names.
        state: whether it has its answer.
        asked_at, updated_at: seconds since the epoch.
    """

    id: int
    ae_title: str
    address: str
    transaction_uid: str
    instances: tuple[tuple[str, str], ...]
    state: AskedState
    asked_at: float
    updated_at: float
