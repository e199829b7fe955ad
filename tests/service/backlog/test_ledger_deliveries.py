"""Deliveries: one for each destination, attempts written down first, the job settled with the last."""

from __future__ import annotations

import threading

import pytest

from service.backlog.ledger import LedgerRefused
from service.backlog.operations import Operations
from service.backlog.records import DELIVERY_ARROWS, DeliveryState, JobState
from service.config.output_objects import ObjectKind


@pytest.fixture
def sending_job(ledger, new_job, spool):
    """A job in DELIVERING with one delivery to each destination, and those deliveries."""

    def make(*destinations, series_uid="2.25.1", state=DeliveryState.WAITING):
        job = new_job(series_uid, destinations=destinations)
        file = spool.job_folder(job.id) / "rtstruct-generic.dcm"
        file.write_bytes(b"RT")
        with ledger.begin() as conn:
            ledger.move_job(conn, job.id, JobState.CONTOURING)
            made = [
                ledger.create_delivery(
                    conn, job_id=job.id, destination=name, file=file, sop_instance_uid="2.25.77", state=state
                )
                for name in destinations
            ]
            return ledger.move_job(conn, job.id, JobState.DELIVERING), made

    return make


def finish(ledger, delivery, state, status=None, code="delivery.test", next_at=None):
    n = ledger.start_attempt(delivery.id)
    return ledger.finish_attempt(
        delivery.id, n, status=status, code=code, sentence="So it was.", state=state, next_at=next_at
    )


def test_a_delivery_to_a_destination_exists_once(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    with ledger.begin() as conn:
        again = ledger.create_delivery(
            conn, job_id=job.id, destination="eclipse", file=made.file, sop_instance_uid="2.25.77"
        )
    assert again.id == made.id
    assert (made.file.read_bytes(), made.sop_instance_uid, made.generation) == (b"RT", "2.25.77", 1)


def test_another_set_waits_until_the_first_has_ended(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    other = {"job_id": job.id, "destination": "eclipse", "file": made.file, "sop_instance_uid": "2.25.78"}
    with ledger.begin() as conn, pytest.raises(LedgerRefused, match="still on its way"):
        ledger.create_delivery(conn, **other)
    finish(ledger, made, DeliveryState.DEAD)
    with ledger.begin() as conn:
        new = ledger.create_delivery(conn, **other)
    assert (new.generation, new.sop_instance_uid, new.state) == (2, "2.25.78", DeliveryState.WAITING)


def test_an_attempt_is_written_down_before_and_after(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    assert ledger.start_attempt(made.id) == 1
    assert ledger.delivery(made.id).state is DeliveryState.SENDING
    ((_, (attempt,)),) = ledger.story(job.id).deliveries
    assert (attempt.n, attempt.ended_at) == (1, None)
    ledger.finish_attempt(
        made.id,
        1,
        status=0xA700,
        code="peer.full",
        sentence="Full.",
        state=DeliveryState.RETRYING,
        next_at=9e9,
    )
    sent = ledger.delivery(made.id)
    assert (sent.state, sent.attempts, sent.last_status, sent.reason) == (
        DeliveryState.RETRYING,
        1,
        0xA700,
        "peer.full",
    )
    assert sent.next_at == 9e9
    assert ledger.job(job.id).state is JobState.DELIVERING
    assert finish(ledger, made, DeliveryState.DELIVERED, 0) is DeliveryState.DELIVERED
    ((_, attempts),) = ledger.story(job.id).deliveries
    assert [(each.n, each.status) for each in attempts] == [(1, 0xA700), (2, 0)]
    assert all(each.ended_at >= each.started_at for each in attempts)


def test_an_attempt_that_a_crash_broke_off_is_seen(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    ledger.start_attempt(made.id)
    assert ledger.start_attempt(made.id) == 2
    ((_, (first, second)),) = ledger.story(job.id).deliveries
    assert (first.code, second.code) == ("delivery.interrupted", None)
    assert first.ended_at is not None


def test_a_job_is_done_when_every_destination_has_it(ledger, sending_job):
    job, (a, b) = sending_job("a", "b")
    finish(ledger, a, DeliveryState.DELIVERED)
    assert ledger.job(job.id).state is JobState.DELIVERING
    finish(ledger, b, DeliveryState.DELIVERED)
    assert ledger.job(job.id).state is JobState.DONE


def test_a_job_has_failed_when_the_last_ends_and_one_is_dead(ledger, sending_job):
    job, (a, b) = sending_job("a", "b")
    finish(ledger, a, DeliveryState.DEAD, code="peer.refused")
    assert ledger.job(job.id).state is JobState.DELIVERING
    finish(ledger, b, DeliveryState.DELIVERED)
    failed = ledger.job(job.id)
    assert (failed.state, failed.code) == (JobState.FAILED, "peer.refused")
    assert failed.sentence == "The structure set did not reach a. So it was."


def test_a_job_is_not_done_while_something_of_it_is_still_made(ledger, sending_job):
    job, (a,) = sending_job("a")
    with ledger.begin() as conn:
        how = {"file": a.file, "sop_instance_uid": "2.25.8", "kind": ObjectKind.PREVIEW_PDF}
        made = ledger.create_delivery(conn, job_id=job.id, destination="a", state=DeliveryState.MAKING, **how)
    finish(ledger, a, DeliveryState.DELIVERED)
    assert ledger.job(job.id).state is JobState.DELIVERING
    assert ledger.delivery(made.id).state is DeliveryState.MAKING


def test_settling_again_changes_nothing(ledger, sending_job):
    job, (a,) = sending_job("a")
    finish(ledger, a, DeliveryState.DELIVERED)
    before = len(ledger.story(job.id).events)
    with ledger.begin() as conn:
        assert ledger.settle_job(conn, job.id) is JobState.DONE
    assert len(ledger.story(job.id).events) == before


@pytest.mark.parametrize("state", [DeliveryState.HELD, DeliveryState.CANCELLED])
def test_held_or_cancelled_is_not_sent_and_stays_so_when_an_attempt_fails(ledger, sending_job, state):
    _, (made,) = sending_job("eclipse")
    n = ledger.start_attempt(made.id)
    with ledger.begin() as conn:
        ledger.move_delivery(conn, made.id, state)
    ended = ledger.finish_attempt(
        made.id, n, status=None, code="x", sentence="x", state=DeliveryState.RETRYING, next_at=9e9
    )
    assert ended is state
    assert ledger.delivery(made.id).next_at is None
    with pytest.raises(LedgerRefused, match="is not sent now"):
        ledger.start_attempt(made.id)


@pytest.mark.parametrize("state", [DeliveryState.HELD, DeliveryState.CANCELLED])
def test_what_arrived_all_the_same_is_delivered(ledger, sending_job, state):
    _, (made,) = sending_job("eclipse")
    n = ledger.start_attempt(made.id)
    with ledger.begin() as conn:
        ledger.move_delivery(conn, made.id, state)
    ledger.finish_attempt(made.id, n, status=0, code="sent", sentence="x", state=DeliveryState.DELIVERED)
    assert ledger.delivery(made.id).state is DeliveryState.DELIVERED


@pytest.mark.parametrize(
    ("end", "then"),
    [
        (DeliveryState.DELIVERED, DeliveryState.DELIVERED),
        (DeliveryState.RETRYING, DeliveryState.WAITING),
        (DeliveryState.DEAD, DeliveryState.WAITING),
    ],
)
def test_an_attempt_that_ends_after_a_hold_and_a_release_leaves_it_to_the_next(
    ledger, sending_job, end, then
):
    job, (made,) = sending_job("eclipse")
    n = ledger.start_attempt(made.id)
    with ledger.begin() as conn:
        ledger.move_delivery(conn, made.id, DeliveryState.HELD)
        ledger.move_delivery(conn, made.id, DeliveryState.WAITING)
    assert ledger.finish_attempt(made.id, n, status=None, code="x", sentence="x", state=end) is then
    assert ledger.job(job.id).state is (JobState.DONE if then is end else JobState.DELIVERING)


def test_an_attempt_that_fails_after_another_began_changes_nothing(ledger, sending_job):
    _, (made,) = sending_job("eclipse")
    first, second = ledger.start_attempt(made.id), ledger.start_attempt(made.id)
    how = {"status": None, "code": "x", "sentence": "x"}
    assert ledger.finish_attempt(made.id, first, **how, state=DeliveryState.DEAD) is DeliveryState.SENDING
    assert ledger.finish_attempt(made.id, second, **how, state=DeliveryState.DELIVERED)
    assert ledger.delivery(made.id).state is DeliveryState.DELIVERED
    assert ledger.finish_attempt(made.id, first, **how, state=DeliveryState.DEAD) is DeliveryState.DELIVERED


@pytest.mark.parametrize("state", [DeliveryState.CANCELLED, DeliveryState.DEAD])
def test_what_was_given_up_is_a_new_delivery_of_the_same_set_when_its_job_is_tried_again(
    ledger, sending_job, state
):
    job, (made,) = sending_job("eclipse", state=state)
    again = {"job_id": job.id, "destination": "eclipse", "file": made.file, "sop_instance_uid": "2.25.77"}
    with ledger.begin() as conn:
        new = ledger.create_delivery(conn, **again)
        same = ledger.create_delivery(conn, **again)
    assert (new.generation, new.state, same.id) == (2, DeliveryState.WAITING, new.id)


@pytest.mark.parametrize("start", list(DeliveryState))
def test_a_delivery_moves_along_the_arrows_and_nowhere_else(ledger, sending_job, start):
    for number, to in enumerate(DeliveryState):
        _, (made,) = sending_job("eclipse", series_uid=f"2.25.{number}", state=start)
        with ledger.begin() as conn:
            if to in DELIVERY_ARROWS[start]:
                assert ledger.move_delivery(conn, made.id, to).state is to
            else:
                with pytest.raises(LedgerRefused, match=f"is {start.value} and cannot become {to.value}"):
                    ledger.move_delivery(conn, made.id, to)


def test_sent_again_on_purpose_is_the_same_instance_in_a_new_delivery(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    finish(ledger, made, DeliveryState.DELIVERED)
    with ledger.begin() as conn:
        again = ledger.resend(conn, job_id=job.id, destination="eclipse", who="anna")
        assert ledger.resend(conn, job_id=job.id, destination="eclipse").id == again.id  # still on its way
    assert (again.id != made.id, again.generation, again.attempts) == (True, 2, 0)
    assert (again.file, again.sop_instance_uid) == (made.file, made.sop_instance_uid)
    assert ledger.job(job.id).state is JobState.DELIVERING
    finish(ledger, again, DeliveryState.DELIVERED)
    assert ledger.job(job.id).state is JobState.DONE


def test_a_dead_letter_that_arrives_at_last_ends_the_job_well(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    finish(ledger, made, DeliveryState.DEAD)
    with ledger.begin() as conn:
        again = ledger.resend(conn, job_id=job.id, destination="eclipse")
    finish(ledger, again, DeliveryState.DELIVERED)
    assert ledger.job(job.id).state is JobState.DONE


def test_a_destination_that_was_not_routed_needs_its_file(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    with ledger.begin() as conn, pytest.raises(LedgerRefused, match="no structure set for raystation"):
        ledger.resend(conn, job_id=job.id, destination="raystation")
    with ledger.begin() as conn:
        new = ledger.resend(
            conn, job_id=job.id, destination="raystation", file=made.file, sop_instance_uid="2.25.79"
        )
    assert (new.destination, new.generation, new.sop_instance_uid) == ("raystation", 1, "2.25.79")


def test_a_purged_structure_set_is_not_sent_again_and_says_what_to_do(ledger, sending_job):
    job, (made,) = sending_job("eclipse")
    finish(ledger, made, DeliveryState.DELIVERED)
    made.file.unlink()
    with ledger.begin() as conn, pytest.raises(LedgerRefused, match="Send the CT again") as refused:
        ledger.resend(conn, job_id=job.id, destination="eclipse")
    assert refused.value.code == "structure-set.purged"


def test_a_delivery_that_is_not_there_is_refused(ledger):
    with pytest.raises(LedgerRefused, match="no delivery 12"):
        ledger.delivery(12)


def test_open_deliveries_are_those_to_be_sent(ledger, sending_job):
    _, (a, b, c) = sending_job("a", "b", "c")
    finish(ledger, a, DeliveryState.DELIVERED)
    with ledger.begin() as conn:
        ledger.move_delivery(conn, b.id, DeliveryState.HELD)
    assert [each.id for each in ledger.open_deliveries()] == [c.id]


def test_two_deliveries_that_end_at_once_settle_the_job(ledger, sending_job):
    for number in range(12):
        job, made = sending_job("a", "b", series_uid=f"2.25.{number}")
        attempts = [(each, ledger.start_attempt(each.id)) for each in made]
        together = threading.Barrier(2)

        def end(delivery, n, together=together):
            together.wait()
            ledger.finish_attempt(
                delivery.id, n, status=0, code="x", sentence="x", state=DeliveryState.DELIVERED
            )

        threads = [threading.Thread(target=end, args=attempt) for attempt in attempts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.job(job.id).state is JobState.DONE


def test_an_attempt_that_ends_while_the_job_is_cancelled_waits_its_turn(ledger, client, sending_job):
    operations = Operations(ledger, client)
    for number in range(12):
        job, (a, b) = sending_job("a", "b", series_uid=f"2.25.{number}")
        n = ledger.start_attempt(a.id)
        together = threading.Barrier(2)

        def cancel(job=job, together=together):
            together.wait()
            operations.cancel(job.id)

        thread = threading.Thread(target=cancel)
        thread.start()
        together.wait()
        ledger.finish_attempt(a.id, n, status=0, code="x", sentence="x", state=DeliveryState.DELIVERED)
        thread.join()
        assert ledger.job(job.id).state is JobState.CANCELLED
        assert ledger.delivery(a.id).state is DeliveryState.DELIVERED
        assert ledger.delivery(b.id).state is DeliveryState.CANCELLED


@pytest.fixture
def two_objects(ledger, sending_job):
    """A job in DELIVERING with a structure set and a segmentation for one destination."""
    job, (structure_set,) = sending_job("archive")
    with ledger.begin() as conn:
        segmentation = ledger.create_delivery(
            conn,
            job_id=job.id,
            destination="archive",
            file=structure_set.file,
            sop_instance_uid="2.25.78",
            kind=ObjectKind.SEGMENTATION,
        )
    return job, structure_set, segmentation


def test_each_object_for_a_destination_is_a_delivery_of_its_own(ledger, two_objects):
    job, structure_set, segmentation = two_objects
    assert (structure_set.kind, structure_set.generation) == (ObjectKind.RTSTRUCT, 1)
    assert (segmentation.kind, segmentation.generation) == (ObjectKind.SEGMENTATION, 1)
    finish(ledger, structure_set, DeliveryState.DELIVERED, 0)
    assert ledger.job(job.id).state is JobState.DELIVERING, "one of two is not all"
    finish(ledger, segmentation, DeliveryState.DELIVERED, 0)
    assert ledger.job(job.id).state is JobState.DONE


def test_a_dead_segmentation_is_retried_and_the_structure_set_that_arrived_is_not(
    ledger, client, two_objects
):
    job, structure_set, segmentation = two_objects
    finish(ledger, structure_set, DeliveryState.DELIVERED, 0)
    finish(ledger, segmentation, DeliveryState.DEAD)
    failed = ledger.job(job.id)
    assert failed.state is JobState.FAILED
    assert failed.sentence == "The segmentation did not reach archive. So it was."
    Operations(ledger, client).retry(job.id)
    (again,) = ledger.open_deliveries()
    assert (again.kind, again.sop_instance_uid, again.generation) == (ObjectKind.SEGMENTATION, "2.25.78", 2)


def test_what_went_to_a_destination_is_sent_again_whole(ledger, client, two_objects):
    job, *both = two_objects
    for each in both:
        finish(ledger, each, DeliveryState.DELIVERED, 0)
    first = Operations(ledger, client).resend(job.id, "archive")
    assert first.kind is ObjectKind.RTSTRUCT
    assert [(each.kind, each.generation) for each in ledger.open_deliveries()] == [
        (ObjectKind.RTSTRUCT, 2),
        (ObjectKind.SEGMENTATION, 2),
    ]
