"""Another host that shares the storage folder received a series, and had to leave before it was done with it."""

from __future__ import annotations

import pytest

from service.arrival.spooled_series import AssociationEnd, mark_end
from service.backlog.records import JobState

SLICES = range(10)


@pytest.fixture
def desk(make_desk):
    return make_desk(node={"quiet_seconds": 3, "hard_timeout_seconds": 60})


def receive_elsewhere(desk, slices, *, ended: bool) -> None:
    """Instances get into the spool and the desk is not told."""
    told = desk.reception.arrived, desk.reception.ended
    desk.reception.arrived = desk.reception.ended = lambda *_, **__: None
    assert set(desk.send(slices)) == {0}
    desk.reception.arrived, desk.reception.ended = told
    if ended:
        (folder,) = desk.spool.folders()
        mark_end(folder, AssociationEnd(released=True, instances=len(list(folder.glob("*.dcm")))))


def look_twice(desk) -> None:
    for _ in range(2):
        desk.wait(11)
        desk.reception.look_around()


def test_it_is_contoured_if_its_sender_had_said_that_it_was_all(desk):
    receive_elsewhere(desk, SLICES, ended=True)
    desk.wait(70)
    assert desk.jobs() == []
    look_twice(desk)
    desk.wait(10)
    (job,) = desk.jobs()
    assert (job.state, len(job.files)) == (JobState.QUEUED, 10)


def test_it_waits_for_a_person_if_not(desk):
    receive_elsewhere(desk, SLICES, ended=False)
    look_twice(desk)
    desk.wait(70)
    (job,) = desk.jobs()
    assert (job.state, job.code) == (JobState.HELD, "series.end-unknown")


def test_slices_that_reached_the_other_host_make_a_new_job(desk):
    desk.send(range(8))
    desk.wait(10)
    look_twice(desk)
    receive_elsewhere(desk, range(8, 10), ended=True)
    look_twice(desk)
    desk.wait(10)
    assert [(job.state, len(job.files)) for job in desk.jobs()] == [
        (JobState.SUPERSEDED, 8),
        (JobState.QUEUED, 10),
    ]


def test_what_is_recorded_as_it_lies_there_is_left_alone(desk):
    desk.send(SLICES)
    desk.wait(10)
    look_twice(desk)
    look_twice(desk)
    desk.wait(10)
    assert [job.state for job in desk.jobs()] == [JobState.QUEUED]
