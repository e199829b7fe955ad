"""Derived structures of a CT: made in the order of need, or left out with a reason that names the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_structures import MODEL, as_field, ball

from models.volume import Finding, Segmentation, Severity
from service.config.derivation import DerivedStructure
from service.contouring.derivation.directions import by_array_axis, off_axis_degrees
from service.contouring.derivation.evaluation import with_derived
from service.contouring.derivation.rois import known_of
from service.contouring.derivation.words import in_words
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid

GRID = patient_grid("HFS", shape_zyx=(24, 70, 70), spacing_zyx_mm=(3.0, 1.0, 1.0))
MIDDLE = GRID.positions_lps_mm(12, np.array(35.0), np.array(35.0))


def sphere(radius_mm: float, x: float = 0.0, y: float = 0.0, z: float = 0.0):
    return as_field(ball(GRID, MIDDLE + np.array([x, y, z]), radius_mm))


STRUCTURES = {
    "External": sphere(31.0),
    "A_Iliac_L": sphere(5.0, 12),
    "A_Iliac_R": sphere(5.0, -12),
    "Bladder": sphere(9.0, 0, -12),
    "Bowel_Small": sphere(8.0, 6, 8),
    "Colon": sphere(8.0, -6, 8),
    "SpinalCord": sphere(4.0, 0, 20),
}


def derive(structures=STRUCTURES, findings=(), grid=GRID, **derived) -> Segmentation:
    made = {name: DerivedStructure.model_validate(one) for name, one in derived.items()}
    return with_derived(Segmentation(structures, MODEL, tuple(findings)), made, grid)


def said(found: Segmentation, name: str) -> list[tuple[str, str]]:
    return [(each.code, each.sentence) for each in found.findings if each.structure == name]


def test_each_is_made_after_what_it_is_made_of():
    """A planning risk volume of 9 + 5 mm less a ring of it, whatever the order in the file."""
    found = derive(
        Rest={"of": "Bladder_PRV05", "difference": ["Shell"]},
        Shell={"of": "Bladder", "ring": {"inner": 2.0, "outer": 8.0}},
        Bladder_PRV05={"of": "Bladder", "margin": 5.0},
    )
    volumes = {name: found.structures[name].volume_cm3(GRID) for name in ("Bladder_PRV05", "Rest")}
    assert volumes["Bladder_PRV05"] == pytest.approx(4 / 3 * np.pi * 1.4**3, rel=0.03)
    assert volumes["Rest"] == pytest.approx(4 / 3 * np.pi * 1.1**3, rel=0.04)


def test_the_aid_for_pelvic_nodes_keeps_away_from_organs_and_is_no_target():
    aid = {
        "of": ["A_Iliac_L", "A_Iliac_R"],
        "steps": [{"margin": 7.0}, {"away_from": {"structures": ["Bladder", "Bowel_Small", "Colon"]}}],
        "description": "aid only: obturator, presacral and visible nodes not included",
    }
    found = derive(zVessels_07=aid)
    mask = found.structures["zVessels_07"].mask(GRID.shape_zyx)
    for name in ("Bladder", "Bowel_Small", "Colon"):
        assert not (mask & STRUCTURES[name].mask(GRID.shape_zyx)).any()
    true = np.maximum(
        ball(GRID, MIDDLE + np.array([12, 0, 0]), 12.0), ball(GRID, MIDDLE - np.array([12, 0, 0]), 12.0)
    )
    for x, y, radius in ((0, -12, 9.0), (6, 8, 8.0), (-6, 8, 8.0)):
        true = np.minimum(true, -ball(GRID, MIDDLE + np.array([x, y, 0]), radius))
    assert np.abs(true[mask != (true > 0)]).max(initial=0) < 0.3
    known = known_of("zVessels_07", DerivedStructure.model_validate(aid))
    assert (known.interpreted_type, known.code) == ("CONTROL", None)


def test_a_source_that_was_not_found_leaves_it_out_and_so_on():
    structures = {name: field for name, field in STRUCTURES.items() if name != "Colon"}
    found = derive(
        structures,
        Bag_Bowel={"of": ["Bowel_Small", "Colon"], "margin": 5.0},
        More={"of": "Bag_Bowel", "margin": 2.0},
    )
    assert {"Bag_Bowel", "More"}.isdisjoint(found.structures)
    assert said(found, "Bag_Bowel") == [
        ("derived.source-missing", "Bag_Bowel is left out: Colon was not found or was left out.")
    ]
    assert said(found, "More") == [
        (
            "derived.source-missing",
            "More is left out: Bag_Bowel is left out (Colon was not found or was left out).",
        )
    ]


def test_a_source_of_an_unusual_volume_leaves_it_out_with_what_was_said_of_it():
    doubt = Finding("structure.volume-unusual", "Colon has 2.1 cm3; usual are 100 to 900 cm3.", "Colon")
    found = derive(findings=[doubt], Bag_Bowel={"of": ["Bowel_Small", "Colon"]})
    assert said(found, "Bag_Bowel") == [
        ("derived.source-doubtful", "Bag_Bowel is left out: Colon has 2.1 cm3; usual are 100 to 900 cm3.")
    ]


def test_what_is_said_of_a_source_holds_for_what_is_made_of_it():
    cut = Finding("structure.cut-by-field-of-view", "Colon reaches the first or last slice.", "Colon")
    note = Finding("structure.not-found", "A note.", "Colon", Severity.NOTE)
    found = derive(findings=[cut, note], Bag_Bowel={"of": ["Bowel_Small", "Colon"]})
    assert said(found, "Bag_Bowel") == [
        ("derived.source-warned", "It is made of Colon: Colon reaches the first or last slice.")
    ]


@pytest.mark.parametrize(
    ("made", "code", "sentence"),
    [
        ({"of": "SpinalCord", "margin": -6.0}, "derived.empty", "nothing remains after this step: margin -6 mm"),
        ({"of": "Bladder", "margin": 20.0, "largest_cm3": 50.0}, "derived.too-large", "more than 50 cm3"),
        ({"of": "SpinalCord", "margin": 12.0}, "derived.beyond-external", "cm3 of it lie outside External"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_left_out_with_a_reason(made, code, sentence):
    found = derive(X=made)
    assert "X" not in found.structures
    ((found_code, found_sentence),) = said(found, "X")
    assert found_code == code
    assert sentence in found_sentence


def test_what_is_not_sent_may_reach_beyond_the_body_on_the_way():
    found = derive(
        Wide={"of": "SpinalCord", "margin": 12.0, "send": False},
        Cut={"of": "Wide", "inside": {"structure": "External", "mm": 2.0}},
    )
    body = ball(GRID, MIDDLE, 29.0)
    mask = found.structures["Cut"].mask(GRID.shape_zyx)
    assert mask.any()
    assert body[mask].min() > -0.3


def test_holes_that_contours_fill_are_filled_before_anything_is_made():
    hollow = as_field(np.minimum(ball(GRID, MIDDLE, 15.0), -ball(GRID, MIDDLE, 5.0)))
    found = derive({"Bladder": hollow}, X={"of": "Bladder", "margin": 2.0})
    assert found.structures["X"].volume_cm3(GRID) == pytest.approx(4 / 3 * np.pi * 1.7**3, rel=0.02)


def test_each_knows_what_it_was_made_of_and_by_which_rule():
    other = replace(MODEL, model="external", sha256="cd" * 32, validated=False)
    segmentation = Segmentation(STRUCTURES, MODEL, made_by={"External": other})
    made = {
        "A": {"of": "Bladder", "margin": 2.0},
        "B": {"of": "Bladder", "inside": {"structure": "External"}},
    }
    found = with_derived(segmentation, {n: DerivedStructure.model_validate(m) for n, m in made.items()}, GRID)
    a, b = found.maker("A"), found.maker("B")
    assert (a.model, a.validated, b.validated) == ("derived", True, False)
    assert a.sha256 != b.sha256
    assert found.maker("Bladder") == MODEL


MARGINS = {"R": 1.0, "L": 2.0, "A": 3.0, "P": 4.0, "S": 5.0, "I": 6.0}


@pytest.mark.parametrize(
    ("position", "lower", "higher"),
    [
        ("HFS", (6.0, 3.0, 1.0), (5.0, 4.0, 2.0)),  # slices to superior, rows to posterior, columns to left
        ("HFP", (6.0, 4.0, 2.0), (5.0, 3.0, 1.0)),  # face down: rows to anterior, columns to right
        ("FFS", (5.0, 3.0, 2.0), (6.0, 4.0, 1.0)),  # feet first: slices to inferior, columns to right
    ],
)
def test_margins_go_where_the_patients_directions_are(position, lower, higher):
    grid = patient_grid(position, shape_zyx=(4, 5, 6), spacing_zyx_mm=(3.0, 1.0, 1.0))
    margins = DerivedStructure.model_validate({"of": "x", "margins": MARGINS}).margins
    assert by_array_axis(margins, grid) == (lower, higher)
    assert off_axis_degrees(grid) == pytest.approx(0.0, abs=1e-4)


def test_margins_on_an_oblique_ct_say_that_they_follow_its_axes():
    grid = stacked_grid(
        rotated(ORIENTATIONS["HFS"], (0, 0, 1), 12.0),
        np.arange(12) * 3.0,
        shape_yx=(40, 40),
        spacing_yx_mm=(1, 1),
    )
    part = as_field(ball(grid, grid.positions_lps_mm(6, np.array(20.0), np.array(20.0)), 8.0))
    found = derive({"Bladder": part}, grid=grid, X={"of": "Bladder", "margins": {"L": 3.0}})
    assert said(found, "X")[0] == (
        "derived.axes-oblique", "The margins of X follow the axes of the CT, 12 degrees off the patient's."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"of": ["A", "B"]}, "A, B"),
        ({"of": "A", "margin": 7.0}, "A: margin 7 mm"),
        ({"of": "A", "margins": {"R": 3.0, "S": 2.5}}, "A: margins R 3, S 2.5 mm"),
        ({"of": "A", "ring": {"inner": 2.0, "outer": 30.0}}, "A: ring from 2 to 30 mm"),
        (
            {"of": "A", "steps": [{"union": ["B"]}, {"difference": ["C"]}, {"intersection": ["D"]}]},
            "A: with B; without C; only within D",
        ),
        (
            {
                "of": "A",
                "steps": [{"inside": {"structure": "E", "mm": 3.0}}, {"away_from": {"structures": ["F"]}}],
            },
            "A: inside E, 3 mm from its surface; outside F",
        ),
        ({"of": "A", "away_from": {"structures": "F", "mm": 2.0}}, "A: 2 mm away from F"),
        (
            {"of": "A", "steps": [{"fill_holes": "slices"}, {"smooth": 2.0}, {"keep_largest": "piece"}]},
            "A: holes filled on each slice; smoothed by 2 mm; largest piece",
        ),
    ],
)
def test_a_derivation_can_be_said_in_words(made, words):
    assert in_words(DerivedStructure.model_validate(made)) == words


@pytest.mark.parametrize(
    ("name", "made", "kind", "code"),
    [
        ("SpinalCord_PRV05", {"of": "SpinalCord", "margin": 5.0}, "AVOIDANCE", "130057"),
        ("SpinalCanal_PRV5", {"of": "SpinalCanal", "margin": 5.0}, "AVOIDANCE", "130057"),
        ("Bag_Bowel", {"of": "Bowel"}, "ORGAN", None),
        ("Shell", {"of": "Bladder", "ring": {"outer": 5.0}}, "CONTROL", None),
        ("PTVn", {"of": "CTVn", "margin": 7.0}, "PTV", None),
        ("zRing", {"of": "Bladder", "type": "AVOIDANCE"}, "AVOIDANCE", None),
    ],
)
def test_the_type_follows_from_the_name_and_the_making(name, made, kind, code):
    known = known_of(name, DerivedStructure.model_validate(made))
    assert known.interpreted_type == kind
    assert (known.code and known.code.value) == code
    assert len(name) <= 16
