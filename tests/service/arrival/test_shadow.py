"""A protocol that names a candidate beside its model gives one job more, which holds nobody up."""

from __future__ import annotations

from service.backlog.engine import SHADOW
from service.backlog.records import JobState, Mode

PROTOCOLS = {
    "external": {"model": "external@1.0", "shadow": "external@2.0", "structures": {"External": None}}
}
SLICES = range(1, 9)


def test_the_candidate_gets_the_same_ct_last_and_goes_nowhere(make_desk):
    desk = make_desk(protocols=PROTOCOLS)
    desk.send(SLICES)
    desk.wait(30)
    real, shadow = sorted(desk.jobs(), key=lambda job: job.protocol)
    assert (real.protocol, real.mode, real.destinations) == ("external", Mode.SEND, ("tps",))
    assert (shadow.protocol, shadow.mode, shadow.destinations) == ("shadow:external", Mode.SHADOW, ())
    assert shadow.files == real.files
    assert shadow.priority > real.priority
    queues = {queue: sum(numbers.values()) for queue, numbers in desk.engine.counts().items()}
    assert queues["contour"] == 1
    assert queues[SHADOW] == 1


def test_it_counts_neither_as_a_set_of_the_day_nor_waits_for_a_person(make_desk):
    node = {"quiet_seconds": 3, "hard_timeout_seconds": 900, "sets_per_study_and_day": 2}
    desk = make_desk(protocols=PROTOCOLS, node=node)
    for series in ("2.25.20", "2.25.21", "2.25.22"):
        desk.send(SLICES, series=series)
        desk.wait(30)
    states = {
        series: {job.protocol: job.state for job in desk.jobs(series)}
        for series in ("2.25.20", "2.25.21", "2.25.22")
    }
    queued = JobState.QUEUED
    assert states["2.25.20"] == states["2.25.21"] == {"external": queued, "shadow:external": queued}
    assert states["2.25.22"] == {
        "external": JobState.HELD,
        "shadow:external": queued,
    }  # the third of its study


def test_further_slices_replace_both_jobs(make_desk):
    desk = make_desk(protocols=PROTOCOLS)
    desk.send(SLICES)
    desk.wait(30)
    desk.send(range(9, 13))
    desk.wait(30)
    newest = [job for job in desk.jobs() if job.state is JobState.QUEUED]
    assert {job.protocol: len(job.files) for job in newest} == {"external": 12, "shadow:external": 12}
    assert sum(job.state is JobState.SUPERSEDED for job in desk.jobs()) == 2
