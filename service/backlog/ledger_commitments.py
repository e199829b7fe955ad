"""The ledger's part for storage commitment: requests written down before they are sent, and their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from service.backlog import commitment_tables as tables
from service.backlog.commitment_records import AskedCommitment, AskedState, Commitment, CommitmentState
from service.backlog.database import LedgerRefused, now
from service.backlog.ledger_objects import ObjectLedger
from service.backlog.records import Delivery


class CommitmentLedger(ObjectLedger):
    """What destinations are asked to keep, and what senders ask us to keep."""

    def want_commitment(self, conn: sa.Connection, delivery_id: int) -> bool:
        """A delivery has been acknowledged: the destination is to be asked; False if that is known."""
        if self.commitment(delivery_id, conn) is not None:
            return False
        at = now()
        values = {"state": CommitmentState.WANTED.value, "created_at": at, "updated_at": at}
        conn.execute(sa.insert(tables.commitment).values(delivery_id=delivery_id, **values))
        return True

    def commitment(self, delivery_id: int, conn: sa.Connection | None = None) -> Commitment | None:
        """What is known of a delivery's commitment; None if none is wanted."""
        c, r = tables.commitment, tables.commitment_request
        with self._joined(conn) as joined:
            row = joined.execute(sa.select(c).where(c.c.delivery_id == delivery_id)).mappings().first()
            count = sa.select(sa.func.count()).where(r.c.delivery_id == delivery_id)
            requests = int(joined.execute(count).scalar_one())
        if row is None:
            return None
        state = CommitmentState(row["state"])
        return Commitment(delivery_id, state, row["failure_reason"], float(row["created_at"]), requests)

    def open_commitments(self) -> list[int]:
        """Deliveries whose destination has yet to answer, oldest first."""
        c = tables.commitment
        states = [state.value for state in CommitmentState if state.is_open]
        query = sa.select(c.c.delivery_id).where(c.c.state.in_(states)).order_by(c.c.delivery_id)
        with self.reading() as conn:
            return [int(found) for found in conn.execute(query).scalars()]

    def start_request(self, delivery_id: int, ae_title: str, transaction_uid: str) -> None:
        """Write down, before the association, that a destination is asked, and by which transaction.

        Raises:
            LedgerRefused: it has been answered.
        """
        with self.begin() as conn:
            self._locked(conn, delivery_id)
            found = self.commitment(delivery_id, conn)
            if found is None or not found.state.is_open:
                raise LedgerRefused("commitment.not-open", f"Delivery {delivery_id} awaits no commitment.")
            values = {"delivery_id": delivery_id, "ae_title": ae_title, "asked_at": now()}
            request = sa.insert(tables.commitment_request)
            conn.execute(request.values(transaction_uid=transaction_uid, **values))

    def end_request(self, transaction_uid: str, *, status: int | None, code: str, taken: bool) -> None:
        """Write down what the destination said to the request itself; its answer comes later."""
        r = tables.commitment_request
        with self.begin() as conn:
            which = r.c.transaction_uid == transaction_uid
            conn.execute(sa.update(r).where(which).values(status=status, code=code))
            delivery_id = conn.execute(sa.select(r.c.delivery_id).where(which)).scalar_one()
            if taken:
                self._change(conn, delivery_id, CommitmentState.ASKED, only_from=CommitmentState.WANTED)

    def end_commitment(
        self,
        delivery_id: int,
        state: CommitmentState,
        *,
        code: str,
        sentence: str,
        failure_reason: int | None = None,
    ) -> bool:
        """No further answer is awaited; False if there was one already."""
        with self.begin() as conn:
            delivery = self._locked(conn, delivery_id)
            return self._end(conn, delivery, state, code, sentence, failure_reason)

    def commitment_answered(
        self,
        transaction_uid: str,
        ae_title: str,
        committed: Collection[str],
        failed: Mapping[str, tuple[int, str]],
    ) -> tuple[Delivery, CommitmentState] | None:
        """Take in a destination's answer; what is so of the delivery then, None for an unknown transaction.

        Args:
            ae_title: who answers; another than was asked is not listened to.
            committed: SOP instance UIDs that it keeps.
            failed: failure reason and a sentence, by the SOP instance UIDs that it does not keep.
        """
        r = tables.commitment_request
        with self.begin() as conn:
            query = sa.select(r.c.delivery_id, r.c.ae_title).where(r.c.transaction_uid == transaction_uid)
            row = conn.execute(query).first()
            if row is None or row.ae_title.strip() != ae_title.strip():
                return None
            delivery = self._locked(conn, int(row.delivery_id))
            uid = delivery.sop_instance_uid
            if uid in failed:
                reason, sentence = failed[uid]
                code = "commitment.refused"
                self._end(conn, delivery, CommitmentState.REFUSED, code, sentence, reason)
                return delivery, CommitmentState.REFUSED
            if uid not in committed:
                return None
            sentence = "The destination has committed itself to keep the structure set."
            self._end(conn, delivery, CommitmentState.COMMITTED, "commitment.committed", sentence, None)
            return delivery, CommitmentState.COMMITTED

    def record_asked(
        self,
        conn: sa.Connection,
        *,
        ae_title: str,
        address: str,
        transaction_uid: str,
        instances: Sequence[tuple[str, str]],
    ) -> tuple[int, float]:
        """Keep a sender's request until it is answered; its row, and when it was asked for.

        Raises:
            LedgerRefused: it has used this transaction UID for other instances.
        """
        a, at = tables.commitment_asked, now()
        which = (a.c.ae_title == ae_title) & (a.c.transaction_uid == transaction_uid)
        row = conn.execute(sa.select(a).where(which)).mappings().first()
        wanted = [list(pair) for pair in instances]
        again: dict[str, object] = {"address": address, "state": AskedState.WAITING.value}
        again |= {"asked_at": at, "updated_at": at}
        if row is None:
            new = again | {"ae_title": ae_title, "transaction_uid": transaction_uid, "instances": wanted}
            return int(conn.execute(sa.insert(a).values(**new).returning(a.c.id)).scalar_one()), at
        if row["instances"] != wanted:
            raise LedgerRefused("commitment.transaction-used", "The transaction UID names other instances.")
        conn.execute(sa.update(a).where(a.c.id == row["id"]).values(**again))
        return int(row["id"]), at

    def asked(self, asked_id: int) -> AskedCommitment:
        """A sender's request by its row.

        Raises:
            LedgerRefused: there is none.
        """
        a = tables.commitment_asked
        with self.reading() as conn:
            row = conn.execute(sa.select(a).where(a.c.id == asked_id)).mappings().first()
        if row is None:
            code = "ledger.no-such-commitment"
            raise LedgerRefused(code, f"The ledger holds no request {asked_id} for commitment.")
        same = ("id", "ae_title", "address", "transaction_uid", "asked_at", "updated_at")
        return AskedCommitment(
            **{name: row[name] for name in same},
            instances=tuple((str(pair[0]), str(pair[1])) for pair in row["instances"]),
            state=AskedState(row["state"]),
        )

    def move_asked(self, asked_id: int, state: AskedState) -> None:
        """Where a sender's request is now."""
        a = tables.commitment_asked
        with self.begin() as conn:
            values = {"state": state.value, "updated_at": now()}
            conn.execute(sa.update(a).where(a.c.id == asked_id).values(**values))

    def open_asked(self) -> list[int]:
        """Requests of senders that are not answered, oldest first."""
        a = tables.commitment_asked
        query = sa.select(a.c.id).where(a.c.state == AskedState.WAITING.value).order_by(a.c.id)
        with self.reading() as conn:
            return [int(found) for found in conn.execute(query).scalars()]

    def _end(
        self,
        conn: sa.Connection,
        delivery: Delivery,
        state: CommitmentState,
        code: str,
        sentence: str,
        failure_reason: int | None,
    ) -> bool:
        found = self.commitment(delivery.id, conn)
        if found is None or found.state in (CommitmentState.COMMITTED, CommitmentState.REFUSED, state):
            return False
        self._change(conn, delivery.id, state, code=code, failure_reason=failure_reason)
        facts = {"destination": delivery.destination, "state": state.value, "reason": failure_reason}
        self.add_event(conn, job_id=delivery.job_id, code=code, sentence=sentence, facts=facts)
        return True

    def _change(
        self,
        conn: sa.Connection,
        delivery_id: int,
        state: CommitmentState,
        *,
        code: str | None = None,
        failure_reason: int | None = None,
        only_from: CommitmentState | None = None,
    ) -> None:
        c = tables.commitment
        which = c.c.delivery_id == delivery_id
        if only_from is not None:
            which &= c.c.state == only_from.value
        values = {"state": state.value, "code": code, "failure_reason": failure_reason, "updated_at": now()}
        conn.execute(sa.update(c).where(which).values(**values))


def ask_key(delivery_id: int, request: int = 1) -> str:
    """The engine's key of the n-th time that a destination is asked about a delivery."""
    return f"commit:ask:{delivery_id}:{request}"


def report_key(asked_id: int, asked_at: float, attempt: int = 1) -> str:
    """The engine's key of the n-th attempt to answer a sender's request."""
    return f"commit:report:{asked_id}:{int(1000 * asked_at)}:{attempt}"
