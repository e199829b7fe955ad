import numpy as np
import pytest

from models.synthetic_ct.label_maps.label_maps import LabelMap
from models.synthetic_ct.label_maps.label_tissues import own_tissues
from models.synthetic_ct.tissues.tissue_maps import Tissue

SPACING = np.array([2.0, 2.0, 2.0])


def label_map(boxes, shape=(100, 40, 60), spacing=SPACING, origin=(0.0, 0.0, 0.0)):
    """Boxes by name; each is six numbers: z, y, x from and to."""
    labels = np.zeros(shape, np.uint8)
    names = {}
    for number, (name, (z0, z1, y0, y1, x0, x1)) in enumerate(boxes.items(), start=1):
        names[number] = name
        labels[z0:z1, y0:y1, x0:x1] = number
    return LabelMap("case", labels, spacing, np.array(origin), names)


FEMORA = {"Femur_L": (0, 80, 10, 20, 45, 55), "Femur_R": (0, 90, 10, 20, 5, 15)}


def test_a_whole_femur_is_head_80_mm_below_its_top_and_shaft_under_it():
    found = own_tissues(label_map(FEMORA))
    heights = {
        tissue: np.flatnonzero((found.codes == tissue).any((1, 2)))[[0, -1]].tolist()
        for tissue in (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_SHAFT_L, Tissue.FEMUR_HEAD_R, Tissue.FEMUR_SHAFT_R)
    }
    assert heights == {
        Tissue.FEMUR_HEAD_L: [39, 79],  # 80 mm are 40 slices below the top one
        Tissue.FEMUR_SHAFT_L: [0, 38],
        Tissue.FEMUR_HEAD_R: [49, 89],
        Tissue.FEMUR_SHAFT_R: [0, 48],
    }


def test_what_was_drawn_as_a_head_stays_one():
    heads = {"Femur_Head_L": (0, 80, 10, 20, 45, 55), "Femur_Head_R": (0, 80, 10, 20, 5, 15)}
    found = own_tissues(label_map(heads))
    assert not found.has(Tissue.FEMUR_SHAFT_L)
    assert found.whole == {Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R}


def test_the_midpoint_of_the_heads_is_25_mm_below_their_tops():
    found = own_tissues(label_map(FEMORA, origin=(-50.0, 7.0, 100.0)))
    # middles of the top 26 slices: (79 + 54) / 2 and (89 + 64) / 2
    assert found.heads_zyx_mm == pytest.approx([(66.5 + 76.5) / 2 * 2 - 50, 14.5 * 2 + 7, 29.5 * 2 + 100])
    assert own_tissues(label_map({"Femur_L": FEMORA["Femur_L"]})).heads_zyx_mm is None


def test_where_the_colon_was_drawn_to_the_anus_its_end_behind_is_rectum():
    boxes = FEMORA | {"Sacrum": (40, 80, 35, 40, 20, 40), "Colon": (30, 95, 20, 30, 25, 35)}
    found = own_tissues(label_map(boxes))
    rectum = np.argwhere(found.codes == Tissue.RECTUM)
    assert rectum[:, 0].max() == 57  # below 0.45 of the sacrum, slice 40 + 0.45 * 39
    assert rectum[:, 0].min() == 30
    assert rectum[:, 1].min() == 20  # all of it lies behind the femoral heads
    assert Tissue.RECTUM in found.whole
    own = own_tissues(label_map(boxes | {"Rectum": (0, 10, 20, 30, 25, 35)}))
    assert (own.codes == Tissue.COLON).sum() == 65 * 10 * 10


def test_names_that_are_no_tissue_are_told_and_the_body_is_no_tissue():
    found = own_tissues(
        label_map({"External": (0, 100, 0, 40, 0, 60), **FEMORA, "PTV_5600": (90, 95, 0, 5, 0, 5)})
    )
    assert found.unused == ("PTV_5600",)
    assert found.body is not None
    assert found.body.all()
    assert set(np.unique(found.codes)) == {0, 9, 10, 11, 12}
    assert own_tissues(label_map(FEMORA)).body is None


def test_of_some_tissues_there_is_more_than_was_drawn():
    boxes = {
        "SpinalCord": (0, 50, 0, 5, 0, 5),
        "Vessels_iliac": (50, 60, 0, 5, 0, 5),
        "Liver": (60, 70, 0, 5, 0, 5),
    }
    found = own_tissues(label_map(boxes))
    assert found.has(Tissue.CANAL, Tissue.ARTERY, Tissue.LIVER)
    assert found.whole == {Tissue.LIVER}
