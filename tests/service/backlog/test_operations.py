"""What people do to jobs: every change is in the ledger and the engine at once, and names who did it."""

from __future__ import annotations

import pytest

from models.volume import Provenance
from service.backlog.ledger import LedgerRefused, contour_key, deliver_key
from service.backlog.operations import Operations
from service.backlog.records import DeliveryState, JobState, Mode
from service.backlog.trial_names import shadow_name, trial_name

PROVENANCE = Provenance("pelvis-ct", "1.0", "ab" * 32, validated=True)


@pytest.fixture
def operations(ledger, client):
    return Operations(ledger, client, "anna")


@pytest.fixture
def queued(ledger, client, new_job):
    """A job that waits for contouring."""

    def make(series_uid="2.25.1", **changes):
        job = new_job(series_uid, **changes)
        with ledger.begin() as conn:
            client.submit(conn, "contour", contour_key(job.id), job.id, priority=job.priority)
        return job

    return make


@pytest.fixture
def sending(ledger, client, spool, new_job):
    """A contoured job with a delivery in the given state to each destination."""

    def make(*states, job_state=JobState.DELIVERING):
        job = new_job(destinations=tuple(f"d{number}" for number in range(len(states))))
        file = spool.job_folder(job.id) / "rtstruct.dcm"
        file.write_bytes(b"RT")
        with ledger.begin() as conn:
            ledger.move_job(conn, job.id, JobState.CONTOURING)
            ledger.record_segmentation(conn, job.id, PROVENANCE, [], {}, {})
            made = []
            for destination, state in zip(job.destinations, states, strict=True):
                delivery = ledger.create_delivery(
                    conn,
                    job_id=job.id,
                    destination=destination,
                    file=file,
                    sop_instance_uid=f"2.25.{destination[1:]}",
                    state=state,
                )
                made.append(delivery)
                if state in (DeliveryState.WAITING, DeliveryState.RETRYING):
                    key = deliver_key(delivery.id)
                    client.submit(conn, "deliver", key, str(delivery.id), delay_seconds=60)
            ledger.move_job(conn, job.id, job_state)
        return ledger.job(job.id), made

    return make


def test_a_failed_contouring_is_tried_again(ledger, client, queued, operations):
    job = queued(priority=7)
    client.cancel(contour_key(job.id))
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.FAILED, code="gpu.lost")
    assert operations.retry(job.id).state is JobState.QUEUED
    assert client.under_way() == {contour_key(job.id, 2)}
    assert [event.who for event in ledger.story(job.id).events][-1] == "anna"


@pytest.mark.parametrize(
    ("name", "code"),
    [(trial_name("pelvis", 1), "trial.never-sent"), (shadow_name("pelvis"), "shadow.never-sent")],
)
def test_nobody_sends_what_is_never_sent(ledger, spool, new_job, operations, name, code):
    job = new_job(protocol=name)
    file = spool.job_folder(job.id) / "rtstruct.dcm"
    file.write_bytes(b"RT")
    with pytest.raises(LedgerRefused) as refusal:
        operations.resend(job.id, "eclipse", file, "2.25.99")
    assert refusal.value.code == code
    assert not ledger.deliveries(job.id)


def test_a_dead_letter_is_sent_again_and_what_arrived_is_not(ledger, client, sending, operations):
    job, (_, dead) = sending(DeliveryState.DELIVERED, DeliveryState.DEAD)
    with ledger.begin() as conn:
        ledger.settle_job(conn, job.id)
    assert operations.retry(job.id).state is JobState.DELIVERING
    (new,) = ledger.open_deliveries()
    assert (new.destination, new.sop_instance_uid, new.generation) == ("d1", dead.sop_instance_uid, 2)
    assert client.under_way() == {deliver_key(new.id)}


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.CONTOURING, JobState.DONE, JobState.HELD])
def test_only_what_ended_badly_is_tried_again(new_job, operations, state):
    job = new_job(state=state)
    with pytest.raises(LedgerRefused, match=f"is {state.value}; retry a failed, refused or cancelled one"):
        operations.retry(job.id)


def test_a_dead_letter_that_a_newer_set_has_overtaken_is_not_sent(ledger, client, sending, operations):
    job, _ = sending(DeliveryState.DEAD, job_state=JobState.FAILED)
    with ledger.begin() as conn:
        ledger.new_revision(conn, job.series_id)
        newer = ledger.create_job(
            conn, series_id=job.series_id, protocol=job.protocol, destinations=job.destinations,
            mode=Mode.SEND, priority=100, files=job.files, config_version=job.config_version,
        )  # fmt: skip
    with pytest.raises(LedgerRefused, match=newer.id):
        operations.retry(job.id)
    assert client.under_way() == set()


def test_a_purged_ct_is_not_tried_again_and_says_what_to_do(ledger, new_job, operations, client):
    job = new_job(state=JobState.FAILED)
    assert ledger.mark_series_purged(job.series_id, before=9e9)
    with pytest.raises(LedgerRefused, match="Send it again to have it contoured") as refused:
        operations.retry(job.id)
    assert refused.value.code == "ct.purged"
    assert ledger.job(job.id).state is JobState.FAILED
    assert client.under_way() == set()


def test_a_waiting_job_is_cancelled_with_its_row(ledger, client, queued, operations):
    job, other = queued(), queued("2.25.2")
    assert operations.cancel(job.id).state is JobState.CANCELLED
    assert client.under_way() == {contour_key(other.id)}


def test_a_job_on_its_way_is_cancelled_with_all_its_deliveries(ledger, client, sending, operations):
    job, made = sending(
        DeliveryState.WAITING, DeliveryState.RETRYING, DeliveryState.DELIVERED, DeliveryState.HELD
    )
    operations.cancel(job.id)
    states = [ledger.delivery(each.id).state for each in made]
    cancelled = DeliveryState.CANCELLED
    assert states == [cancelled, cancelled, DeliveryState.DELIVERED, cancelled]
    assert client.under_way() == set()
    assert ledger.job(job.id).state is JobState.CANCELLED


def test_a_finished_job_is_not_cancelled(new_job, operations):
    job = new_job(state=JobState.DONE)
    with pytest.raises(LedgerRefused, match="is done and cannot become cancelled"):
        operations.cancel(job.id)


def test_a_waiting_job_is_held_and_released(ledger, client, queued, operations):
    job = queued()
    assert operations.hold(job.id).state is JobState.HELD
    assert client.under_way() == set()
    assert operations.release(job.id).state is JobState.QUEUED
    assert client.under_way() == {contour_key(job.id, 2)}


def test_a_job_being_contoured_is_held_when_that_is_done(ledger, queued, operations):
    job = queued()
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
    held = operations.hold(job.id)
    assert (held.state, held.mode) == (JobState.CONTOURING, Mode.HOLD)


def test_a_job_on_its_way_is_held_and_released_with_keys_of_its_own(ledger, client, sending, operations):
    job, (waiting, delivered) = sending(DeliveryState.WAITING, DeliveryState.DELIVERED)
    assert operations.hold(job.id).state is JobState.HELD
    assert ledger.delivery(waiting.id).state is DeliveryState.HELD
    assert client.under_way() == set()
    assert operations.release(job.id).state is JobState.DELIVERING
    assert ledger.delivery(waiting.id).state is DeliveryState.WAITING
    assert ledger.delivery(delivered.id).state is DeliveryState.DELIVERED
    assert client.under_way() == {deliver_key(waiting.id, 1, 2)}


def test_a_job_that_a_route_holds_is_released_to_its_destinations(ledger, client, sending, operations):
    job, (a, b) = sending(DeliveryState.HELD, DeliveryState.HELD, job_state=JobState.HELD)
    assert operations.release(job.id).state is JobState.DELIVERING
    assert client.under_way() == {deliver_key(a.id, 1, 2), deliver_key(b.id, 1, 2)}


def test_a_contoured_job_without_destinations_is_released_to_be_done(sending, operations):
    job, _ = sending(job_state=JobState.HELD)
    assert operations.release(job.id).state is JobState.DONE


def test_only_what_is_held_is_released(new_job, operations):
    job = new_job()
    with pytest.raises(LedgerRefused, match="is queued, not held"):
        operations.release(job.id)


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_what_has_ended_is_not_held(new_job, operations, state):
    job = new_job(state=state)
    with pytest.raises(LedgerRefused, match="cannot become held"):
        operations.hold(job.id)


def test_priority_changes_in_the_ledger_and_in_the_engine(ledger, client, queued, operations):
    job = queued()
    assert operations.set_priority(job.id, 1).priority == 1
    found = client._client.list_workflows(workflow_ids=[contour_key(job.id)])
    assert found[0].priority == 1


def test_priority_of_what_no_longer_waits_is_refused(new_job, operations):
    job = new_job(state=JobState.DELIVERING)
    with pytest.raises(LedgerRefused, match="counts while it waits"):
        operations.set_priority(job.id, 1)


def test_a_set_is_sent_again_once_however_often_one_asks_meanwhile(ledger, client, sending, operations):
    job, (made,) = sending(DeliveryState.DELIVERED)
    with ledger.begin() as conn:
        ledger.settle_job(conn, job.id)
    first, second = operations.resend(job.id, "d0"), operations.resend(job.id, "d0")
    assert first.id == second.id != made.id
    assert client.under_way() == {deliver_key(first.id)}


def test_a_set_that_waits_for_its_next_attempt_is_sent_now_if_one_asks(ledger, client, sending, operations):
    job, (made,) = sending(DeliveryState.RETRYING)
    assert client.under_way() == {deliver_key(made.id)}  # in a minute
    assert operations.resend(job.id, "d0").id == made.id
    assert client.under_way() == {deliver_key(made.id, 1, 2)}
    assert client.counts()["deliver"]["delayed"] == 0
    assert (ledger.delivery(made.id).state, ledger.delivery(made.id).next_at) == (DeliveryState.WAITING, None)
    assert [event.who for event in ledger.story(job.id).events][-1] == "anna"
    with pytest.raises(LedgerRefused, match="resend"):
        operations.retry(job.id)


def test_a_set_goes_to_another_destination_with_a_file_made_for_it(
    ledger, client, sending, spool, operations
):
    job, _ = sending(DeliveryState.DELIVERED)
    file = spool.job_folder(job.id) / "rtstruct-raystation.dcm"
    file.write_bytes(b"RT")
    new = operations.resend(job.id, "raystation", file, "2.25.99")
    assert (new.file, new.sop_instance_uid, new.state) == (file, "2.25.99", DeliveryState.WAITING)
    assert client.under_way() == {deliver_key(new.id)}


def test_what_is_held_beside_what_was_sent_on_purpose_can_still_be_released(ledger, sending, operations):
    job, (_, other) = sending(DeliveryState.HELD, DeliveryState.HELD, job_state=JobState.HELD)
    sent = operations.resend(job.id, "d0")
    n = ledger.start_attempt(sent.id)
    how = {"status": 0, "code": "delivery.stored", "sentence": "Stored."}
    ledger.finish_attempt(sent.id, n, state=DeliveryState.DELIVERED, **how)
    assert ledger.job(job.id).state is JobState.HELD
    operations.release(job.id)
    assert ledger.delivery(other.id).state is DeliveryState.WAITING


def test_what_the_engine_gave_up_has_failed_visibly(ledger, queued, sending, operations):
    job = queued("2.25.5")
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
    for _ in range(2):  # may be told twice
        operations.set_aside("contour", job.id)
    assert (ledger.job(job.id).state, ledger.job(job.id).code) == (JobState.FAILED, "job.set-aside")
    other, (made,) = sending(DeliveryState.SENDING)
    for _ in range(2):
        operations.set_aside("deliver", str(made.id))
    assert ledger.delivery(made.id).state is DeliveryState.DEAD
    assert (ledger.job(other.id).state, ledger.job(other.id).code) == (JobState.FAILED, "delivery.set-aside")


def test_what_waits_in_the_ledger_only_is_submitted(
    ledger, client, new_job, queued, sending, operations, monkeypatch
):
    import service.backlog.operations as module

    lost, known = new_job("2.25.7"), queued("2.25.8")
    _, (waiting, delivered) = sending(DeliveryState.WAITING, DeliveryState.DELIVERED)
    client.cancel_all(f"deliver:{waiting.id}:")
    assert operations.reconcile() == 0  # too young to be sure
    monkeypatch.setattr(module, "_SETTLE_SECONDS", -1.0)
    assert operations.reconcile() == 2
    assert client.under_way() == {
        contour_key(lost.id, 2),
        contour_key(known.id),
        deliver_key(waiting.id, 1, 2),
    }
    assert operations.reconcile() == 0
    assert ledger.delivery(delivered.id).state is DeliveryState.DELIVERED


def test_a_job_that_the_engine_gave_up_while_the_ledger_was_away_is_submitted_anew(
    ledger, client, queued, operations, monkeypatch
):
    import service.backlog.operations as module

    lost, running = queued("2.25.7"), queued("2.25.8")
    with ledger.begin() as conn:
        for job in (lost, running):
            ledger.move_job(conn, job.id, JobState.CONTOURING)
    client.cancel(contour_key(lost.id))
    monkeypatch.setattr(module, "_SETTLE_SECONDS", -1.0)
    assert operations.reconcile() == 1
    assert client.under_way() == {contour_key(lost.id, 2), contour_key(running.id)}


def test_a_job_cancelled_after_contouring_is_contoured_anew_even_if_held_meanwhile(
    ledger, client, sending, operations
):
    job, _ = sending(DeliveryState.WAITING)
    operations.cancel(job.id)
    assert operations.retry(job.id).state is JobState.QUEUED
    operations.hold(job.id)
    assert operations.release(job.id).state is JobState.QUEUED
    assert client.under_way() == {contour_key(job.id, 3)}


def test_a_job_contoured_anew_after_its_sets_were_purged_may_be_sent_again(
    ledger, client, sending, operations
):
    job, _ = sending(DeliveryState.DELIVERED, job_state=JobState.CANCELLED)
    assert ledger.mark_job_purged(job.id, before=9e9)
    operations.retry(job.id)
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        ledger.move_job(conn, job.id, JobState.DELIVERING)
        ledger.settle_job(conn, job.id)
    assert operations.resend(job.id, "d0").generation == 2
