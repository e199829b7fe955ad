"""Candidates in the shadow: contoured when nobody waits, broken off when somebody comes, never sent, never told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml
from analytic_bundle import STRUCTURES, write_bundle
from contouring_room import Room

from service.backlog.engine import Stopped
from service.backlog.ledger import LedgerRefused
from service.backlog.operations import Operations
from service.backlog.records import JobState, Mode
from service.backlog.spool import Spool
from service.config.reader import parse
from service.contouring.segment import ModelClient
from service.contouring.shadow import BackgroundModels, ShadowWorker
from service.errors import MODEL_KILLED, SegmentationFailed

SHADOW = {"protocol": "shadow:analytic", "mode": Mode.SHADOW, "destinations": ()}


class ShadowRoom(Room):
    """A room whose protocol has a candidate, and the worker for it; the network runs in this process."""

    def __init__(self, folder: Path, migrated: Path, bundles: Path, monkeypatch) -> None:
        super().__init__(folder, migrated, bundles)
        write_bundle(folder / "more" / "candidate")
        config = yaml.safe_load(self.loaded.text)
        config["protocols"]["analytic"]["shadow"] = "candidate@1.0"
        config["node"]["bundles"].append(str(folder / "more"))
        self.loaded = parse(yaml.safe_dump(config), folder / "config.yaml", check_bundles=False)
        monkeypatch.setattr(
            ModelClient, "segment", lambda _self, *given, **named: self.models.segment(*given, **named)
        )
        self.stop = threading.Event()
        self.background = BackgroundModels(self.loaded, 0, self.ledger.awaits_contouring)
        self.shadow = ShadowWorker(
            lambda: self.loaded, self.ledger, self.engine, Spool(self.storage), self.background, self.stop
        )


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("service.contouring.shadow._QUIET_SECONDS", 0.0)


@pytest.fixture
def room(tmp_path, migrated, bundles, monkeypatch):
    room = ShadowRoom(tmp_path, migrated, bundles, monkeypatch)
    yield room
    room.background.close()
    room.engine.close()
    room.ledger.close()


def test_the_candidate_contours_what_the_protocol_sends_and_nothing_leaves(room):
    job = room.job(room.ct(1), **SHADOW)
    assert room.shadow.contour(job.id) is None
    assert room.state(job) == (JobState.DONE, "job.nothing-to-send")
    story = room.ledger.story(job.id)
    assert (story.provenance["model"], set(story.volumes_cm3)) == ("candidate", set(STRUCTURES))
    assert room.ledger.deliveries(job.id) == []
    assert [file.name for file in (room.storage / "jobs" / job.id).glob("*.dcm")] == [
        "rtstruct-generic-keyhole-implicit.dcm"
    ]
    with pytest.raises(LedgerRefused, match="runs in the shadow"):
        Operations(room.ledger, room.engine).resend(job.id, "tps")


def test_it_waits_while_a_real_job_does(room):
    real, job = room.job(room.ct(1)), room.job(room.ct(2), **SHADOW)
    ended = threading.Thread(target=lambda: room.shadow.contour(job.id))
    ended.start()
    ended.join(1.5)
    assert room.state(job)[0] is JobState.QUEUED
    assert room.models.asked == 0
    room.worker.contour(real.id)
    ended.join(30)
    assert room.state(job)[0] is JobState.DONE


def test_it_does_not_begin_between_two_cts_that_come_together(room, monkeypatch):
    monkeypatch.setattr("service.contouring.shadow._QUIET_SECONDS", 2.0)
    real, job = room.job(room.ct(1)), room.job(room.ct(2), **SHADOW)
    room.worker.contour(real.id)
    room.shadow.contour(job.id)
    assert room.ledger.story(job.id).contoured_at - room.ledger.job(real.id).created_at > 2.0


def test_a_process_that_ends_does_not_wait_for_its_turn(room):
    room.job(room.ct(1))
    job = room.job(room.ct(2), **SHADOW)
    room.stop.set()
    with pytest.raises(Stopped):
        room.shadow.contour(job.id)
    assert room.state(job)[0] is JobState.QUEUED


def test_a_real_job_breaks_it_off_and_it_comes_again_as_often_as_need_be(room, monkeypatch):
    """Even one that says nothing of how far it is."""
    monkeypatch.setattr("service.contouring.shadow._LOOK_AGAIN_SECONDS", 0.01)
    killed = threading.Event()
    monkeypatch.setattr(room.background, "kill", killed.set)
    job, payload = room.job(room.ct(1), **SHADOW), None
    for number in range(5):
        coming: list = []

        def meanwhile(seed: int = number, come: list = coming) -> None:
            come.append(room.job(room.ct(10 + seed)))
            assert killed.wait(30)
            raise SegmentationFailed(MODEL_KILLED, "The model process was killed from outside.")

        room.models.meanwhile = meanwhile
        again = room.shadow.contour(payload or job.id)
        assert again is not None
        assert room.state(job) == (JobState.QUEUED, "shadow.gave-way")
        room.models.meanwhile = lambda: None
        room.worker.contour(coming[0].id)
        assert room.state(coming[0])[0] is JobState.DELIVERING
        payload = again.payload
        killed.clear()
    assert payload == f"{job.id}#1"  # nothing failed
    assert room.shadow.contour(payload) is None
    assert room.state(job)[0] is JobState.DONE


def test_what_fails_in_the_shadow_stays_in_the_ledger(room):
    def fail() -> None:
        raise SegmentationFailed("model.crashed", "The model process died.")

    job = room.job(room.ct(1), **SHADOW)
    room.models.meanwhile = fail
    payload = job.id
    while (again := room.shadow.contour(payload)) is not None:
        payload = again.payload
    assert room.state(job) == (JobState.FAILED, "model.crashed")
    assert room.told.codes == []
