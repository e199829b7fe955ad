"""A delivery: one object on its way to one destination, its states, and which of several is the newest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.config.output_objects import ObjectKind


class DeliveryState(StrEnum):
    """Where one object for one destination is.

    MAKING: it follows a structure set and is not there yet.
    """

    MAKING = "making"
    WAITING = "waiting"
    SENDING = "sending"
    RETRYING = "retrying"
    HELD = "held"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"


_MADE: Final = frozenset(DeliveryState) - {DeliveryState.MAKING}
DELIVERY_ARROWS: Final[dict[DeliveryState, frozenset[DeliveryState]]] = {
    DeliveryState.MAKING: frozenset(
        {DeliveryState.WAITING, DeliveryState.HELD, DeliveryState.DEAD, DeliveryState.CANCELLED}
    ),
    DeliveryState.WAITING: _MADE - {DeliveryState.WAITING, DeliveryState.RETRYING},
    DeliveryState.SENDING: _MADE - {DeliveryState.WAITING},
    DeliveryState.RETRYING: _MADE - {DeliveryState.RETRYING, DeliveryState.DELIVERED},
    DeliveryState.HELD: frozenset(
        {DeliveryState.WAITING, DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.CANCELLED}
    ),
    DeliveryState.DELIVERED: frozenset(),
    DeliveryState.DEAD: frozenset({DeliveryState.CANCELLED}),
    DeliveryState.CANCELLED: frozenset({DeliveryState.DELIVERED}),
}


@dataclass(frozen=True, slots=True, repr=False)
class Delivery:
    """One object on its way to one destination.

    Attributes:
        id, job_id: row in the ledger, and what it came from.
        destination: name in the configuration.
        file: the encoded object; its bytes never change once written. It may be still to be made.
        sop_instance_uid: fixed before the first attempt.
        state: where it is.
        attempts: how often it was tried.
        last_status: DIMSE status of the last attempt, None if there was no response.
        reason: code of the last failure; of one that is being made, why it will be held.
        generation: 1, and one more for each time it was sent again on purpose.
        created_at, updated_at: seconds since the epoch; giving up counts from the first.
        next_at: when it is tried again, if it is.
        kind: what the object is.
    """

    id: int
    job_id: str
    destination: str
    file: Path
    sop_instance_uid: str
    state: DeliveryState
    attempts: int
    last_status: int | None = None
    reason: str | None = None
    generation: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    next_at: float | None = None
    kind: ObjectKind = ObjectKind.RTSTRUCT

    @property
    def noun(self) -> str:
        """What people call the object."""
        return _NOUNS.get(self.kind, self.kind.value)

    @property
    def heading(self) -> str:
        """The same at the beginning of a sentence, and where it goes."""
        return f"{self.noun[0].upper()}{self.noun[1:]} for {self.destination}"


_NOUNS: Final = {
    ObjectKind.RTSTRUCT: "structure set",
    ObjectKind.LABELMAP: "label map segmentation",
    ObjectKind.PREVIEW_PDF: "preview (PDF)",
    ObjectKind.NIFTI: "NIfTI label map",
    ObjectKind.NIFTI_STRUCTURES: "NIfTI masks",
}


def delivery_of(row: sa.RowMapping, file: Path) -> Delivery:
    """The delivery of the ledger's row; ``file`` is its file as this process finds it."""
    same: tuple[str, ...] = ("id", "job_id", "destination", "sop_instance_uid", "attempts", "last_status")
    same += ("reason", "generation", "created_at", "updated_at", "next_at")
    return Delivery(
        **{name: row[name] for name in same},
        file=file,
        state=DeliveryState(row["state"]),
        kind=ObjectKind(row["kind"]),
    )


def new_row(
    key: tuple[str, str, ObjectKind, int], file: str, sop_instance_uid: str, state: DeliveryState, at: float
) -> dict[str, object]:
    """The ledger's row of a new delivery: of which job to where, what, for the how manyth time."""
    job_id, destination, kind, generation = key
    return {
        "job_id": job_id,
        "destination": destination,
        "kind": kind.value,
        "generation": generation,
        "file": file,
        "sop_instance_uid": sop_instance_uid,
        "state": state.value,
        "attempts": 0,
        "submissions": 1,
        "created_at": at,
        "updated_at": at,
    }


def why_not_there(conn: sa.Connection, dead: Delivery) -> str:
    """What the destination said last, or the job's findings of an object that could not be made.

    After a space; empty if nothing.
    """
    a, f = tables.attempt.c, tables.finding.c
    last = (a.delivery_id == dead.id) & (a.n == dead.attempts) & (a.code == dead.reason)
    of_job = (f.job_id == dead.job_id) & (f.code == dead.reason)
    said = conn.execute(sa.select(a.sentence).where(last)).scalar()
    found = said or conn.execute(sa.select(f.sentence).where(of_job).order_by(f.id)).scalar()
    return f" {found}" if found else ""


def was_never_made(delivery: Delivery) -> bool:
    """Whether a delivery ended before its object, which follows a structure set, was there to be sent."""
    ended = delivery.state in (DeliveryState.DEAD, DeliveryState.CANCELLED)
    follows = delivery.kind is not ObjectKind.RTSTRUCT
    return ended and follows and delivery.attempts == 0 and not delivery.file.exists()


def newest_of(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Of a job's deliveries, oldest first, the newest of each object to each destination."""
    return list({(each.destination, each.kind): each for each in deliveries}.values())
