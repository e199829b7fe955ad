"""Findings that hold a set until a person releases it, and findings that leave a structure out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from analytic_bundle import STRUCTURES
from contouring_room import Room

from models.volume import Finding
from service.backlog.operations import Operations
from service.backlog.records import DeliveryState, JobState, Mode


@pytest.fixture
def room(tmp_path: Path, migrated: Path, bundles: Path) -> Iterator[Room]:
    room = Room(tmp_path, migrated, bundles)
    yield room
    room.engine.close()
    room.ledger.close()


def test_a_finding_that_holds_keeps_the_set_until_a_person_releases_it(room: Room) -> None:
    room.loaded = room.configured(second_look={"structure.volume-unusual": "hold"})
    room.models.findings = (Finding("structure.volume-unusual", "Bladder has 2 cm3.", "Bladder"),)
    job = room.job(room.ct(1))
    room.worker.contour(job.id)
    assert room.state(job) == (JobState.HELD, "job.held-for-findings")
    why = "Waits for a person to look at it: Bladder has 2 cm3."
    assert room.ledger.job(job.id).sentence == why
    assert (room.told.codes, room.told.sentences) == (["job.held-for-findings"], [why])
    assert set(room.sets(job)) == {"tps"}
    told = {each.sentence: each.severity.value for each in room.ledger.story(job.id).findings}
    assert told["Bladder has 2 cm3."] == "hold"
    assert room.engine.under_way() == set()
    Operations(room.ledger, room.engine).release(job.id)
    assert room.state(job)[0] is JobState.DELIVERING
    assert {key.split(":")[0] for key in room.engine.under_way()} == {"deliver"}


def test_a_set_is_still_held_when_its_files_are_found_again(room: Room) -> None:
    room.loaded = room.configured(second_look={"structure.volume-unusual": "hold"})
    room.models.findings = (Finding("structure.volume-unusual", "Bladder has 2 cm3.", "Bladder"),)
    job = room.job(room.ct(1))
    room.worker.contour(job.id)
    with room.ledger.begin() as conn:
        for delivery in room.ledger.deliveries(job.id, conn):
            room.ledger.move_delivery(conn, delivery.id, DeliveryState.CANCELLED)
        room.ledger.move_job(conn, job.id, JobState.QUEUED)
    room.worker.contour(job.id)
    assert room.models.asked == 1
    assert room.state(job) == (JobState.HELD, "job.held-for-findings")


def test_a_shadow_stays_one_whatever_is_found(room: Room) -> None:
    room.loaded = room.configured(second_look={"structure.volume-unusual": "hold"})
    room.models.findings = (Finding("structure.volume-unusual", "Bladder has 2 cm3.", "Bladder"),)
    job = room.job(room.ct(1), mode=Mode.SHADOW)
    room.worker.contour(job.id)
    assert room.state(job) == (JobState.DONE, "job.nothing-to-send")
    assert room.told.codes == []


def test_a_finding_that_stops_leaves_its_structure_out_and_the_set_says_so(room: Room) -> None:
    room.loaded = room.configured(
        structures=dict.fromkeys(STRUCTURES) | {"Bladder": {"second_look": {"size": "stop"}}}
    )
    room.models.findings = (Finding("structure.volume-unusual", "Bladder has 2 cm3.", "Bladder"),)
    job = room.job(room.ct(1))
    room.worker.contour(job.id)
    assert room.state(job)[0] is JobState.DELIVERING
    (made,) = room.sets(job).values()
    assert "Bladder" not in {
        str(roi.ROIName)
        for roi in made.StructureSetROISequence
        if roi.ROINumber
        in {each.ReferencedROINumber for each in made.ROIContourSequence if "ContourSequence" in each}
    }
    assert "Bladder has 2 cm3. Bladder is left out. Draw it by hand." in made.StructureSetDescription
