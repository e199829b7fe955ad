"""What people read in a structure set: nothing that matters is dropped without a word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from models.volume import Finding, Provenance, Severity
from service.contouring.set_texts import Replaced, SetTexts
from service.contouring.structure_names import rois_named

VALIDATED = Provenance("pelvis-ct", "1.0", "ab" * 32, validated=True)
SYNTHETIC = replace(VALIDATED, validated=False)
REVIEW = "Automatic contours, not approved: to be reviewed by a clinician before use."
ONLY_SYNTHETIC = "NOT FOR CLINICAL USE: the model has seen synthetic CT only."


def texts(provenance=VALIDATED, **changes) -> SetTexts:
    values = {"findings": (), "notes": (), "not_drawn": {}, "replaces": None, "slices": 98}
    return SetTexts(provenance=provenance, **(values | changes))


def test_a_set_of_a_model_that_saw_synthetic_ct_only_says_so_everywhere() -> None:
    said = texts(SYNTHETIC)
    (bladder,) = rois_named(["Bladder"])
    assert said.label("AI pelvis") == "NOT CLINICAL AI"
    assert said.name("AI pelvis").startswith("NOT FOR CLINICAL USE ")
    assert said.series_description("AI pelvis").startswith("NOT FOR CLINICAL USE ")
    assert said.set_description().startswith(ONLY_SYNTHETIC)
    assert said.roi_description(bladder, "Bladder").startswith(ONLY_SYNTHETIC)
    for text in (said.label("AI pelvis"), said.name("x" * 64), said.series_description("x" * 64)):
        assert "CLINICAL" in text


def test_a_set_of_a_validated_model_does_not_say_it() -> None:
    said = texts()
    assert said.label("AI pelvis") == "AI pelvis"
    assert said.series_description("AI pelvis") == "AI pelvis pelvis-ct 1.0"
    assert said.set_description() == REVIEW


def test_texts_fit_their_elements() -> None:
    long = tuple(Finding("x", f"{number} " + "x" * 200, "Bladder") for number in range(9))
    said = texts(SYNTHETIC, findings=long, notes=("y" * 600, "z" * 600))
    (bladder,) = rois_named(["Bladder"])
    assert len(said.label("a label that is long")) <= 16
    assert len(said.name("a" * 64)) <= 64
    assert len(said.series_description("a" * 64)) <= 64
    assert len(said.set_description()) <= 1024
    assert len(said.roi_description(bladder, "Bladder")) <= 1024


def test_what_does_not_fit_is_said_to_be_missing() -> None:
    (bladder,) = rois_named(["Bladder"])
    long = tuple(Finding("x", f"{number} " + "x" * 200, "Bladder") for number in range(9))
    more = "There are further remarks: ask for this job's story at the node."
    assert texts(findings=long).roi_description(bladder, "Bladder").endswith(more)
    assert texts(notes=("y" * 600, "z" * 600)).set_description().endswith(more)
    assert more not in texts(findings=long[:2]).roi_description(bladder, "Bladder")


def test_a_structure_that_was_left_out_is_not_called_not_found() -> None:
    findings = (
        Finding("structure.wrong-side", "Femur_Head_L was found on the other side.", "Femur_Head_L"),
        Finding("structure.not-found", "Rectum was not found on this CT.", "Rectum", Severity.NOTE),
        Finding("structure.volume-unusual", "Bladder has 2 cm3.", "Bladder"),
    )
    said = texts(findings=findings, not_drawn={"Femur_Head_L": "Femur_Head_L", "Rectum": "Rektum"})
    assert said.set_description() == (
        f"{REVIEW} Femur_Head_L was found on the other side. Not found: Rektum."
    )


def test_findings_on_the_ct_and_notes_stand_in_the_description_of_the_set() -> None:
    partial = Finding("region.partial", "Only part of the pelvis.")
    said = texts(findings=(partial, Finding("ct.lossy", "Lossy.")), notes=("Lossy.",))
    assert said.set_description() == f"{REVIEW} Only part of the pelvis. Lossy."


def test_a_set_says_which_one_it_replaces() -> None:
    before = Replaced("2.25.1", datetime(2026, 1, 15, 9, 5, tzinfo=UTC), 96)
    said = texts(replaces=before)
    assert said.set_description() == f"{REVIEW} Replaces the set of 09:05, 96 of 98 slices."
    assert said.series_description("AI pelvis").startswith("replaces the set of 09:05, 96 of 98 slices")


def test_a_renamed_roi_says_which_structure_it_is() -> None:
    bladder, spine = rois_named(["Bladder", "Spine"])
    assert texts().roi_description(bladder, "Blase") == f"Structure: Bladder. {REVIEW}"
    assert texts().roi_description(spine, "Spine") == f"A local name: TG-263 has none for it. {REVIEW}"


@pytest.mark.parametrize("name", ["Kidney_L", "VB_L5", "Lobulus_Novus"])
def test_only_a_name_that_tg_263_is_known_to_lack_is_called_local(name: str) -> None:
    (roi,) = rois_named([name])
    assert texts().roi_description(roi, name) == REVIEW


def test_what_concerns_every_structure_is_said_of_every_structure() -> None:
    findings = (
        Finding("region.partial", "Only part of the pelvis is on this CT."),
        Finding("structure.cut-by-field-of-view", "Bladder is cut off.", "Bladder"),
    )
    bladder, rectum = rois_named(["Bladder", "Rectum"])
    said = texts(findings=findings)
    assert said.roi_description(bladder, "Bladder") == (
        f"Bladder is cut off. Only part of the pelvis is on this CT. {REVIEW}"
    )
    assert said.roi_description(rectum, "Rectum") == f"Only part of the pelvis is on this CT. {REVIEW}"
