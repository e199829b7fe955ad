"""Records never print a patient, and the arrows name every state."""

from __future__ import annotations

from service.backlog.records import DELIVERY_ARROWS, JOB_ARROWS, DeliveryState, JobState


def test_no_record_prints_what_it_holds(identity, received, new_job):
    series = received()
    for record in (identity, series, series.instances[0], new_job()):
        shown = f"{record!r} {record}"
        assert not any(value in shown for value in ("4711", "Lindqvist", "1951", "2.25.", "/"))


def test_every_state_has_its_arrows_and_an_end_is_reached():
    assert set(JOB_ARROWS) == set(JobState)
    assert set(DELIVERY_ARROWS) == set(DeliveryState)
    assert JOB_ARROWS[JobState.SUPERSEDED] == frozenset()
    assert DELIVERY_ARROWS[DeliveryState.DELIVERED] == frozenset()


def test_a_job_that_was_interrupted_may_be_contoured_again():
    assert JobState.CONTOURING in JOB_ARROWS[JobState.CONTOURING]
    assert DeliveryState.SENDING in DELIVERY_ARROWS[DeliveryState.SENDING]


def test_a_cancelled_job_is_not_delivered():
    assert JobState.DELIVERING not in JOB_ARROWS[JobState.CANCELLED]
