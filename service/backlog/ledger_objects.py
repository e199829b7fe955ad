"""The ledger's part for objects that are made after the structure set of their job has left."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from models.volume import Severity
from service.backlog import ledger_tables as tables
from service.backlog.delivery_records import newest_of
from service.backlog.ledger_deliveries import DeliveryLedger
from service.backlog.records import Delivery, DeliveryState, JobState
from service.config.output_objects import ObjectKind

GOES_ON: Final = (JobState.DELIVERING, JobState.HELD)
"""States of a job whose further objects are still wanted."""

_KEPT: Final = "delivery.awaits-release"
"""Why one that is being made will be held, although its job has left HELD for another destination."""


class ObjectLedger(DeliveryLedger):
    """Deliveries of which the object is still to be made."""

    def being_made(self, job_id: str, conn: sa.Connection | None = None) -> list[Delivery]:
        """Of a job, the deliveries whose object is still to be made, oldest first."""
        found = newest_of(self.deliveries(job_id, conn))
        return [each for each in found if each.state is DeliveryState.MAKING]

    def jobs_being_made(self, before: float) -> list[str]:
        """Jobs with objects that have been waiting to be made since before then (seconds since the epoch)."""
        d, j = tables.delivery, tables.job
        query = sa.select(d.c.job_id).distinct().join(j, d.c.job_id == j.c.id)
        making = (d.c.state == DeliveryState.MAKING.value, d.c.updated_at < before)
        query = query.where(*making, j.c.state.in_([state.value for state in GOES_ON]))
        with self.reading() as conn:
            return list(conn.execute(query).scalars())

    def object_made(self, conn: sa.Connection, delivery_id: int, sop_instance_uid: str) -> Delivery:
        """An object is there: its delivery, which waits or is held now, or is as it was if nobody wants it.

        ``sop_instance_uid`` is what the file says; it was never sent under another.
        """
        delivery = self._locked(conn, delivery_id)
        job = self.job(delivery.job_id, conn)
        if delivery.state is not DeliveryState.MAKING or job.state not in GOES_ON:
            return delivery
        t = tables.delivery
        there = {"sop_instance_uid": sop_instance_uid, "reason": None}
        conn.execute(sa.update(t).where(t.c.id == delivery_id).values(there))
        held = job.state is JobState.HELD or delivery.reason == _KEPT
        to = DeliveryState.HELD if held else DeliveryState.WAITING
        return self.move_delivery(conn, delivery_id, to)

    def let_leave(self, conn: sa.Connection, job_id: str, destination: str | None = None) -> None:
        """What is still to be made of a held job leaves when it is there: for one destination, or for all."""
        held = self.locked_job(conn, job_id).state is JobState.HELD
        t = tables.delivery
        making = (t.c.job_id == job_id) & (t.c.state == DeliveryState.MAKING.value)
        if held and destination is not None:
            conn.execute(sa.update(t).where(making).values(reason=_KEPT))
        wanted = making if destination is None else making & (t.c.destination == destination)
        conn.execute(sa.update(t).where(wanted).values(reason=None))

    def end_making(
        self, conn: sa.Connection, job_id: str, code: str, sentence: str, kind: ObjectKind | None = None
    ) -> int:
        """Objects of a job (of one kind, if named) cannot be made: said as findings, and the job is settled.

        Returns:
            How many deliveries have ended so.
        """
        job = self.locked_job(conn, job_id)
        ended = [each for each in self.being_made(job_id, conn) if kind in (None, each.kind)]
        if not ended or job.state not in GOES_ON:
            return 0
        t = tables.finding
        same = (t.c.job_id == job_id) & (t.c.code == code) & (t.c.sentence == sentence)
        conn.execute(sa.delete(t).where(same))  # said by an earlier try
        row = {"code": code, "sentence": sentence, "structure": None, "severity": Severity.WARNING.value}
        conn.execute(sa.insert(t).values(job_id=job_id, **row))
        for each in ended:
            self.move_delivery(conn, each.id, DeliveryState.DEAD, code=code, sentence=sentence)
        self.settle_job(conn, job_id)
        return len(ended)

    def make_again(self, conn: sa.Connection, delivery: Delivery, who: str | None = None) -> Delivery:
        """What a delivery ended without is to be made after all; the caller submits the job."""
        key = (delivery.job_id, delivery.destination, delivery.kind, delivery.generation + 1)
        return self._insert(conn, key, delivery.file, delivery.sop_instance_uid, DeliveryState.MAKING, who)
