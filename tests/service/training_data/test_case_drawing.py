"""Each structure once, or not at all if the export contradicts itself."""

from __future__ import annotations

import numpy as np
import pytest

from service.dicom.patient_grids import ORIENTATIONS, patient_grid
from service.training_data.case_drawing import Candidate, CaseDrawing, Rules, settle, structure_of
from service.training_data.remarks import Weight
from service.training_data.roi_drawing import RoiDrawing
from service.training_data.roi_names import RoiNames

GRID = patient_grid("HFS", shape_zyx=(4, 10, 12), spacing_zyx_mm=(3.0, 2.0, 1.5))


def box(*index: slice) -> np.ndarray:
    mask = np.zeros(GRID.shape_zyx, dtype=bool)
    mask[index] = True
    return mask


SMALL, LARGE = box(slice(1, 3), slice(2, 4), slice(2, 4)), box(slice(1, 3), slice(2, 6), slice(2, 6))


def candidate(mask, source="set 1", roi="bladder", approved=False, made_at=""):
    return Candidate(source, roi, approved, made_at, lambda: RoiDrawing(mask))


def settled(*candidates, prefer="none", structure="Bladder"):
    drawing = CaseDrawing.on(GRID, "patient 7")
    settle(drawing, GRID, {structure: candidates}, prefer)
    return drawing


def codes(drawing):
    return [remark.code for remark in drawing.remarks]


def test_one_roi_is_the_structure():
    drawing = settled(candidate(SMALL))
    assert (drawing.masks["Bladder"] == SMALL).all()
    assert drawing.remarks == []
    assert drawing.volumes_cm3() == {"Bladder": pytest.approx(8 * 9.0 / 1000)}


def test_two_different_rois_of_one_set_are_both_left_out():
    drawing = settled(candidate(SMALL), candidate(LARGE, roi="Blase"))
    assert not drawing.masks
    assert codes(drawing) == ["roi.twice", "roi.twice"]
    assert [remark.roi for remark in drawing.remarks] == ["bladder", "Blase"]
    assert {remark.folder for remark in drawing.remarks} == {"patient 7"}


def test_two_rois_that_are_the_same_are_taken_once():
    drawing = settled(candidate(SMALL), candidate(SMALL.copy(), roi="Blase"))
    assert (drawing.masks["Bladder"] == SMALL).all()
    assert codes(drawing) == ["roi.same-twice"]


def test_two_sets_that_disagree_are_not_chosen_between():
    drawing = settled(candidate(SMALL), candidate(LARGE, source="set 2"))
    assert not drawing.masks
    assert codes(drawing) == ["roi.sets-disagree"] * 2


@pytest.mark.parametrize(
    ("prefer", "first", "second", "taken"),
    [
        ("approved", {"approved": True}, {}, SMALL),
        ("approved", {}, {"approved": True}, LARGE),
        ("newest", {"made_at": "20250101 120000"}, {"made_at": "20250101 115959"}, SMALL),
        ("newest", {"made_at": ""}, {"made_at": "20250101 115959"}, LARGE),
        ("approved", {"approved": True}, {"approved": True}, None),
        ("approved", {}, {}, None),
        ("newest", {"made_at": "20250101"}, {"made_at": "20250101"}, None),
        ("newest", {}, {}, None),
    ],
)
def test_a_preference_decides_only_where_it_can(prefer, first, second, taken):
    drawing = settled(candidate(SMALL, **first), candidate(LARGE, source="set 2", **second), prefer=prefer)
    if taken is None:
        assert not drawing.masks
        assert set(codes(drawing)) == {"roi.sets-disagree"}
    else:
        assert (drawing.masks["Bladder"] == taken).all()
        assert codes(drawing) == ["roi.preferred"]
        assert prefer in drawing.remarks[0].sentence


def test_an_roi_that_is_refused_leaves_the_other_one():
    drawing = settled(
        Candidate("set 1", "a", False, "", lambda: RoiDrawing().refuse("roi.gap", "It was not finished.")),
        candidate(LARGE, source="set 2"),
    )
    assert (drawing.masks["Bladder"] == LARGE).all()
    assert [(one.code, one.roi, one.structure, one.weight) for one in drawing.remarks] == [
        ("roi.gap", "a", "Bladder", Weight.LEFT_OUT)
    ]


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_left_and_right_that_were_exchanged_are_found_in_every_position(position):
    """LPS: x grows to the patient's left, whatever the images' rows and columns."""
    grid = patient_grid(position, shape_zyx=(4, 12, 12), spacing_zyx_mm=(3.0, 2.0, 2.0))
    rows, columns = np.mgrid[:12, :12].astype(float)
    x = np.stack([grid.positions_lps_mm(k, rows, columns)[..., 0] for k in range(4)])
    for left, right, exchanged in ((x > 4, x < -4, False), (x < -4, x > 4, True)):
        drawing = CaseDrawing.on(grid, "")
        settle(drawing, grid, {"Lung_L": [candidate(left)], "Lung_R": [candidate(right)]}, "none")
        assert (set(drawing.masks) == set()) is exchanged
        assert codes(drawing) == ["roi.sides-exchanged"] * (2 if exchanged else 0)


def test_one_side_alone_is_taken_at_its_word():
    assert set(settled(candidate(SMALL), structure="Lung_L").masks) == {"Lung_L"}


def test_an_absent_structure_has_volume_nothing_and_no_place():
    drawing = settled(candidate(np.zeros(GRID.shape_zyx, dtype=bool)), structure="Lung_L")
    assert drawing.volumes_cm3() == {"Lung_L": 0.0}
    assert drawing.middles_lps_mm == {}


@pytest.fixture(scope="module")
def names():
    return RoiNames.read()


@pytest.mark.parametrize(
    ("roi", "structure", "code"),
    [
        ("Blase", "Bladder", None),
        ("Femoral Head", None, "roi.no-side"),
        ("Femur s", None, "roi.name-ambiguous"),
        ("Opt_1", None, "roi.name-unknown"),
        ("Heart", None, "roi.not-asked-for"),
    ],
)
def test_a_name_without_a_structure_has_a_reason(names, roi, structure, code):
    drawing = CaseDrawing.on(GRID, "patient 7")
    rules = Rules(structures=frozenset({"Bladder"}))
    assert structure_of(drawing, roi, names, rules) == structure
    assert [(one.code, one.roi) for one in drawing.remarks] == ([] if code is None else [(code, roi)])
