"""One job from its CT's files to structure sets that wait for delivery, and everything that may come between."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from analytic_bundle import STRUCTURES
from contouring_room import DESTINATIONS, Models, Room

from service.backlog.contouring_progress import part_done
from service.backlog.records import (
    DeliveryState,
    JobState,
    Mode,
)
from service.config.reader import parse
from service.contouring.contoured_ct import ContouredCt
from service.contouring.object_files import sop_instance_uid
from service.contouring.tries import TRIES, TRIES_IF_KILLED
from service.dicom.ct_writer import SyntheticPatient
from service.errors import SegmentationFailed, SpoolUnavailable


@pytest.fixture
def room(tmp_path: Path, migrated: Path, bundles: Path) -> Iterator[Room]:
    room = Room(tmp_path, migrated, bundles)
    yield room
    room.engine.close()
    room.ledger.close()


def test_a_ct_becomes_one_set_for_each_destination_and_all_of_them_wait(room: Room) -> None:
    job = room.job(room.ct(1), ("tps", "archive"))
    assert room.worker.contour(job.id) is None
    assert room.state(job)[0] is JobState.DELIVERING
    sets = room.sets(job)
    assert set(sets) == {"tps", "archive"}
    assert len({ds.SOPInstanceUID for ds in sets.values()}) == 2  # other bytes, other UIDs
    for ds in sets.values():
        assert {str(roi.ROIName) for roi in ds.StructureSetROISequence} == set(STRUCTURES)
        assert ds.ApprovalStatus == "UNAPPROVED"
    assert {key.split(":")[0] for key in room.engine.under_way()} == {"deliver"}
    assert len(room.engine.under_way()) == 2
    story = room.ledger.story(job.id)
    assert set(story.volumes_cm3) == set(STRUCTURES)
    assert story.provenance["model"] == "analytic"


def test_what_is_held_is_made_and_does_not_leave(room: Room) -> None:
    job = room.job(room.ct(1), mode=Mode.HOLD)
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.HELD
    assert [each.state for each in room.ledger.deliveries(job.id)] == [DeliveryState.HELD]
    assert room.engine.under_way() == set()


def test_a_shadow_is_contoured_and_never_sent(room: Room) -> None:
    job = room.job(room.ct(1), mode=Mode.SHADOW)
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.DONE
    assert room.ledger.deliveries(job.id) == []
    assert set(room.ledger.story(job.id).volumes_cm3) == set(STRUCTURES)


def test_while_a_ct_is_segmented_its_folder_says_how_far_that_is(room: Room, monkeypatch) -> None:
    job = room.job(room.ct(1))
    folder, seen = room.storage / "jobs" / job.id, []

    def segment(*args, progress=None, **named):
        progress(0.4)
        seen.extend(part_done(folder, run) for run in (1, 2))
        return Models().segment(*args, progress=progress, **named)

    monkeypatch.setattr(room.models, "segment", segment)
    room.worker.contour(job.id)
    assert seen == [0.4, None]
    assert room.state(job)[0] is JobState.DELIVERING
    assert not list(folder.glob("progress*"))


class Crash(BaseException):
    pass


def test_after_a_crash_before_the_ledger_knows_the_same_bytes_are_sent(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = room.job(room.ct(1))

    def reach(place: str) -> None:
        if place == "contour.before-commit":
            raise Crash

    monkeypatch.setattr("service.contouring.worker.reach", reach)
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()
    before = {file.name: file.read_bytes() for file in (room.storage / "jobs" / job.id).iterdir()}
    room.worker.contour(job.id)
    assert room.models.asked == 1
    assert {file.name: file.read_bytes() for file in (room.storage / "jobs" / job.id).iterdir()} == before
    assert room.state(job)[0] is JobState.DELIVERING
    assert set(room.ledger.story(job.id).volumes_cm3) == set(STRUCTURES)


def test_a_set_that_is_there_is_never_written_anew(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    job = room.job(room.ct(1))

    def reach(place: str) -> None:
        if place == "contour.after-file":
            raise Crash

    monkeypatch.setattr("service.contouring.worker.reach", reach)
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()
    before = {file.name: file.read_bytes() for file in (room.storage / "jobs" / job.id).glob("*.dcm")}
    assert before
    room.worker.contour(job.id)
    after = {file.name: file.read_bytes() for file in (room.storage / "jobs" / job.id).glob("*.dcm")}
    assert after == before
    assert room.state(job)[0] is JobState.DELIVERING


def test_a_worker_that_was_taken_for_dead_overwrites_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It freezes just before it writes; another host contours the CT meanwhile, and then it goes on."""
    job = room.job(room.ct(1))
    make = ContouredCt.structure_set
    taken_over: list[bytes] = []

    def frozen(*given: object, **named: object) -> bytes:
        made = make(*given, **named)
        if not taken_over:
            taken_over.append(b"")
            room.worker.contour(job.id)
            taken_over[:] = [room.ledger.deliveries(job.id)[0].file.read_bytes()]
        return made

    monkeypatch.setattr(ContouredCt, "structure_set", frozen)
    room.worker.contour(job.id)
    (delivery,) = room.ledger.deliveries(job.id)
    assert delivery.file.read_bytes() == taken_over[0]
    assert sop_instance_uid(delivery.file) == delivery.sop_instance_uid
    assert room.state(job)[0] is JobState.DELIVERING


def test_a_set_whose_file_was_purged_is_made_again_as_another_instance(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = room.job(room.ct(1))
    uids = []
    for _ in range(2):

        def reach(place: str) -> None:
            if place == "contour.before-commit":
                raise Crash

        monkeypatch.setattr("service.contouring.worker.reach", reach)
        with pytest.raises(Crash):
            room.worker.contour(job.id)
        monkeypatch.undo()
        for file in (room.storage / "jobs" / job.id).glob("*.dcm"):
            uids.append(sop_instance_uid(file))
            file.unlink()
    assert len(set(uids)) == len(uids) >= 2


def test_a_receiver_that_wants_more_than_the_ct_says_stops_no_other_job(room: Room) -> None:
    nameless = SyntheticPatient(name="", patient_id="")
    job = room.job(room.ct(1, patient=nameless), ("tps",))
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.DELIVERING
    wanted = room.job(room.ct(2, patient=nameless), ("picky",))
    room.worker.contour(wanted.id)
    assert room.state(wanted) == (JobState.FAILED, "structure-set.patient-unnamed")
    assert room.told.codes == ["structure-set.patient-unnamed"]


def test_every_receiver_is_told_of_the_set_that_it_has(room: Room) -> None:
    explicit = {**DESTINATIONS, "archive": {**DESTINATIONS["archive"], "profile": "generic", "transfer_syntax": "explicit"}}  # fmt: skip
    room.loaded = room.configured(explicit)
    both = ("tps", "archive")
    first = room.job(room.ct(1), both)
    room.worker.contour(first.id)
    second = room.job(room.ct(2), both, predecessor=first.id)
    room.worker.contour(second.id)
    had, got = room.sets(first), room.sets(second)
    for destination in both:
        (named,) = got[destination].PredecessorStructureSetSequence
        assert named.ReferencedSOPInstanceUID == had[destination].SOPInstanceUID
        assert "of 12 slices" in got[destination].StructureSetDescription


def test_each_destination_gets_a_set_by_its_own_rules(room: Room) -> None:
    """Two destinations of one profile and other rules: other names, other colours, other instances."""
    rules = {"name_characters": 6, "colors": {"Bladder": "#010203"}}
    room.loaded = room.configured(
        {
            "tps": DESTINATIONS["tps"],
            "archive": {**DESTINATIONS["archive"], "profile": "generic", "rules": rules},
        }
    )
    job = room.job(room.ct(1), ("tps", "archive"))
    room.worker.contour(job.id)
    sets = room.sets(job)
    names = {to: [str(roi.ROIName) for roi in ds.StructureSetROISequence] for to, ds in sets.items()}
    assert max(map(len, names["archive"])) <= 6 < max(map(len, names["tps"]))
    colors = {to: [int(v) for v in ds.ROIContourSequence[0].ROIDisplayColor] for to, ds in sets.items()}
    assert (colors["tps"], colors["archive"]) == ([255, 215, 0], [1, 2, 3])
    assert sets["tps"].SOPInstanceUID != sets["archive"].SOPInstanceUID


def test_a_receiver_whose_profile_changed_is_told_of_what_it_was_sent(room: Room) -> None:
    only = {"tps": DESTINATIONS["tps"]}
    room.loaded = room.configured(only)
    first = room.job(room.ct(1))
    room.worker.contour(first.id)
    room.loaded = room.configured({"tps": {**DESTINATIONS["tps"], "transfer_syntax": "explicit"}})
    second = room.job(room.ct(2), predecessor=first.id)
    room.worker.contour(second.id)
    (named,) = room.sets(second)["tps"].PredecessorStructureSetSequence
    assert named.ReferencedSOPInstanceUID == room.sets(first)["tps"].SOPInstanceUID


def test_a_destination_that_is_edited_while_a_ct_is_contoured_gets_what_was_made(room: Room) -> None:
    job = room.job(room.ct(1))

    def edit() -> None:
        room.loaded = room.configured(
            {"tps": {**DESTINATIONS["tps"], "transfer_syntax": "explicit", "holes": "xor"}}
        )

    room.models.meanwhile = edit
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.DELIVERING
    (delivery,) = room.ledger.deliveries(job.id)
    assert delivery.sop_instance_uid == sop_instance_uid(delivery.file)


def test_a_job_that_was_cancelled_meanwhile_stays_cancelled(room: Room) -> None:
    job = room.job(room.ct(1))

    def cancel() -> None:
        with room.ledger.begin() as conn:
            room.ledger.move_job(conn, job.id, JobState.CANCELLED)

    room.models.meanwhile = cancel
    assert room.worker.contour(job.id) is None
    assert room.state(job)[0] is JobState.CANCELLED
    assert room.ledger.deliveries(job.id) == []


def test_a_model_that_fails_brings_a_cancelled_job_not_back(room: Room) -> None:
    job = room.job(room.ct(1))

    def cancel_and_fail() -> None:
        with room.ledger.begin() as conn:
            room.ledger.move_job(conn, job.id, JobState.CANCELLED)
        raise SegmentationFailed("model.crashed", "It crashed.")

    room.models.meanwhile = cancel_and_fail
    assert room.worker.contour(job.id) is None
    assert room.state(job)[0] is JobState.CANCELLED


def test_a_model_that_fails_is_asked_again_and_then_the_job_is_set_aside(room: Room) -> None:
    job = room.job(room.ct(1))

    def fail() -> None:
        raise SegmentationFailed("model.crashed", "It crashed.")

    room.models.meanwhile = fail
    payload = job.id
    for number in range(2, TRIES + 1):
        again = room.worker.contour(payload)
        assert again is not None
        assert again.payload == f"{job.id}#{number}"
        assert again.delay_seconds > 0
        assert room.state(job) == (JobState.QUEUED, "model.crashed")
        payload = again.payload
    assert room.worker.contour(payload) is None
    assert room.state(job) == (JobState.FAILED, "model.crashed")
    assert room.told.codes == ["model.crashed"]


def test_a_model_process_that_is_killed_from_outside_is_hardly_the_cts_doing(room: Room) -> None:
    job = room.job(room.ct(1))

    def fail() -> None:
        raise SegmentationFailed("model.killed", "It was killed.")

    room.models.meanwhile = fail
    payload = job.id
    for _ in range(TRIES_IF_KILLED - 1):
        again = room.worker.contour(payload)
        assert again is not None
        payload = again.payload
    room.models.meanwhile = lambda: None
    assert room.worker.contour(payload) is None
    assert room.state(job)[0] is JobState.DELIVERING
    assert room.told.codes == []


def test_a_disk_that_takes_nothing_is_waited_for_without_end_and_told_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = room.job(room.ct(1))

    def full(_file: Path, _data: object) -> None:
        raise SpoolUnavailable("spool.unavailable", "The disk is full.")

    monkeypatch.setattr("service.contouring.job_files.write_once", full)
    payload, waits = job.id, []
    for _ in range(10):
        again = room.worker.contour(payload)
        assert again is not None
        payload = again.payload
        waits.append(again.delay_seconds)
    assert waits[:4] == [5, 30, 60, 60]
    assert room.state(job) == (JobState.QUEUED, "spool.unavailable")
    assert room.told.codes == ["spool.unavailable"]
    monkeypatch.undo()
    assert room.worker.contour(payload) is None
    assert room.state(job)[0] is JobState.DELIVERING


def test_a_ct_that_must_not_be_contoured_is_refused_and_told(room: Room) -> None:
    files = room.ct(1)
    job = room.job(files[:5] + files[6:])
    room.worker.contour(job.id)
    assert room.state(job) == (JobState.REFUSED, "series.hole")
    assert room.told.codes == ["series.hole"]
    assert room.models.asked == 0


def test_a_model_without_permission_is_not_run(room: Room, tmp_path: Path) -> None:
    config = yaml.safe_load(room.loaded.text)
    config["protocols"]["pelvis"] = {"model": "pelvis-ct@2.0", "structures": {"Bladder": None}}
    text = yaml.safe_dump(config, sort_keys=False)
    room.loaded = parse(text, room.loaded.path, check_bundles=False)
    job = room.job(room.ct(1), protocol="pelvis")
    room.worker.contour(job.id)
    assert room.state(job) == (JobState.REFUSED, "model.unvalidated")
    assert room.models.asked == 0


def test_a_job_keeps_the_protocol_that_it_was_routed_with(room: Room) -> None:
    job = room.job(room.ct(1))
    config = yaml.safe_load(room.loaded.text)
    config["protocols"] = {"analytic": {"model": "analytic@1.0", "structures": {"Bladder": None}}}
    room.loaded = parse(yaml.safe_dump(config), room.loaded.path, check_bundles=False)
    room.worker.contour(job.id)
    assert len(room.sets(job)["tps"].StructureSetROISequence) == len(STRUCTURES)


def test_a_job_that_nobody_wants_any_more_is_left_alone(room: Room) -> None:
    job = room.job(room.ct(1))
    with room.ledger.begin() as conn:
        room.ledger.move_job(conn, job.id, JobState.CANCELLED)
    assert room.worker.contour(job.id) is None
    assert room.models.asked == 0
    assert room.worker.contour("no-such-job") is None


def test_what_the_engine_gave_up_is_failed_and_told(room: Room) -> None:
    job = room.job(room.ct(1))
    room.worker.gave_up(f"{job.id}#2")
    assert room.state(job) == (JobState.FAILED, "contour.set-aside")
    assert room.told.codes == ["contour.set-aside"]
    room.worker.gave_up(job.id)  # told twice: nothing happens
    assert room.told.codes == ["contour.set-aside"]


def test_notes_of_arrival_stand_in_the_set(room: Room) -> None:
    job = room.job(room.ct(1), notes=("Two images were set aside.",))
    room.worker.contour(job.id)
    assert "Two images were set aside." in room.sets(job)["tps"].StructureSetDescription


def test_findings_of_a_result_on_disk_are_not_lost(room: Room) -> None:
    from models.volume import Finding, Provenance, Severity
    from service.contouring.job_result import JobResult

    provenance = Provenance("m", "1", "ab", validated=False, steps_down=("half precision",))
    findings = (Finding("a", "A.", "Bladder"), Finding("b", "B.", None, Severity.NOTE))
    result = JobResult(provenance, findings, {"Bladder": 1.5}, {"network": 2.0})
    result.write(room.storage)
    read = JobResult.read(room.storage)
    assert read is not None
    assert dataclasses.astuple(read) == dataclasses.astuple(result)
