"""Transactions are known before they are asked for, answers count once, and old databases gain the tables."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from service.backlog import commitment_tables
from service.backlog import ledger_tables as tables
from service.backlog.commitment_records import AskedState, CommitmentState
from service.backlog.ledger import LedgerRefused
from service.backlog.records import DeliveryState, JobState

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def delivered(ledger, new_job, storage):
    """A delivery that was acknowledged and of which a commitment is wanted."""

    def make() -> int:
        job = new_job()
        with ledger.begin() as conn:
            ledger.move_job(conn, job.id, JobState.CONTOURING)
            delivery = ledger.create_delivery(
                conn,
                job_id=job.id,
                destination="tps",
                file=storage / "rtstruct.dcm",
                sop_instance_uid="2.25.9",
            )
            ledger.move_job(conn, job.id, JobState.DELIVERING)
        n = ledger.start_attempt(delivery.id)
        ledger.finish_attempt(
            delivery.id,
            n,
            status=0,
            code="delivery.stored",
            sentence="Stored.",
            state=DeliveryState.DELIVERED,
            when_delivered=lambda conn: ledger.want_commitment(conn, delivery.id),
        )
        return delivery.id

    return make


def test_a_database_of_version_1_gains_the_tables_and_keeps_what_it_holds(ledger, delivered):
    delivery_id = delivered()
    with ledger.begin() as conn:
        for table in (
            commitment_tables.commitment_asked,
            commitment_tables.commitment_request,
            commitment_tables.commitment,
        ):
            table.drop(conn)
        conn.execute(sa.update(tables.ledger_version).values(version=1))
    with pytest.raises(LedgerRefused):
        ledger.check()
    ledger.migrate()
    ledger.check()
    assert ledger.delivery(delivery_id).state is DeliveryState.DELIVERED
    assert ledger.commitment(delivery_id) is None
    with ledger.begin() as conn:
        assert ledger.want_commitment(conn, delivery_id)
        assert not ledger.want_commitment(conn, delivery_id)


def test_an_answer_counts_only_from_who_was_asked_and_for_the_instance(ledger, delivered):
    delivery_id = delivered()
    ledger.start_request(delivery_id, "TPS", "2.25.1")
    ledger.end_request("2.25.1", status=0, code="commitment.requested", taken=True)
    assert ledger.open_commitments() == [delivery_id]
    assert ledger.commitment_answered("2.25.1", "OTHER", {"2.25.9"}, {}) is None
    assert ledger.commitment_answered("2.25.2", "TPS", {"2.25.9"}, {}) is None
    assert ledger.commitment_answered("2.25.1", "TPS", {"2.25.8"}, {}) is None
    delivery, state = ledger.commitment_answered("2.25.1", "TPS", {"2.25.9"}, {})
    assert (delivery.id, state) == (delivery_id, CommitmentState.COMMITTED)
    assert ledger.open_commitments() == []
    with pytest.raises(LedgerRefused):
        ledger.start_request(delivery_id, "TPS", "2.25.3")
    events = [each.code for each in ledger.story(delivery.job_id).events]
    assert events.count("commitment.committed") == 1
    ledger.commitment_answered("2.25.1", "TPS", {"2.25.9"}, {})  # the peer says it twice
    assert [each.code for each in ledger.story(delivery.job_id).events] == events


def test_a_refusal_keeps_its_reason(ledger, delivered):
    delivery_id = delivered()
    ledger.start_request(delivery_id, "TPS", "2.25.1")
    ledger.commitment_answered("2.25.1", "TPS", set(), {"2.25.9": (0x0112, "It has none.")})
    found = ledger.commitment(delivery_id)
    assert (found.state, found.failure_reason, found.requests) == (CommitmentState.REFUSED, 0x0112, 1)


def test_a_request_of_a_sender_is_kept_until_it_is_answered(ledger):
    wanted = {"ae_title": "CT", "address": "192.0.2.1", "transaction_uid": "2.25.1"}
    with ledger.begin() as conn:
        first, _ = ledger.record_asked(conn, **wanted, instances=[(CT, "2.25.2")])
        again, _ = ledger.record_asked(conn, **wanted, instances=[(CT, "2.25.2")])
    assert first == again
    assert ledger.open_asked() == [first]
    asked = ledger.asked(first)
    assert (asked.instances, asked.state) == (((CT, "2.25.2"),), AskedState.WAITING)
    ledger.move_asked(first, AskedState.REPORTED)
    assert ledger.open_asked() == []
    with ledger.begin() as conn, pytest.raises(LedgerRefused):
        ledger.record_asked(conn, **wanted, instances=[(CT, "2.25.3")])
    with pytest.raises(LedgerRefused):
        ledger.asked(first + 1)


def test_the_rows_go_with_their_job(ledger, delivered):
    delivery_id = delivered()
    ledger.start_request(delivery_id, "TPS", "2.25.1")
    with ledger.begin() as conn:
        conn.execute(sa.update(tables.series).values(purged_at=1.0, last_at=1.0))
        conn.execute(sa.update(tables.job).values(updated_at=1.0))
    assert ledger.delete_rows(2.0) == 1
    assert ledger.commitment(delivery_id) is None
