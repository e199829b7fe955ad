"""A set that came: waited for, compared with every job's set, written down once; what is no review is named."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from review_desk import ReviewDesk

from service.backlog.engine import EngineClient
from service.backlog.erasure import Erasure
from service.backlog.ledger import LedgerRefused
from service.backlog.records import JobState, Mode, SeriesState
from service.backlog.retention import Retention
from service.config.site import Node
from service.evaluation.set_intake import SetIntake


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ReviewDesk]:
    desk = ReviewDesk(tmp_path)
    yield desk
    desk.ledger.close()


def only_set(desk: ReviewDesk):
    [found] = desk.ledger.reviewed_sets()
    return found


def test_an_edited_set_is_measured_and_written_down_with_what_it_says_of_itself(desk):
    job = desk.job()
    assert desk.review(desk.edited(job).trim("Bladder", superior=2)) is None
    found = only_set(desk)
    assert (found.sender, found.approval, found.reviewer_known, found.found_by) == (
        "TPS",
        "APPROVED",
        True,
        "sent",
    )
    assert (found.code, found.sentence) == (None, None)
    assert found.series_id == job.series_id
    rows = {row.structure: row for row in desk.ledger.find_reviewed_structures()}
    assert len(rows) == 7
    bladder = rows["Bladder"]
    assert bladder.measures["slices_removed_superior"] == 2.0
    assert (bladder.job_id, bladder.protocol, bladder.ct_sender) == (job.id, "pelvis", "SCANNER")
    assert (bladder.model, bladder.is_shadow, bladder.approval) == ("pelvis-ct@1.0", False, "APPROVED")
    assert bladder.contoured_at <= bladder.received_at <= time.time()
    states = [each.state for each in desk.ledger.slice_measures(bladder.id)]
    assert states == ["untouched"] * (len(states) - 2) + ["removed"] * 2
    assert [each.code for each in desk.ledger.story(job.id).events][-1] == "job.reviewed"


def test_the_reviewers_name_stands_in_the_file_alone(desk):
    desk.job()
    desk.review(desk.edited(reviewer="Unmistakable^Name"))
    found = only_set(desk)
    assert b"Unmistakable" in desk.ledger.reviewed_file(found.id).read_bytes()
    for file in desk.storage.glob("delineate.sqlite*"):
        assert b"Unmistakable" not in file.read_bytes()


def test_every_job_of_the_ct_with_a_set_is_compared_shadow_ones_too(desk):
    sent = desk.job("pelvis")
    shadow = desk.job("newer", mode=Mode.SHADOW)
    trial = desk.job("trial:pelvis:1", mode=Mode.SHADOW)
    given_up = desk.job("old", mode=Mode.SHADOW)
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, given_up.id, JobState.SUPERSEDED)
    desk.review(desk.edited(sent))
    rows = desk.ledger.find_reviewed_structures()
    assert {(row.job_id, row.is_shadow) for row in rows} == {(sent.id, False), (shadow.id, True)}
    assert trial.id not in {row.job_id for row in rows}
    assert len(rows) == 14


def test_a_set_waits_for_its_ct_and_for_the_contours_and_is_then_compared(desk):
    name = desk.receive(desk.edited())
    again = desk.worker.review(name)
    assert again is not None
    assert again.payload == f"{name}#2"
    assert again.key != desk.worker.review(again.payload).key  # every look has a key of its own
    desk.record_series(SeriesState.COLLECTING)
    assert desk.worker.review(again.payload) is not None
    job = desk.job(contoured=False)
    assert desk.worker.review(again.payload) is not None
    desk.contour(job, desk.encoded)
    assert desk.worker.review(again.payload) is None
    assert len(desk.ledger.find_reviewed_structures()) == 7


def test_a_set_waits_for_a_candidate_in_the_shadow_a_day_and_no_longer(desk):
    sent = desk.job("pelvis")
    shadow = desk.job("shadow:pelvis", mode=Mode.SHADOW, contoured=False)
    name = desk.receive(desk.edited(sent))
    assert desk.worker.review(name) is not None
    os.utime(desk.spool.structure_sets / f"{name}.dcm", (time.time() - 86500,) * 2)
    assert desk.worker.review(name) is None
    assert {row.job_id for row in desk.ledger.find_reviewed_structures()} == {sent.id}
    desk.contour(shadow, desk.set_with_uid("shadow"), sent=False)
    desk.review(desk.edited(sent))
    rows = desk.ledger.find_reviewed_structures(protocol="pelvis", is_shadow=True)
    assert {row.job_id for row in rows} == {shadow.id}, "the shadow's protocol is the one it stands beside"


def test_a_ct_that_does_not_come_within_the_hour_is_another_one(desk):
    name = desk.receive(desk.edited())
    file = desk.spool.structure_sets / f"{name}.dcm"
    os.utime(file, (time.time() - 3700,) * 2)
    assert desk.worker.review(name) is None
    assert (only_set(desk).code, only_set(desk).series_id) == ("review.other-ct", None)


def in_another_frame(edited):
    uid = generate_uid()
    edited.ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = uid
    for item in edited.ds.StructureSetROISequence:
        item.ReferencedFrameOfReferenceUID = uid
    return edited


def test_another_frame_of_reference_is_named_and_nothing_is_measured(desk):
    job = desk.job()
    desk.review(in_another_frame(desk.edited(job)))
    assert only_set(desk).code == "review.other-frame-of-reference"
    assert desk.ledger.find_reviewed_structures() == []


@pytest.mark.parametrize(
    ("patient_id", "code"), [("SOMEBODY-ELSE", "review.other-patient"), ("", None), (None, None)]
)
def test_a_set_of_another_patient_on_our_ct_is_named_and_not_measured(desk, patient_id, code):
    job = desk.job()
    edited = desk.edited(job)
    edited.ds.PatientID = patient_id if patient_id is not None else f"{edited.ds.PatientID} "
    desk.review(edited)
    assert only_set(desk).code == code
    assert len(desk.ledger.find_reviewed_structures()) == (0 if code else 7)


def overtaken(desk) -> tuple:
    """A job that sent its set and was replaced since, and the one that replaced it."""
    old = desk.job()
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, old.id, JobState.SUPERSEDED)
        desk.ledger.new_revision(conn, old.series_id)
    return old, desk.job(encoded=desk.set_with_uid("after further slices"))


@pytest.mark.parametrize("how", ["own", "approved", "predecessor"])
def test_a_set_of_the_ct_as_it_was_before_further_slices_is_not_compared_with_the_new_one(desk, how):
    old, _ = overtaken(desk)
    edited = desk.edited(old, approval="UNAPPROVED" if how == "own" else "APPROVED")
    own = edited.ds.file_meta.MediaStorageSOPInstanceUID
    if how == "predecessor":
        before = Dataset()
        before.ReferencedSOPClassUID, before.ReferencedSOPInstanceUID = edited.ds.SOPClassUID, own
        edited.ds.PredecessorStructureSetSequence = [before]
    else:
        edited.ds.SOPInstanceUID = own
    desk.review(edited)
    assert only_set(desk).code == "review.replaced"
    assert desk.ledger.find_reviewed_structures() == []


def test_a_review_of_the_newer_set_is_compared_though_an_older_one_was_replaced(desk):
    _, new = overtaken(desk)
    desk.review(desk.edited(new))
    assert only_set(desk).code is None
    assert {row.job_id for row in desk.ledger.find_reviewed_structures()} == {new.id}


def test_of_a_ct_that_was_contoured_twice_the_one_that_was_reviewed_is_compared(desk):
    old, old_shadow = desk.job(), desk.job("shadow", mode=Mode.SHADOW)
    with desk.ledger.begin() as conn:
        desk.ledger.new_revision(conn, old.series_id)
    later = desk.job("added later", mode=Mode.SHADOW)
    new = desk.job(encoded=desk.set_with_uid("contoured again"))
    new_shadow = desk.job("shadow", mode=Mode.SHADOW, encoded=desk.set_with_uid("shadow again"))
    under_our_uid = desk.edited(old)
    under_our_uid.ds.SOPInstanceUID = under_our_uid.ds.file_meta.MediaStorageSOPInstanceUID
    for edited, expected in (
        (under_our_uid, {old.id, old_shadow.id, later.id}),
        (desk.edited(new), {new.id, new_shadow.id, later.id}),
    ):
        assert desk.review(edited) is None
        found = max(desk.ledger.reviewed_sets(), key=lambda each: each.id)
        rows = desk.ledger.find_reviewed_structures(set_id=found.id, with_superseded=True)
        assert {row.job_id for row in rows} == expected


def test_a_draft_that_comes_after_the_approved_set_does_not_take_its_place(desk):
    """As when a destination is asked by night and has kept every version."""
    job = desk.job()
    desk.review(desk.edited(job).trim("Bladder", superior=1))
    desk.review(desk.edited(job, approval="UNAPPROVED").trim("Bladder", superior=3))
    [counts] = desk.ledger.find_reviewed_structures(structure="Bladder")
    assert (counts.approval, counts.measures["slices_removed_superior"]) == ("APPROVED", 1.0)
    desk.review(desk.edited(job, approval="REJECTED").trim("Bladder", superior=2))
    [counts] = desk.ledger.find_reviewed_structures(structure="Bladder")
    assert (counts.approval, counts.measures["slices_removed_superior"]) == ("REJECTED", 2.0)


def test_our_own_set_that_comes_back_is_no_review(desk):
    job = desk.job()
    own = desk.edited(job, approval="UNAPPROVED")
    own.ds.SOPInstanceUID = own.ds.file_meta.MediaStorageSOPInstanceUID
    desk.review(own)
    assert only_set(desk).code == "review.own-set"
    assert desk.ledger.find_reviewed_structures() == []


@pytest.mark.parametrize("edit", [lambda own: own, lambda own: own.trim("Bladder", superior=1)])
def test_our_own_set_approved_or_changed_under_our_uid_is_one_and_that_is_said(desk, edit):
    job = desk.job()
    own = desk.edited(job, approval="APPROVED")
    own.ds.SOPInstanceUID = own.ds.file_meta.MediaStorageSOPInstanceUID
    desk.review(edit(own))
    assert only_set(desk).code == "review.uid-reused"
    assert len(desk.ledger.find_reviewed_structures()) == 7


def test_a_second_review_counts_and_both_are_kept(desk):
    job = desk.job()
    desk.review(desk.edited(job).trim("Bladder", superior=1))
    desk.review(desk.edited(job).trim("Bladder", superior=3))
    [counts] = desk.ledger.find_reviewed_structures(structure="Bladder")
    assert counts.measures["slices_removed_superior"] == 3.0
    assert len(desk.ledger.find_reviewed_structures(structure="Bladder", with_superseded=True)) == 2
    assert len(desk.ledger.reviewed_sets_of_job(job.id)) == 2
    assert len(list(desk.spool.structure_sets.glob("*.dcm"))) == 2


def test_a_set_is_written_down_once_however_often_it_is_looked_at_or_sent(desk):
    job = desk.job()
    edited = desk.edited(job)
    name = desk.receive(edited)
    for _ in range(3):
        assert desk.worker.review(name) is None
        desk.receive(edited)
    assert len(desk.ledger.reviewed_sets()) == 1
    assert len(desk.ledger.find_reviewed_structures(with_superseded=True)) == 7


def test_what_is_no_ct_of_ours_to_judge_is_said(desk):
    desk.record_series(SeriesState.UNROUTED)
    desk.review(desk.edited())
    assert only_set(desk).code == "review.not-contoured"


def test_a_set_whose_ct_is_deleted_is_compared_all_the_same(desk):
    job = desk.job()
    shutil.rmtree(desk.folder / "ct")
    desk.review(desk.edited(job))
    assert len(desk.ledger.find_reviewed_structures()) == 7


@pytest.mark.parametrize(
    ("gone", "code"),
    [("rtstruct-generic.dcm", "review.ours-deleted"), ("ct-grid.json", "review.ct-deleted")],
)
def test_what_cannot_be_compared_any_more_is_said(desk, gone, code):
    job = desk.job()
    edited = desk.edited(job)
    shutil.rmtree(desk.folder / "ct")
    (desk.spool.jobs / job.id / gone).unlink()
    desk.review(edited)
    assert only_set(desk).code == code


def test_what_cannot_be_read_is_said(desk):
    stored = desk.spool.store_structure_set("2.25.5", [b"\0" * 128 + b"DICM" + b"rubbish"])
    assert desk.worker.review(stored.file.stem) is None
    assert only_set(desk).code in ("structure-set.unreadable", "structure-set.other-class")


def test_a_set_that_was_set_aside_is_written_down_and_not_looked_at_again(desk):
    desk.job()
    name = desk.receive(desk.edited())
    desk.worker.gave_up(f"{name}#3")
    desk.worker.gave_up(name)
    assert only_set(desk).code == "review.set-aside"
    assert desk.worker.review(name) is None


def test_a_set_is_compared_anew_after_a_name_was_added_and_keeps_its_grades(desk):
    job = desk.job()
    desk.review(desk.edited(job).without_codes().renumber().rename("Bladder", "Blase"))
    rows = {row.structure: row for row in desk.ledger.find_reviewed_structures()}
    assert (rows["Bladder"].code, rows["Bladder"].measures) == ("review.renamed", {})
    with desk.ledger.begin() as conn:
        desk.ledger.grade(conn, rows["Rectum"].id, "minor", "anna")
    desk.configure("evaluation: {synonyms: {Bladder: [Blase]}}\n")
    desk.worker.again(only_set(desk).id)
    anew = {row.structure: row for row in desk.ledger.find_reviewed_structures(with_superseded=True)}
    assert (anew["Bladder"].code, anew["Bladder"].matched_by) == (None, "synonym")
    assert anew["Bladder"].measures["dsc"] == 1.0
    assert {name: row.id for name, row in anew.items()} == {name: row.id for name, row in rows.items()}
    assert anew["Rectum"].reader_grade == "minor"
    desk.ledger.reviewed_file(only_set(desk).id).unlink()
    with pytest.raises(LedgerRefused, match="deleted"):
        desk.worker.again(only_set(desk).id)


def test_erasing_a_patient_takes_the_reviews_files_and_every_hash(desk):
    job = desk.job()
    name = desk.receive(desk.edited(job))
    desk.worker.review(name)
    retention = Retention(desk.ledger, desk.spool, Node())
    assert Erasure(desk.ledger, desk.spool, retention).of_patient("SOMEBODY").purged.files == 0
    erased = Erasure(desk.ledger, desk.spool, retention).of_patient(str(desk.series.header.PatientID))
    assert erased.purged.files == 1
    found = only_set(desk)
    assert (found.file, found.sha256) == ("", "")
    assert desk.ledger.known_set_names() == {f"cleared.{found.id}"}
    assert len(desk.ledger.find_reviewed_structures()) == 7


def test_what_lies_in_the_spool_is_submitted_once(desk):
    client = EngineClient(desk.loaded.database_url)
    enabled = [True]

    def intake() -> SetIntake:
        return SetIntake(lambda: enabled[0], desk.spool, desk.ledger, client)

    first = intake()
    assert first.look() == 0
    desk.job()
    name = desk.receive(desk.edited())
    enabled[0] = False
    assert first.look() == 0
    enabled[0] = True
    assert first.look() == 1
    assert first.look() == 0
    assert intake().look() == 1  # another process: the engine takes a key once
    assert client.counts()["review"]["enqueued"] == 1
    assert client.under_way() == {f"review:{name}:1"}
    desk.worker.review(name)
    assert intake().look() == 0
    client.close()


def test_a_review_is_kept_as_long_as_configured_and_its_measures_longer(desk):
    job = desk.job()
    edited = desk.edited(job)
    desk.review(edited)
    desk.review(in_another_frame(desk.edited(job)))
    files = {row.code: desk.ledger.reviewed_file(row.id) for row in desk.ledger.reviewed_sets()}
    for file in files.values():
        os.utime(file, (time.time(),) * 2)

    def purge(days: float) -> None:
        Retention(desk.ledger, desk.spool, Node(), review_days=200).purge(at=time.time() + days * 86400)

    purge(89)
    assert all(file.exists() for file in files.values())
    purge(100)  # received sets that are no reviews go with our own, after 90 days
    assert [file.exists() for code, file in files.items() if code is not None] == [False]
    assert files[None].exists()
    purge(201)
    assert not files[None].exists()
    assert len(desk.ledger.find_reviewed_structures()) == 7
    assert {row.file for row in desk.ledger.reviewed_sets()} == {""}
    desk.receive(edited)
    assert desk.worker.review(files[None].stem) is None
    assert len(desk.ledger.reviewed_sets()) == 2
