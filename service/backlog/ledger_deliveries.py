"""The ledger's part for delivery: objects on their way, and every attempt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.database import LedgerRefused, now
from service.backlog.delivery_records import delivery_of, new_row, newest_of, why_not_there
from service.backlog.ledger_jobs import JobLedger
from service.backlog.records import DELIVERY_ARROWS, Delivery, DeliveryState, JobState
from service.config.output_objects import ObjectKind

_TO_BE_SENT: Final = frozenset({DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.RETRYING})
OPEN: Final = _TO_BE_SENT | {DeliveryState.HELD, DeliveryState.MAKING}
_OVERTAKEN: Final = frozenset(DeliveryState) - {DeliveryState.SENDING, DeliveryState.RETRYING}


class DeliveryLedger(JobLedger):
    """Deliveries and their attempts."""

    def create_delivery(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        *,
        job_id: str,
        destination: str,
        file: Path,
        sop_instance_uid: str,
        state: DeliveryState = DeliveryState.WAITING,
        kind: ObjectKind = ObjectKind.RTSTRUCT,
    ) -> Delivery:
        """Create the delivery of (job, destination, kind), or return the one that exists.

        A set that was contoured anew after the earlier delivery had ended is a new delivery, and so is one
        whose delivery had been given up: its job was tried again.

        Raises:
            LedgerRefused: another set of the same job is still on its way there.
        """
        self.locked_job(conn, job_id)
        latest = self._latest(conn, job_id, destination, kind)
        if latest is not None:
            given_up = latest.state in {DeliveryState.CANCELLED, DeliveryState.DEAD}
            if latest.sop_instance_uid == sop_instance_uid and not given_up:
                return latest
            if latest.state in OPEN:
                code, sentence = (
                    "delivery.other-set",
                    "Another structure set of this job is still on its way there.",
                )
                raise LedgerRefused(code, sentence)
        generation = 1 if latest is None else latest.generation + 1
        return self._insert(conn, (job_id, destination, kind, generation), file, sop_instance_uid, state)

    def resend(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        *,
        job_id: str,
        destination: str,
        file: Path | None = None,
        sop_instance_uid: str | None = None,
        who: str | None = None,
        kind: ObjectKind = ObjectKind.RTSTRUCT,
    ) -> Delivery:
        """Send one of a job's objects again on purpose, as a new delivery; the caller submits it.

        Without ``file`` it is the same instance as last time to that destination. If it is still on its way,
        that delivery is returned and nothing is added. The job becomes DELIVERING.

        Raises:
            LedgerRefused: the set was never made for that destination, or has been purged.
        """
        job = self.locked_job(conn, job_id)
        latest = self._latest(conn, job_id, destination, kind)
        if latest is not None and latest.state in _TO_BE_SENT | {DeliveryState.MAKING}:
            return latest
        if file is None or sop_instance_uid is None:
            if latest is None:
                refusal = (
                    f"Job {job_id} has no structure set for {destination}; see `delineate show {job_id}`."
                )
                raise LedgerRefused("delivery.none", refusal)
            file, sop_instance_uid = latest.file, latest.sop_instance_uid
        purged_at = conn.execute(sa.select(tables.job.c.purged_at).where(tables.job.c.id == job_id)).scalar()
        if purged_at is not None or not file.is_file():
            refusal = (
                f"The structure set of job {job_id} was purged. Send the CT again to have it contoured anew."
            )
            raise LedgerRefused("structure-set.purged", refusal)
        if job.state is not JobState.DELIVERING:
            self.move_job(conn, job_id, JobState.DELIVERING, code="job.resent", who=who)
        if latest is not None and latest.state is DeliveryState.HELD:
            self.move_delivery(conn, latest.id, DeliveryState.CANCELLED, who=who)
        generation = 1 if latest is None else latest.generation + 1
        return self._insert(
            conn, (job_id, destination, kind, generation), file, sop_instance_uid, DeliveryState.WAITING, who
        )

    def delivery(self, delivery_id: int, conn: sa.Connection | None = None) -> Delivery:
        """A delivery by its row.

        Raises:
            LedgerRefused: there is none.
        """
        t = tables.delivery
        with self._joined(conn) as joined:
            row = joined.execute(sa.select(t).where(t.c.id == delivery_id)).mappings().first()
        if row is None:
            code = "ledger.no-such-delivery"
            raise LedgerRefused(code, f"The ledger holds no delivery {delivery_id}.")
        return self._delivery_of(row)

    def deliveries(self, job_id: str, conn: sa.Connection | None = None) -> list[Delivery]:
        """All deliveries of a job, oldest first."""
        t = tables.delivery
        query = sa.select(t).where(t.c.job_id == job_id).order_by(t.c.id)
        with self._joined(conn) as joined:
            return [self._delivery_of(row) for row in joined.execute(query).mappings()]

    def open_deliveries(self) -> list[Delivery]:
        """All deliveries that are to be sent, oldest first."""
        t = tables.delivery
        query = sa.select(t).where(t.c.state.in_([each.value for each in _TO_BE_SENT])).order_by(t.c.id)
        with self.reading() as conn:
            return [self._delivery_of(row) for row in conn.execute(query).mappings()]

    def start_attempt(self, delivery_id: int) -> int:
        """Write down, before the association, that an attempt begins; its number, from 1.

        Raises:
            LedgerRefused: the delivery is held, cancelled, or has ended.
        """
        with self.begin() as conn:
            row = self._locked(conn, delivery_id)
            if row.state not in _TO_BE_SENT:
                code = "delivery.not-open"
                raise LedgerRefused(code, f"Delivery {delivery_id} is {row.state.value} and is not sent now.")
            n, at = row.attempts + 1, now()
            a = tables.attempt
            broken_off = (a.c.delivery_id == delivery_id) & a.c.ended_at.is_(None)
            ending = {
                "ended_at": at,
                "code": "delivery.interrupted",
                "sentence": "The node stopped during this attempt.",
            }
            conn.execute(sa.update(a).where(broken_off).values(**ending))
            conn.execute(sa.insert(a).values(delivery_id=delivery_id, n=n, started_at=at))
            values = {"state": DeliveryState.SENDING.value, "attempts": n, "next_at": None, "updated_at": at}
            conn.execute(
                sa.update(tables.delivery).where(tables.delivery.c.id == delivery_id).values(**values)
            )
        return n

    def finish_attempt(  # noqa: PLR0913 one row
        self,
        delivery_id: int,
        n: int,
        *,
        status: int | None,
        code: str,
        sentence: str,
        state: DeliveryState,
        next_at: float | None = None,
        when_delivered: Callable[[sa.Connection], None] | None = None,
    ) -> DeliveryState:
        """Write down how an attempt ended and settle the job, in one transaction; the delivery's state now.

        A delivery that was held or cancelled meanwhile stays so, unless the attempt succeeded; so does one
        that was held and released, which is submitted anew.

        Raises:
            LedgerRefused: the delivery cannot become ``state``.
        """
        with self.begin() as conn:
            row = self._locked(conn, delivery_id)
            a = tables.attempt
            ending = {"ended_at": now(), "status": status, "code": code, "sentence": sentence}
            conn.execute(sa.update(a).where(a.c.delivery_id == delivery_id, a.c.n == n).values(**ending))
            overtaken = row.state in _OVERTAKEN or n != row.attempts
            if overtaken and state is not DeliveryState.DELIVERED:
                state, next_at = row.state, row.next_at
            elif row.state is not state:
                self._check_arrow(row, state)
            values = {"state": state.value, "last_status": status, "reason": code, "next_at": next_at}
            t = tables.delivery
            conn.execute(sa.update(t).where(t.c.id == delivery_id).values(**values, updated_at=now()))
            facts = {"destination": row.destination, "kind": row.kind.value, "attempt": n, "status": status,
                     "state": state.value}  # fmt: skip
            self.add_event(conn, job_id=row.job_id, code=code, sentence=sentence, facts=facts)
            if when_delivered is not None and state is DeliveryState.DELIVERED:
                when_delivered(conn)
            self.settle_job(conn, row.job_id)
        return state

    def move_delivery(
        self,
        conn: sa.Connection,
        delivery_id: int,
        to: DeliveryState,
        *,
        code: str | None = None,
        sentence: str | None = None,
        who: str | None = None,
    ) -> Delivery:
        """Move a delivery along one of ``DELIVERY_ARROWS``; :meth:`settle_job` is left to the caller.

        Raises:
            LedgerRefused: the delivery is in a state that does not lead there.
        """
        row = self._locked(conn, delivery_id)
        self._check_arrow(row, to)
        t = tables.delivery
        values: dict[str, Any] = {"state": to.value, "next_at": None, "updated_at": now()}
        if code is not None:
            values["reason"] = code
        conn.execute(sa.update(t).where(t.c.id == delivery_id).values(**values))
        facts = {"destination": row.destination, "from": row.state.value, "state": to.value}
        code = code or f"delivery.{to.value}"
        self.add_event(conn, job_id=row.job_id, code=code, sentence=sentence, facts=facts, who=who)
        return self.delivery(delivery_id, conn)

    def next_delivery_submission(self, conn: sa.Connection, delivery_id: int) -> int:
        """A number for a further key of a delivery in the engine; 1 was its first submission."""
        t = tables.delivery
        conn.execute(sa.update(t).where(t.c.id == delivery_id).values(submissions=t.c.submissions + 1))
        return int(conn.execute(sa.select(t.c.submissions).where(t.c.id == delivery_id)).scalar_one())

    def settle_job(self, conn: sa.Connection, job_id: str) -> JobState:
        """End a DELIVERING job whose last delivery to each destination has ended; its state now.

        DONE when all are delivered or cancelled, FAILED when none is under way and one is a dead letter. HELD
        again where one was sent on purpose while others are held: those wait for a person as before. A job in
        any other state is left alone.
        """
        job = self.locked_job(conn, job_id)  # of two deliveries that end at once, the second sees the first
        last = newest_of(self.deliveries(job_id, conn))
        states = {each.state for each in last}
        if job.state is not JobState.DELIVERING or not states or states & (OPEN - {DeliveryState.HELD}):
            return job.state
        if DeliveryState.HELD in states:
            sentence = "It was sent to where a person wanted it. The rest waits to be released."
            return self.move_job(conn, job_id, JobState.HELD, code="job.rest-held", sentence=sentence).state
        if DeliveryState.DEAD in states:
            dead = next(each for each in last if each.state is DeliveryState.DEAD)
            sentence = f"The {dead.noun} did not reach {dead.destination}.{why_not_there(conn, dead)}"
            return self.move_job(conn, job_id, JobState.FAILED, code=dead.reason, sentence=sentence).state
        return self.move_job(conn, job_id, JobState.DONE).state

    def _latest(
        self, conn: sa.Connection, job_id: str, destination: str, kind: ObjectKind
    ) -> Delivery | None:
        t = tables.delivery
        query = sa.select(t).where(
            t.c.job_id == job_id, t.c.destination == destination, t.c.kind == kind.value
        )
        row = conn.execute(query.order_by(t.c.generation.desc())).mappings().first()
        return None if row is None else self._delivery_of(row)

    def _locked(self, conn: sa.Connection, delivery_id: int) -> Delivery:
        self.locked_job(conn, self.delivery(delivery_id, conn).job_id)
        return self.delivery(delivery_id, conn)

    def _check_arrow(self, delivery: Delivery, to: DeliveryState) -> None:
        if to not in DELIVERY_ARROWS[delivery.state]:
            refusal = f"Delivery {delivery.id} is {delivery.state.value} and cannot become {to.value}."
            raise LedgerRefused("delivery.not-possible", refusal)

    def _insert(
        self,
        conn: sa.Connection,
        key: tuple[str, str, ObjectKind, int],
        file: Path,
        sop_instance_uid: str,
        state: DeliveryState,
        who: str | None = None,
    ) -> Delivery:
        job_id, destination, kind, generation = key
        values = new_row(key, self._stored(file), sop_instance_uid, state, now())
        t = tables.delivery
        delivery_id = int(conn.execute(sa.insert(t).values(**values).returning(t.c.id)).scalar_one())
        facts = {
            "destination": destination,
            "kind": kind.value,
            "generation": generation,
            "state": state.value,
        }
        self.add_event(conn, job_id=job_id, code=f"delivery.{state.value}", facts=facts, who=who)
        return self.delivery(delivery_id, conn)

    def _delivery_of(self, row: sa.RowMapping) -> Delivery:
        return delivery_of(row, self._found(row["file"]))
