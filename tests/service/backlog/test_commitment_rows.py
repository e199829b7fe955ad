"""Questions and answers of storage commitment that the engine lost are found again; those given up are told."""

from __future__ import annotations

import pytest

from service.backlog.commitment_records import AskedState, CommitmentState
from service.backlog.operations import Operations
from service.backlog.records import JobState


@pytest.fixture
def operations(ledger, client):
    return Operations(ledger, client)


@pytest.fixture
def wanted(ledger, new_job, storage) -> int:
    """A delivery whose destination is to commit itself, in a ledger that the engine knows nothing of."""
    job = new_job()
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        delivery = ledger.create_delivery(
            conn, job_id=job.id, destination="tps", file=storage / "rtstruct.dcm", sop_instance_uid="2.25.9"
        )
        ledger.want_commitment(conn, delivery.id)
    return delivery.id


@pytest.fixture
def asked(ledger) -> int:
    with ledger.begin() as conn:
        wanted = {"ae_title": "CT", "address": "192.0.2.1", "transaction_uid": "2.25.1"}
        number, _ = ledger.record_asked(conn, **wanted, instances=[("1.2", "2.25.2")])
    return number


def rows(client) -> list[str]:
    return sorted(":".join(key.split(":")[:3]) for key in client.under_way() if key.startswith("commit:"))


def test_what_the_engine_does_not_know_is_submitted_once(operations, client, wanted, asked):
    operations.reconcile()
    assert rows(client) == [f"commit:ask:{wanted}", f"commit:report:{asked}"]
    operations.reconcile()
    assert rows(client) == [f"commit:ask:{wanted}", f"commit:report:{asked}"]


def test_what_is_answered_is_left_alone(operations, ledger, client, wanted, asked):
    ledger.start_request(wanted, "TPS", "2.25.5")
    ledger.commitment_answered("2.25.5", "TPS", {"2.25.9"}, {})
    ledger.move_asked(asked, AskedState.REPORTED)
    operations.reconcile()
    assert rows(client) == []


def test_rows_that_were_set_aside_end_as_such(operations, ledger, wanted, asked):
    operations.end_commitment(f"ask:{wanted}")
    operations.end_commitment(f"report:{asked}")
    assert ledger.commitment(wanted).state is CommitmentState.UNANSWERED
    assert ledger.asked(asked).state is AskedState.UNREACHABLE
    delivery = ledger.delivery(wanted)
    assert "commitment.set-aside" in [each.code for each in ledger.story(delivery.job_id).events]
