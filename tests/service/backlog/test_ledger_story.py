"""The story of one CT has everything, in order; lists and counts agree with it."""

from __future__ import annotations

import pytest

from service.backlog.ledger import LedgerRefused
from service.backlog.records import DeliveryState, JobState, SeriesState


def test_a_story_tells_from_arrival_to_delivery(ledger, new_job, spool):
    job = new_job()
    with ledger.begin() as conn:
        ledger.add_event(conn, job_id=job.id, code="job.note", sentence="Worth knowing.", facts={"count": 3})
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        file = spool.job_folder(job.id) / "rtstruct.dcm"
        made = ledger.create_delivery(
            conn, job_id=job.id, destination="eclipse", file=file, sop_instance_uid="2.25.7"
        )
        ledger.move_job(conn, job.id, JobState.DELIVERING)
    n = ledger.start_attempt(made.id)
    ledger.finish_attempt(
        made.id, n, status=0, code="delivery.sent", sentence="There.", state=DeliveryState.DELIVERED
    )
    story = ledger.story(job.id)
    assert [event.code for event in story.events] == [
        "series.routed",
        "job.queued",
        "job.note",
        "job.contouring",
        "delivery.waiting",
        "job.delivering",
        "delivery.sent",
        "job.done",
    ]
    assert [event.at for event in story.events] == sorted(event.at for event in story.events)
    assert story.events[2].facts == {"count": 3}
    assert story.series.identity.patient_id == "4711"
    assert (story.job.state, story.successor, story.provenance) == (JobState.DONE, None, None)


def test_a_story_of_another_job_of_the_series_is_not_mixed_in(ledger, new_job):
    first, second = new_job(protocol="external"), new_job()
    codes = [event.code for event in ledger.story(first.id).events]
    assert codes == ["series.routed", "job.queued", "series.routed"]
    assert second.id not in str([event.facts for event in ledger.story(first.id).events])


def test_a_job_that_is_not_there_has_no_story(ledger):
    with pytest.raises(LedgerRefused, match="no such job"):
        ledger.story("nonesuch")


def test_lines_of_a_list_say_whose_they_are(ledger, new_job):
    new_job("2.25.1")
    new_job("2.25.2", state=JobState.HELD)
    (line,) = ledger.job_lines(JobState.HELD)
    assert (line.identity.patient_id, line.job.state) == ("4711", JobState.HELD)
    assert len(ledger.job_lines(patient_id="4711")) == 2
    assert ledger.job_lines(patient_id="4712") == []


def test_a_line_says_why_a_set_has_not_arrived_yet(ledger, new_job, spool):
    job = new_job()
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        file = spool.job_folder(job.id) / "rtstruct.dcm"
        made = [
            ledger.create_delivery(
                conn, job_id=job.id, destination=name, file=file, sop_instance_uid=f"2.25.{number}"
            )
            for number, name in enumerate(("eclipse", "archive"))
        ]
        ledger.move_job(conn, job.id, JobState.DELIVERING)
    for sentence in ("Nothing answers.", "Out of space."):
        n = ledger.start_attempt(made[0].id)
        ledger.finish_attempt(
            made[0].id, n, status=None, code="delivery.x", sentence=sentence, state=DeliveryState.RETRYING
        )
    (line,) = ledger.job_lines()
    assert line.retried == ("eclipse: Out of space.",)
    ledger.start_attempt(made[0].id)
    assert ledger.job_lines()[0].retried == ()


def test_series_that_nobody_asked_to_contour_are_listed(ledger, new_job, received, identity):
    new_job("2.25.1")
    with ledger.begin() as conn:
        ledger.record_series(conn, received("2.25.2"), identity, SeriesState.UNROUTED)
    assert [each.series_instance_uid for each in ledger.series_without_jobs()] == ["2.25.2"]
    assert ledger.series_without_jobs("0815") == []


def test_counts_are_by_state_and_the_longest_wait_is_known(ledger, new_job):
    new_job("2.25.1")
    new_job("2.25.2", state=JobState.HELD)
    counts = ledger.counts()
    assert counts.jobs == {"queued": 1, "held": 1}
    assert counts.series == {"routed": 2}
    assert counts.deliveries == {}
    assert 0 <= counts.longest_wait_seconds < 60
