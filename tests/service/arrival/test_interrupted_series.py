"""The node stopped after the last image was acknowledged and before its sender could end the association."""

from __future__ import annotations

import pytest

from service.backlog.records import JobState, SeriesState

SLICES = range(10)


@pytest.fixture
def stopped(make_desk):
    """A desk that was stopped while an association was open whose images were all acknowledged."""
    desk = make_desk(node={"quiet_seconds": 3, "hard_timeout_seconds": 60})
    end, desk.reception.ended = desk.reception.ended, lambda *_, **__: None
    assert set(desk.send(SLICES)) == {0}
    desk.reception.ended = end
    desk.start()
    return desk


def test_it_is_shown_as_waiting_then_held_for_a_person_and_nothing_needs_sending_again(stopped):
    stopped.wait(10)
    assert (stopped.series().state, stopped.series().code) == (SeriesState.COLLECTING, "series.end-unknown")
    assert stopped.jobs() == []
    stopped.wait(60)
    (job,) = stopped.jobs()
    assert (job.state, job.code, len(job.files)) == (JobState.HELD, "series.end-unknown", 10)
    assert [(code, job_id) for code, _, job_id in stopped.told.messages] == [("series.end-unknown", job.id)]
    assert stopped.engine.under_way() == set()


def test_the_whole_series_sent_again_to_its_end_releases_the_job(stopped):
    stopped.wait(70)
    stopped.send(SLICES)
    stopped.wait(10)
    (job,) = stopped.jobs()
    assert job.state is JobState.QUEUED
    assert stopped.engine.under_way() == {f"contour:{job.id}:2"}


def test_images_that_were_missing_make_a_new_job_that_is_not_held(stopped):
    stopped.wait(70)
    stopped.send(range(10, 14))
    stopped.wait(10)
    assert [(job.state, len(job.files)) for job in stopped.jobs()] == [
        (JobState.SUPERSEDED, 10),
        (JobState.QUEUED, 14),
    ]
