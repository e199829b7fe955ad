"""Jobs: created once, moved only along the arrows, found by people."""

from __future__ import annotations

import threading

import pytest

from models.volume import Finding, Provenance, Severity
from service.backlog.ledger import LedgerRefused
from service.backlog.records import JOB_ARROWS, JobState, Mode, PatientIdentity, SeriesState

PROVENANCE = Provenance("pelvis-ct", "1.0", "ab" * 32, validated=False, device="cpu")


def test_a_job_of_the_same_series_protocol_and_revision_exists_once(ledger, new_job):
    first, second, other = new_job(), new_job(), new_job(protocol="external")
    assert first.id == second.id != other.id
    assert len(ledger.jobs_of_series("2.25.1")) == 2


def test_two_threads_that_create_one_job_get_the_same(ledger, new_job):
    ids = []
    threads = [threading.Thread(target=lambda: ids.append(new_job().id)) for _ in range(4)]
    new_job(protocol="external")  # the series' row is there
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_a_job_reads_back_as_it_was_created(ledger, new_job, spool):
    job = new_job(
        destinations=("eclipse", "sender:SCANNER"),
        mode=Mode.HOLD,
        priority=7,
        notes=("Lossy.",),
        routes=("pelvis",),
    )
    read = ledger.job(job.id)
    assert (read.destinations, read.mode, read.priority) == (("eclipse", "sender:SCANNER"), Mode.HOLD, 7)
    assert (read.notes, read.routes, read.when_sent_again) == (("Lossy.",), ("pelvis",), "send_same")
    assert read.files == tuple(spool.instance_file("2.25.1", f"2.25.1.{n}") for n in range(3))
    assert all(file.is_file() for file in read.files)
    assert (read.state, read.run, read.revision, read.contoured) == (JobState.QUEUED, 0, 1, False)


def test_an_id_is_short_and_has_no_letters_that_are_mistaken(new_job):
    ids = {new_job(f"2.25.{n}").id for n in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 8 and not set(each) & set("01ilo") and each == each.lower() for each in ids)


def test_a_grown_series_gets_a_new_job_beside_the_old_one(ledger, new_job, received, identity):
    first = new_job()
    with ledger.begin() as conn:
        row = ledger.record_series(conn, received(count=4), identity, SeriesState.ROUTED)
        fields = {"destinations": (), "mode": Mode.SEND, "priority": 1, "files": (), "config_version": "a"}
        second = ledger.create_job(conn, series_id=row, protocol="pelvis-ct", predecessor=first.id, **fields)
    assert (second.revision, second.predecessor) == (2, first.id)
    assert ledger.latest_job("2.25.1", "pelvis-ct").id == second.id
    assert ledger.latest_job("2.25.1", "external") is None
    assert ledger.story(first.id).successor == second.id


@pytest.mark.parametrize("start", list(JobState))
def test_a_job_moves_along_the_arrows_and_nowhere_else(ledger, new_job, start):
    for number, to in enumerate(JobState):
        job = new_job(f"2.25.{number}", state=start)
        with ledger.begin() as conn:
            if to in JOB_ARROWS[start]:
                assert ledger.move_job(conn, job.id, to).state is to
            else:
                with pytest.raises(LedgerRefused, match=f"is {start.value} and cannot become {to.value}"):
                    ledger.move_job(conn, job.id, to)
                assert ledger.job(job.id, conn).state is start


def test_a_move_may_be_narrowed_to_where_it_comes_from(ledger, new_job):
    job = new_job(state=JobState.HELD)
    with ledger.begin() as conn, pytest.raises(LedgerRefused):
        ledger.move_job(conn, job.id, JobState.DELIVERING, only_from=[JobState.CONTOURING])


def test_each_begin_of_contouring_is_a_new_run(ledger, new_job):
    job = new_job()
    with ledger.begin() as conn:
        assert ledger.move_job(conn, job.id, JobState.CONTOURING).run == 1
        assert ledger.move_job(conn, job.id, JobState.CONTOURING).run == 2  # after a crash
        assert ledger.move_job(conn, job.id, JobState.DELIVERING).run == 2


def test_a_reason_is_kept_and_goes_with_the_next_move(ledger, new_job):
    job = new_job()
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        ledger.move_job(conn, job.id, JobState.REFUSED, code="model.region", sentence="No pelvis here.")
    assert (ledger.job(job.id).code, ledger.job(job.id).sentence) == ("model.region", "No pelvis here.")
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.QUEUED)
    assert ledger.job(job.id).code is None


def test_a_job_that_is_not_there_is_refused(ledger):
    with pytest.raises(LedgerRefused, match="no such job") as refused:
        ledger.job("nonesuch")
    assert refused.value.code == "ledger.no-such-job"
    with ledger.begin() as conn, pytest.raises(LedgerRefused, match="no such job"):
        ledger.move_job(conn, "nonesuch", JobState.DONE)


def test_jobs_are_found_by_state_patient_and_study(ledger, new_job, received):
    first, second = new_job("2.25.1"), new_job("2.25.2", state=JobState.HELD)
    with ledger.begin() as conn:
        other = PatientIdentity(patient_id="0815")
        row = ledger.record_series(conn, received("2.25.3", study_uid="2.25.8"), other, SeriesState.ROUTED)
        fields = {"destinations": (), "mode": Mode.SEND, "priority": 1, "files": (), "config_version": "a"}
        third = ledger.create_job(conn, series_id=row, protocol="pelvis-ct", **fields)
    found = [job.id for job in ledger.find_jobs()]
    assert found == [third.id, second.id, first.id]
    assert [job.id for job in ledger.find_jobs(JobState.HELD)] == [second.id]
    assert len(ledger.find_jobs([JobState.HELD, JobState.QUEUED])) == 3
    assert [job.id for job in ledger.find_jobs(patient_id="0815")] == [third.id]
    assert [job.id for job in ledger.find_jobs(study_uid="2.25.9")] == [second.id, first.id]
    assert len(ledger.find_jobs(limit=2)) == 2


def test_sets_of_a_study_are_counted_since_a_time(ledger, new_job):
    new_job("2.25.1")
    new_job("2.25.2")
    new_job("2.25.3", state=JobState.CANCELLED)
    with ledger.begin() as conn:
        assert ledger.sets_since(conn, "2.25.9", 0.0) == 2
        assert ledger.sets_since(conn, "2.25.9", 4e9) == 0
        assert ledger.sets_since(conn, "2.25.404", 0.0) == 0


def test_what_the_model_said_is_kept_and_replaced_by_a_second_run(ledger, new_job):
    job = new_job()
    findings = [
        Finding("structure.cut-by-field-of-view", "Cut off.", "Bowel_Small"),
        Finding("note", "All well.", severity=Severity.NOTE),
    ]
    for volume in (100.0, 101.5):
        with ledger.begin() as conn:
            ledger.record_segmentation(
                conn, job.id, PROVENANCE, findings, {"Bladder": volume}, {"infer": 2.5}
            )
    story = ledger.story(job.id)
    assert story.findings == tuple(findings)
    assert story.volumes_cm3 == {"Bladder": 101.5}
    assert story.seconds == {"infer": 2.5}
    assert story.provenance["model"] == "pelvis-ct"
    assert story.provenance["validated"] is False
    assert story.job.contoured


def test_changes_by_a_person_name_the_person(ledger, new_job):
    job = new_job()
    with ledger.begin() as conn:
        ledger.change_job(conn, job.id, mode=Mode.HOLD, priority=1, who="anna")
        ledger.move_job(conn, job.id, JobState.CANCELLED, who="anna")
    assert (ledger.job(job.id).mode, ledger.job(job.id).priority) == (Mode.HOLD, 1)
    assert [(e.code, e.who) for e in ledger.story(job.id).events if e.who] == [
        ("job.changed", "anna"),
        ("job.cancelled", "anna"),
    ]


def test_submissions_count_from_one(ledger, new_job):
    job = new_job()
    assert ledger.submissions(job.id) == 1
    with ledger.begin() as conn:
        assert ledger.next_submission(conn, job.id) == 2
    assert ledger.submissions(job.id) == 2
