"""The set leaves first; everything else that a job's destinations get follows, whatever comes between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from contouring_room import DESTINATIONS, Models, Room

from service.backlog.engine import DELIVER
from service.backlog.ledger import deliver_key
from service.backlog.operations import Operations
from service.backlog.records import Delivery, DeliveryState, Job, JobState, Mode
from service.config.output_objects import ObjectKind
from service.contouring.object_files import sop_instance_uid
from service.errors import SpoolUnavailable, StructureSetInvalid

EVERYTHING = ["rtstruct", "segmentation", "segmentation-labelmap", "preview", "preview-pdf"]
FILES = ["nifti", "nifti-structures"]
FOLLOWS = [*EVERYTHING[1:3], *FILES, *EVERYTHING[3:]]
"""In the order in which they are made."""
UNEVEN = StructureSetInvalid("nifti.uneven-slices", "The slices are uneven.")


@pytest.fixture
def room(tmp_path: Path, migrated: Path, bundles: Path) -> Iterator[Room]:
    """With a destination that gets DICOM objects, and a folder that gets files alone."""
    room = Room(tmp_path, migrated, bundles)
    room.loaded = room.configured(
        {
            "pacs": {**DESTINATIONS["tps"], "objects": EVERYTHING},
            "export": {"folder": "export", "objects": FILES},
            "light": {**DESTINATIONS["tps"], "port": 9, "objects": EVERYTHING[:2]},
            "elsewhere": DESTINATIONS["archive"],
        }
    )
    yield room
    room.engine.close()
    room.ledger.close()


class Crash(BaseException):
    pass


def crash_at(monkeypatch: pytest.MonkeyPatch, wanted: str, nth: int = 1) -> None:
    reached: list[str] = []

    def reach(place: str) -> None:
        reached.append(place)
        if place == wanted and reached.count(wanted) == nth:
            raise Crash

    for module in ("worker", "further_objects"):
        monkeypatch.setattr(f"service.contouring.{module}.reach", reach)


def watched(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[Path, ObjectKind], None]
) -> Callable[..., None]:
    """Have ``before`` called whenever an object is about to be written; what writes it otherwise."""
    from service.contouring.object_files import write_object

    def write(file: Path, kind: ObjectKind, *given: object) -> None:
        before(file, kind)
        write_object(file, kind, *given)

    monkeypatch.setattr("service.contouring.job_files.write_object", write)
    return write_object


def states(room: Room, job: Job) -> dict[str, DeliveryState]:
    return {each.kind.value: each.state for each in room.ledger.deliveries(job.id)}


def stored(room: Room, job: Job, *kinds: str) -> None:
    """The receivers have answered 0x0000 for what waits, of these kinds or of all."""
    for each in room.ledger.deliveries(job.id):
        if each.state is DeliveryState.WAITING and (not kinds or each.kind.value in kinds):
            n = room.ledger.start_attempt(each.id)
            done = DeliveryState.DELIVERED
            room.ledger.finish_attempt(
                each.id, n, status=0, code="delivery.stored", sentence="Stored.", state=done
            )


def objects_of(room: Room, job: Job) -> list[Delivery]:
    return room.ledger.deliveries(job.id)


def test_every_object_that_a_destination_gets_waits_under_a_uid_of_its_own(room: Room) -> None:
    job = room.job(room.ct(1), ("pacs", "export"))
    assert room.worker.contour(job.id) is None
    deliveries = room.ledger.deliveries(job.id)
    assert [(each.destination, each.kind.value) for each in deliveries] == [
        *(("pacs", kind) for kind in EVERYTHING),
        *(("export", kind) for kind in FILES),
    ]
    assert len({each.sop_instance_uid for each in deliveries}) == 7
    for each in deliveries:
        assert sop_instance_uid(each.file) == each.sop_instance_uid
        if each.kind.sop_class_uid is not None:
            assert pydicom.dcmread(each.file).SOPClassUID == each.kind.sop_class_uid
    assert len(room.engine.under_way()) == 7
    assert room.told.codes == []
    assert room.models.asked == 1


def test_the_set_is_on_its_way_before_anything_else_is_begun(room: Room, monkeypatch) -> None:
    job = room.job(room.ct(1), ("pacs", "export"))
    begun: list[str] = []

    def look(file: Path, kind: ObjectKind) -> None:
        under_way = {key.split(":")[1] for key in room.engine.under_way() if key.startswith(DELIVER)}
        waits = {str(each.id) for each in objects_of(room, job) if each.state is DeliveryState.WAITING}
        assert under_way == waits, "what is made is submitted at once, and nothing else is"
        assert states(room, job)["rtstruct"] is DeliveryState.WAITING
        assert states(room, job)[kind.value] is DeliveryState.MAKING
        assert not file.exists()
        assert len(waits) == 1 + len(begun)
        begun.append(kind.value)

    watched(monkeypatch, look)
    room.worker.contour(job.id)
    assert begun == FOLLOWS
    assert set(states(room, job).values()) == {DeliveryState.WAITING}


def test_a_job_is_done_when_the_last_object_is_stored_and_not_before(room: Room, monkeypatch) -> None:
    job = room.job(room.ct(1), ("pacs",))
    seen: list[JobState] = []

    def store_what_is_there(*_: object) -> None:
        stored(room, job)
        seen.append(room.state(job)[0])

    watched(monkeypatch, store_what_is_there)
    room.worker.contour(job.id)
    assert seen == [JobState.DELIVERING] * 4
    assert states(room, job)["rtstruct"] is DeliveryState.DELIVERED
    stored(room, job)
    assert room.state(job)[0] is JobState.DONE


@pytest.mark.parametrize(
    ("place", "nth"),
    [
        ("objects.begin", 1),
        ("objects.after-file", 1),
        ("objects.after-file", 3),
        ("objects.after-commit", 1),
        ("objects.after-commit", 2),
    ],
)
def test_after_a_crash_between_two_objects_the_rest_is_made_under_the_same_uids(
    room: Room, monkeypatch, place: str, nth: int
) -> None:
    job = room.job(room.ct(1), ("light", "export"))
    crash_at(monkeypatch, place, nth)
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()
    assert states(room, job)["rtstruct"] is DeliveryState.WAITING
    before = {file: file.read_bytes() for file in (room.storage / "jobs" / job.id).rglob("*.dcm")}
    uids = [each.sop_instance_uid for each in objects_of(room, job)]
    room.worker.contour(job.id)
    assert {file: file.read_bytes() for file in before} == before
    assert [each.sop_instance_uid for each in objects_of(room, job)] == uids
    assert [sop_instance_uid(each.file) for each in objects_of(room, job)] == uids
    assert set(states(room, job).values()) == {DeliveryState.WAITING}
    assert {deliver_key(each.id) for each in objects_of(room, job)} == room.engine.under_way()
    sets = list((room.storage / "jobs" / job.id).glob("rtstruct-*.dcm"))
    assert len(sets) == 2, "one of them for whom it may be sent to later"
    asked = room.models.asked
    room.worker.contour(job.id)  # once more: nothing is left to do
    assert room.models.asked == asked
    assert room.ledger.job(job.id).run == 1


def test_after_a_crash_before_the_set_was_handed_over_it_leaves_before_the_ct_is_contoured_again(
    room: Room, monkeypatch
) -> None:
    job = room.job(room.ct(1), ("light", "export"))
    crash_at(monkeypatch, "contour.before-commit")
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()
    assert objects_of(room, job) == []
    seen: list[dict[str, DeliveryState]] = []
    room.models.meanwhile = lambda: seen.append(states(room, job))
    room.worker.contour(job.id)
    assert [each["rtstruct"] for each in seen] == [DeliveryState.WAITING]
    assert set(states(room, job).values()) == {DeliveryState.WAITING}


def test_what_follows_is_not_made_of_other_contours_than_the_set_that_left(room: Room, monkeypatch) -> None:
    job = room.job(room.ct(1), ("light",))
    crash_at(monkeypatch, "objects.begin")
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()

    def further_left(*given, **named):
        found = Models().segment(*given, **named)
        moved = {
            name: replace(each, corner_zyx=(*each.corner_zyx[:2], each.corner_zyx[2] - 2))
            for name, each in found.structures.items()
        }
        return replace(found, structures=moved)

    monkeypatch.setattr(room.models, "segment", further_left)
    room.worker.contour(job.id)
    assert room.told.codes == ["read-back.differs"]
    assert states(room, job) == {"rtstruct": DeliveryState.WAITING, "segmentation": DeliveryState.DEAD}


def test_an_object_that_cannot_be_made_is_told_and_the_others_leave(room: Room, monkeypatch) -> None:
    monkeypatch.setattr("service.contouring.nifti_masks.write_nifti", refuse)
    job = room.job(room.ct(1), ("pacs", "export"))
    room.worker.contour(job.id)
    waiting = [each.kind.value for each in objects_of(room, job) if each.state is DeliveryState.WAITING]
    assert waiting == EVERYTHING
    assert room.told.codes == ["nifti.uneven-slices"] * 2
    assert "nifti.uneven-slices" in [finding.code for finding in room.ledger.story(job.id).findings]
    assert room.state(job)[0] is JobState.DELIVERING
    stored(room, job)
    assert room.state(job) == (JobState.FAILED, "nifti.uneven-slices")
    assert room.ledger.job(job.id).sentence == (
        "The NIfTI label map did not reach export. The slices are uneven."
    )
    assert states(room, job)["rtstruct"] is DeliveryState.DELIVERED


def refuse(*_: object, **__: object) -> None:
    raise UNEVEN


def test_a_job_of_which_nothing_can_be_made_fails_with_the_reason(room: Room, monkeypatch) -> None:
    monkeypatch.setattr("service.contouring.nifti_masks.write_nifti", refuse)
    job = room.job(room.ct(1), ("export",))
    room.worker.contour(job.id)
    assert room.state(job) == (JobState.FAILED, "nifti.uneven-slices")
    assert states(room, job) == dict.fromkeys(FILES, DeliveryState.DEAD)
    assert room.engine.under_way() == set()


def test_a_preview_that_fails_in_an_unforeseen_way_holds_nothing_back(room: Room, monkeypatch) -> None:
    def fail(_file: Path, kind: ObjectKind) -> None:
        if kind in (ObjectKind.SEGMENTATION, ObjectKind.PREVIEW):
            raise MemoryError

    watched(monkeypatch, fail)
    job = room.job(room.ct(1), ("pacs",))
    assert room.worker.contour(job.id) is None
    assert room.told.codes == ["object.failed"] * 2
    failed = {"segmentation": DeliveryState.DEAD, "preview": DeliveryState.DEAD}
    assert states(room, job) == dict.fromkeys(EVERYTHING, DeliveryState.WAITING) | failed
    stored(room, job)
    assert room.state(job) == (JobState.FAILED, "object.failed")


def test_what_was_not_made_is_made_by_a_retry_and_nothing_that_arrived_is_sent_again(
    room: Room, monkeypatch
) -> None:
    monkeypatch.setattr("service.contouring.nifti_masks.write_nifti", refuse)
    job = room.job(room.ct(1), ("light", "export"))
    room.worker.contour(job.id)
    stored(room, job)
    before = objects_of(room, job)
    operations = Operations(room.ledger, room.engine)
    [again] = [operations.resend(job.id, "light")]  # what was made can be sent again meanwhile
    assert again.state is DeliveryState.WAITING
    stored(room, job)
    assert room.state(job) == (JobState.FAILED, "nifti.uneven-slices")
    monkeypatch.undo()
    operations.retry(job.id)
    assert room.state(job)[0] is JobState.DELIVERING
    asked = [key for key in room.engine.under_way() if key.startswith("contour:")]
    assert len(asked) == 1
    room.worker.contour(job.id)
    new = [each for each in objects_of(room, job) if each.generation == 2 and each.destination == "export"]
    assert {each.kind.value: each.state for each in new} == dict.fromkeys(FILES, DeliveryState.WAITING)
    uids = {each.kind: each.sop_instance_uid for each in before}
    assert all(each.sop_instance_uid == uids[each.kind] == sop_instance_uid(each.file) for each in new)
    stored(room, job)
    assert room.state(job)[0] is JobState.DONE
    assert room.ledger.job(job.id).run == 1


def test_a_disk_that_takes_no_object_is_waited_for(room: Room, monkeypatch) -> None:
    def full(*_: object) -> None:
        code = "spool.unavailable"
        raise SpoolUnavailable(code, "The disk is full.")

    watched(monkeypatch, full)
    job = room.job(room.ct(1), ("light",))
    payload, waits = job.id, []
    for _ in range(4):
        again = room.worker.contour(payload)
        assert again is not None
        payload = again.payload
        waits.append(again.delay_seconds)
    assert waits == [5, 30, 60, 60]
    assert room.told.codes == ["spool.unavailable"]
    assert states(room, job)["rtstruct"] is DeliveryState.WAITING
    monkeypatch.undo()
    assert room.worker.contour(payload) is None
    assert set(states(room, job).values()) == {DeliveryState.WAITING}


def test_what_is_held_is_made_and_held_and_leaves_when_released(room: Room) -> None:
    job = room.job(room.ct(1), ("light",), mode=Mode.HOLD)
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.HELD
    assert set(states(room, job).values()) == {DeliveryState.HELD}
    assert room.engine.under_way() == set()
    Operations(room.ledger, room.engine).release(job.id)
    assert set(states(room, job).values()) == {DeliveryState.WAITING}
    assert len(room.engine.under_way()) == 2


def test_a_job_held_and_released_while_objects_are_made_is_not_done_before_them(
    room: Room, monkeypatch
) -> None:
    job = room.job(room.ct(1), ("pacs",))
    operations = Operations(room.ledger, room.engine)

    def store_hold_and_release(_file: Path, kind: ObjectKind) -> None:
        if kind is ObjectKind.SEGMENTATION:
            stored(room, job, "rtstruct")
            operations.hold(job.id)
            assert operations.release(job.id).state is JobState.DELIVERING
        if kind is ObjectKind.LABELMAP:
            operations.hold(job.id)

    watched(monkeypatch, store_hold_and_release)
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.HELD
    held = dict.fromkeys(EVERYTHING[1:], DeliveryState.HELD)
    assert states(room, job) == {"rtstruct": DeliveryState.DELIVERED} | held
    operations.release(job.id)
    stored(room, job)
    assert room.state(job)[0] is JobState.DONE


def test_what_a_person_sends_to_one_destination_lets_nothing_leave_for_another(
    room: Room, monkeypatch
) -> None:
    """``export`` gets files alone, so nothing of it is held yet when the set leaves for ``light``."""
    job = room.job(room.ct(1), ("light", "export"), mode=Mode.HOLD)
    operations = Operations(room.ledger, room.engine)

    def send_to_light(_file: Path, kind: ObjectKind) -> None:
        if kind is ObjectKind.SEGMENTATION:
            operations.resend(job.id, "light")

    watched(monkeypatch, send_to_light)
    room.worker.contour(job.id)
    to_light = [each.state for each in room.ledger.deliveries(job.id) if each.destination == "light"]
    assert to_light == [DeliveryState.CANCELLED, DeliveryState.WAITING, DeliveryState.WAITING]
    assert states(room, job)["nifti"] is states(room, job)["nifti-structures"] is DeliveryState.HELD
    stored(room, job)
    assert room.state(job)[0] is JobState.HELD
    operations.release(job.id)
    assert states(room, job)["nifti"] is states(room, job)["nifti-structures"] is DeliveryState.WAITING


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.SUPERSEDED])
def test_of_a_job_that_is_taken_away_nothing_more_is_made(room: Room, monkeypatch, state: JobState) -> None:
    job = room.job(room.ct(1), ("pacs",))
    begun: list[ObjectKind] = []

    def take_away(_file: Path, kind: ObjectKind) -> None:
        begun.append(kind)
        if state is JobState.CANCELLED:
            Operations(room.ledger, room.engine).cancel(job.id)
        else:
            with room.ledger.begin() as conn:
                for each in room.ledger.deliveries(job.id, conn):
                    room.ledger.move_delivery(conn, each.id, DeliveryState.CANCELLED)
                room.ledger.move_job(conn, job.id, state)

    watched(monkeypatch, take_away)
    assert room.worker.contour(job.id) is None
    assert begun == [ObjectKind.SEGMENTATION]
    assert room.state(job)[0] is state
    assert set(states(room, job).values()) == {DeliveryState.CANCELLED}
    assert room.told.codes == []


def test_a_process_that_an_object_ends_each_time_undoes_no_set(room: Room, monkeypatch) -> None:
    job = room.job(room.ct(1), ("pacs",))
    crash_at(monkeypatch, "objects.after-commit", 2)
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()
    for _ in range(2):  # may be told twice
        room.worker.gave_up(job.id)
    assert room.told.codes == ["contour.set-aside"] * 2  # two previews
    dead = dict.fromkeys(("preview", "preview-pdf"), DeliveryState.DEAD)
    assert states(room, job) == dict.fromkeys(EVERYTHING, DeliveryState.WAITING) | dead
    assert room.state(job)[0] is JobState.DELIVERING
    stored(room, job)
    assert room.state(job) == (JobState.FAILED, "contour.set-aside")
    assert states(room, job)["rtstruct"] is DeliveryState.DELIVERED


def test_a_row_that_the_engine_lost_is_found_again(room: Room, monkeypatch) -> None:
    job = room.job(room.ct(1), ("light",))
    crash_at(monkeypatch, "objects.begin")
    with pytest.raises(Crash):
        room.worker.contour(job.id)
    monkeypatch.undo()
    operations = Operations(room.ledger, room.engine)
    assert operations.reconcile() == 0  # too young to be sure
    monkeypatch.setattr("service.backlog.operations._SETTLE_SECONDS", -1.0)
    assert operations.reconcile() == 1
    assert operations.reconcile() == 0
    assert [key for key in room.engine.under_way() if key.startswith("contour:")] == [f"contour:{job.id}:2"]
    room.worker.contour(job.id)
    assert set(states(room, job).values()) == {DeliveryState.WAITING}
