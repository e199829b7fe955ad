"""One CT in by C-STORE, one structure set out by C-STORE, and everything that a site may have its node do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
import yaml
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from running_node import (
    NoticeBoard,
    ReceivingTps,
    RunningNode,
    free_port,
    running_node,
    send_ct,
    wait_until,
)

from service.backlog.records import DeliveryState, JobState
from service.dicom.ct_writer import SyntheticPatient, uid_of

pytestmark = pytest.mark.slow

HARD_TIMEOUT_SECONDS = 4.0


def series_uid(seed: int) -> str:
    """Of the CT that ``small_ct`` makes of a seed."""
    return uid_of(seed, 2, "series")


def route(sender: str, **words: object) -> dict[str, object]:
    """A route for one sender: the analytic model, to the TPS, at once, unless told otherwise."""
    usual = {"contour": "analytic", "send_to": ["tps"], "mode": "send"}
    return {"name": f"from {sender}", "when": {"calling_ae": sender}, **usual, **words}


def config_of(folder: Path, port: int, **node: object) -> dict[str, object]:
    """A configuration with one destination, one protocol, one sender and one route."""
    if not (folder / "bundles").exists():
        write_bundle(folder / "bundles" / "analytic")
    fast = {"quiet_seconds": 0.3, "hard_timeout_seconds": HARD_TIMEOUT_SECONDS}
    return {
        "node": {**fast, "bundles": [str(folder / "bundles")], **node},
        "senders": {"CTSCANNER": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": port}},
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [route("CTSCANNER")],
    }


@dataclass
class House:
    """A running node and all its neighbours."""

    folder: Path
    node: RunningNode
    tps: ReceivingTps
    archive: ReceivingTps
    picky: ReceivingTps
    board: NoticeBoard
    closed_port: int

    def ct(self, seed: int, **words: object) -> list[Path]:
        return small_ct(self.folder / f"ct-{seed}", seed, **words)

    def send(self, seed: int, sender: str, files: list[Path] | None = None) -> str:
        """Send a CT over one association; its series' UID."""
        assert set(send_ct(files or self.ct(seed), self.node.port, calling=sender)) == {0}
        return series_uid(seed)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    tps, archive, picky = ReceivingTps(), ReceivingTps("ARCHIVE"), ReceivingTps("PICKY")
    board, closed = NoticeBoard(), free_port()
    config = config_of(folder, tps.port, notify={"webhook": board.url})
    config["senders"] = {
        **dict.fromkeys(["CTSCANNER", "BOTH", "HELD", "SHADOW", "SAME", "IGNORED", "ANEW", "LATE", "DOWN", "DEAD"]),
        "SLOW": {"quiet_seconds": 3},
        "OTHER": {"quiet_seconds": 3},
        "TPSITSELF": {"port": archive.port},
    }  # fmt: skip
    quick = {"first_seconds": 0.5, "factor": 1, "longest_seconds": 0.5}
    config["destinations"] |= {
        "archive": {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive.port, "profile": "eclipse"},
        "picky": {"ae_title": "PICKY", "host": "127.0.0.1", "port": picky.port},
        "down": {"ae_title": "DOWN", "host": "127.0.0.1", "port": closed, "retry": quick},
    }
    config["protocols"]["bladder"] = {
        "model": "analytic@1.0",
        "label": "Bladder only",
        "structures": {"Bladder": None},
    }
    config["routes"] += [
        route("BOTH", contour=["analytic", "bladder"], send_to=["tps", "archive"]),
        route("HELD", mode="hold"),
        route("SHADOW", mode="shadow"),
        route("SAME", when_sent_again="send_same"),
        route("IGNORED", when_sent_again="ignore"),
        route("ANEW", when_sent_again="contour_again"),
        route("LATE"),
        route("SLOW"),
        route("OTHER"),
        route("TPSITSELF", send_to=["sender"]),
        route("DOWN", send_to=["down"]),
        route("DEAD", send_to=["picky"]),
    ]
    with running_node(folder, config) as node:
        yield House(folder, node, tps, archive, picky, board, closed)
    for neighbour in (tps, archive, picky, board):
        neighbour.close()


def roi_names(ds: pydicom.Dataset) -> list[str]:
    return [str(roi.ROIName) for roi in ds.StructureSetROISequence]


def predecessors(ds: pydicom.Dataset) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in ds.get("PredecessorStructureSetSequence", [])]


def test_one_ct_goes_in_and_its_structure_set_comes_out(house: House) -> None:
    patient = SyntheticPatient(name="Lindqvist^Åsa", patient_id="00123")
    files = house.ct(1, patient=patient)
    series = house.send(1, "CTSCANNER", files)
    (structure_set,) = house.tps.wait_for_series(series)
    assert structure_set.Modality == "RTSTRUCT"
    assert structure_set.ApprovalStatus == "UNAPPROVED"
    assert (structure_set.PatientName, structure_set.PatientID) == ("Lindqvist^Åsa", "00123")
    assert structure_set.StudyInstanceUID == uid_of(1, "study")
    assert sorted(roi_names(structure_set)) == sorted(STRUCTURES)
    frame = structure_set.ReferencedFrameOfReferenceSequence[0]
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert {str(i.ReferencedSOPInstanceUID) for i in images} == {uid_of(1, 2, k) for k in range(len(files))}

    job = house.node.wait_for_job(series, JobState.DONE)
    listed = json.loads(house.node.command("jobs", "--patient", "00123", "--json").stdout)["jobs"]
    assert [(each["job"], each["state"]) for each in listed] == [(job.id, "done")]
    story = house.node.command("show", job.id).stdout
    for word in ("analytic", "tps", "done", "Bladder", "CTSCANNER"):
        assert word in story
    status = json.loads(house.node.command("status", "--json").stdout)
    assert status["jobs"]["done"] >= 1
    assert status["stuck"] == []


def test_two_protocols_and_two_destinations_make_four_structure_sets(house: House) -> None:
    series = house.send(2, "BOTH")
    at_tps, at_archive = house.tps.wait_for_series(series, 2), house.archive.wait_for_series(series, 2)
    for received in (at_tps, at_archive):
        assert sorted(len(roi_names(ds)) for ds in received) == [1, len(STRUCTURES)]
    assert len({ds.SOPInstanceUID for ds in at_tps}) == 2
    # each profile is an instance of its own, so the two receivers never hold different bytes under one UID
    assert not {ds.SOPInstanceUID for ds in at_tps} & {ds.SOPInstanceUID for ds in at_archive}


def test_what_is_held_leaves_when_it_is_released(house: House) -> None:
    series = house.send(3, "HELD")
    job = house.node.wait_for_job(series, JobState.HELD)
    assert house.tps.of_series(series) == []
    house.node.command("release", job.id)
    assert len(house.tps.wait_for_series(series)) == 1
    house.node.wait_for_job(series, JobState.DONE)


def test_shadow_contours_and_sends_nothing(house: House) -> None:
    series = house.send(4, "SHADOW")
    job = house.node.wait_for_job(series, JobState.DONE)
    with house.node.ledger() as ledger:
        story = ledger.story(job.id)
    assert story.deliveries == ()
    assert set(story.volumes_cm3) == set(STRUCTURES)
    assert house.tps.of_series(series) == []


def test_sent_again_sends_the_same_instance_once_in_ten_minutes(house: House) -> None:
    series = house.send(5, "SAME")
    (first,) = house.tps.wait_for_series(series)
    house.node.wait_for_job(series, JobState.DONE)
    house.send(5, "SAME")
    wait_until(lambda: house.tps.deliveries.count(str(first.SOPInstanceUID)) == 2)
    house.node.wait_for_job(series, JobState.DONE)
    refused = len(house.node.events("series.sent-again-too-often"))
    house.send(5, "SAME")
    wait_until(lambda: len(house.node.events("series.sent-again-too-often")) == refused + 1)
    assert house.tps.deliveries.count(str(first.SOPInstanceUID)) == 2
    assert len(house.node.jobs_of(series)) == 1


def test_sent_again_may_be_ignored(house: House) -> None:
    series = house.send(6, "IGNORED")
    (first,) = house.tps.wait_for_series(series)
    job = house.node.wait_for_job(series, JobState.DONE)
    house.send(6, "IGNORED")
    wait_until(lambda: any(e.get("job") == job.id for e in house.node.events("job.sent-again-ignored")))
    assert house.tps.deliveries.count(str(first.SOPInstanceUID)) == 1


def test_sent_again_may_be_contoured_again(house: House) -> None:
    series = house.send(7, "ANEW")
    (first,) = house.tps.wait_for_series(series)
    house.node.wait_for_job(series, JobState.DONE)
    house.send(7, "ANEW")
    second = house.tps.wait_for_series(series, 2)[1]
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert predecessors(second) == [first.SOPInstanceUID]
    house.node.wait_for_job(series, JobState.DONE, number=2)


def test_a_late_slice_makes_a_new_set_that_names_the_one_it_replaces(house: House) -> None:
    files = house.ct(8)
    series = house.send(8, "LATE", files[:-1])
    (first,) = house.tps.wait_for_series(series)
    house.send(8, "LATE", files[-1:])
    second = house.tps.wait_for_series(series, 2)[1]
    assert predecessors(second) == [first.SOPInstanceUID]
    frame = second.ReferencedFrameOfReferenceSequence[0]
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert len(images) == len(files)
    assert [job.state for job in house.node.jobs_of(series)][:1] == [JobState.DONE]


def test_a_late_slice_stops_what_has_not_left(house: House) -> None:
    files = house.ct(9)
    series = house.send(9, "HELD", files[:-1])
    house.node.wait_for_job(series, JobState.HELD)
    house.send(9, "HELD", files[-1:])
    second = house.node.wait_for_job(series, JobState.HELD, number=2)
    assert len(second.files) == len(files)
    assert house.node.jobs_of(series)[0].state is JobState.SUPERSEDED
    house.node.command("release", second.id)
    (only,) = house.tps.wait_for_series(series)
    assert predecessors(only) == []  # nothing left that it could replace


def test_return_to_sender(house: House) -> None:
    series = house.send(10, "TPSITSELF")
    assert len(house.archive.wait_for_series(series)) == 1
    assert house.tps.of_series(series) == []


def test_a_destination_that_is_down_gets_it_when_it_comes_up_unless_somebody_gave_up(house: House) -> None:
    cancelled, wanted = house.send(11, "DOWN"), house.send(12, "DOWN")
    house.node.wait_for_job(cancelled, JobState.DELIVERING)
    job = house.node.wait_for_job(wanted, JobState.DELIVERING)
    house.node.command("cancel", house.node.jobs_of(cancelled)[0].id)

    def attempts() -> int:
        with house.node.ledger() as ledger:
            return ledger.deliveries(job.id)[0].attempts

    wait_until(lambda: attempts() >= 2)
    late = ReceivingTps("DOWN", port=house.closed_port)
    try:
        assert len(late.wait_for_series(wanted)) == 1
        house.node.wait_for_job(wanted, JobState.DONE)
        assert late.of_series(cancelled) == []
    finally:
        late.close()
    assert house.node.jobs_of(cancelled)[0].state is JobState.CANCELLED


def test_a_dead_letter_is_told_without_a_word_of_the_patient_and_can_be_retried(house: House) -> None:
    house.picky.answer = lambda _count: 0xC001
    patient = SyntheticPatient(name="Canary^Dead", patient_id="CANARY-7")
    series = house.send(13, "DEAD", house.ct(13, patient=patient))
    job = house.node.wait_for_job(series, JobState.FAILED)
    wait_until(lambda: house.board.of("delivery.not-understood"))
    (notice,) = house.board.of("delivery.not-understood")
    assert set(notice) == {"node", "code", "sentence", "job", "at"}
    assert notice["job"] == job.id
    assert "picky" in notice["sentence"]
    assert "C001" in notice["sentence"]
    assert "canary" not in json.dumps(house.board.notices).lower()
    assert series not in json.dumps(house.board.notices)

    house.picky.answer = lambda _count: 0x0000
    house.node.command("retry", job.id)
    assert len(house.picky.wait_for_series(series)) == 1
    house.node.wait_for_job(series, JobState.DONE)


def test_a_set_can_be_sent_to_another_destination_later(house: House) -> None:
    series = house.send(14, "CTSCANNER")
    house.tps.wait_for_series(series)
    job = house.node.wait_for_job(series, JobState.DONE)
    house.node.command("resend", job.id, "--to", "archive")
    (sent,) = house.archive.wait_for_series(series)
    assert sorted(roi_names(sent)) == sorted(STRUCTURES)
    assert len(house.tps.of_series(series)) == 1


def test_a_series_with_a_hole_is_refused_after_the_hard_timeout_and_told(house: House) -> None:
    files = house.ct(15)
    began = time.monotonic()
    series = house.send(15, "CTSCANNER", files[:5] + files[6:])
    wait_until(lambda: house.board.of("series.hole"))
    assert time.monotonic() - began >= HARD_TIMEOUT_SECONDS
    assert house.node.jobs_of(series) == []
    with house.node.ledger() as ledger:
        known = ledger.find_series(series)
    assert known is not None
    assert (known.state.value, known.code) == ("refused", "series.hole")
    house.send(15, "CTSCANNER", files[5:6])  # what was missing mends it
    house.tps.wait_for_series(series)


def test_an_association_for_each_image_is_one_series(house: House) -> None:
    files = house.ct(16)
    for file in files:
        assert send_ct([file], house.node.port, calling="SLOW") == [0]
    (only,) = house.tps.wait_for_series(series_uid(16))
    frame = only.ReferencedFrameOfReferenceSequence[0]
    assert len(frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence) == 12


def test_the_same_series_from_two_senders_is_one_job(house: House) -> None:
    files = house.ct(17)
    half = len(files) // 2
    house.send(17, "SLOW", files[half - 2 :])
    series = house.send(17, "OTHER", files[: half + 2])
    house.tps.wait_for_series(series)
    assert len(house.node.jobs_of(series)) == 1


def test_the_configuration_is_taken_up_while_the_node_runs_and_a_broken_edit_is_not(house: House) -> None:
    file = house.node.config_file
    config = yaml.safe_load(file.read_text())
    config["senders"]["NEWCOMER"] = None
    config["routes"].append(route("NEWCOMER", contour="bladder"))
    replace_as_editors_do(file, yaml.safe_dump(config, sort_keys=False))
    loaded = len(house.node.events("config.loaded"))
    wait_until(lambda: len(house.node.events("config.loaded")) > loaded)
    series = house.send(18, "NEWCOMER")
    (first,) = house.tps.wait_for_series(series)
    assert roi_names(first) == ["Bladder"]

    replace_as_editors_do(file, yaml.safe_dump(config, sort_keys=False).replace("mode: send", "mode: sned"))
    wait_until(lambda: house.node.events("config.invalid"))
    series = house.send(19, "NEWCOMER")
    house.tps.wait_for_series(series)
    replace_as_editors_do(file, yaml.safe_dump(config, sort_keys=False))


def replace_as_editors_do(file: Path, text: str) -> None:
    """Write beside it, then rename over it."""
    beside = file.with_suffix(".swp")
    beside.write_text(text)
    beside.replace(file)


def test_a_backoff_goes_on_after_kill_and_restart(tmp_path: Path) -> None:
    port = free_port()
    config = config_of(tmp_path, port)
    config["destinations"]["tps"]["retry"] = {"first_seconds": 6, "factor": 1, "longest_seconds": 6}
    with running_node(tmp_path, config) as node, node.ledger() as ledger:
        assert set(send_ct(small_ct(tmp_path / "ct", 20), node.port)) == {0}
        job = node.wait_for_job(series_uid(20), JobState.DELIVERING)
        wait_until(lambda: ledger.deliveries(job.id)[0].state is DeliveryState.RETRYING)
        due_at = ledger.deliveries(job.id)[0].next_at
        node.kill_all()
        tps = ReceivingTps(port=port)
        try:
            node.start()
            tps.wait_for_series(series_uid(20))
            node.wait_for_job(series_uid(20), JobState.DONE)
        finally:
            tps.close()
        ((delivery, attempts),) = ledger.story(job.id).deliveries
    assert delivery.attempts == len(attempts) == 2
    assert attempts[1].started_at >= due_at - 1.0  # the engine's clock is not quite the ledger's
    assert len(tps.deliveries) == 1
