"""Contours as masks, squares whose voxels can be counted on paper; and every reason for none."""

from __future__ import annotations

import numpy as np
import pytest

from service.dicom.patient_grids import patient_grid, stacked_grid
from service.dicom.planar_contours import PlanarContour
from service.dicom.structure_set_reader import Roi
from service.training_data.name_files import KnownStructure
from service.training_data.remarks import Weight
from service.training_data.roi_drawing import CtFrame, draw_roi

GRID = patient_grid("HFS", shape_zyx=(80, 20, 30), spacing_zyx_mm=(3.0, 2.0, 1.5))
CT = CtFrame(GRID, [(f"1.2.{k}", None) for k in range(80)], "1.9")
BLADDER = KnownStructure("Bladder", minimum_height_mm=20.0)
BOWEL = KnownStructure("Bowel_Small", minimum_height_mm=20.0, several_parts=True)


def square(
    k, left=4.5, top=2.5, right=10.5, bottom=6.5, *, up_mm=0.0, uid="own", kind="CLOSED_PLANAR", grid=GRID
):
    """A contour around 6 x 4 pixels of slice k."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)
    points = grid.positions_lps_mm(k, corners[:, 1], corners[:, 0]) + up_mm * grid.normal
    images = {"own": ((f"1.2.{k}", None),), None: ()}.get(uid, ((uid, None),))
    return PlanarContour(points, kind, images)


def drawn(*contours, known=BLADDER, frame="1.9", ct=CT, **options):
    roi = Roi(1, "any", "", frame, (), tuple(contours))
    return draw_roi(roi, ct, known, **options)


def codes(drawing):
    return [saying.code for saying in drawing.sayings]


WHOLE = [square(k) for k in range(20, 40)]


def test_an_roi_that_is_as_it_should_be_is_its_mask_and_nothing_to_say():
    drawing = drawn(*WHOLE)
    expected = np.zeros(GRID.shape_zyx, dtype=bool)
    expected[20:40, 3:7, 5:11] = True
    assert (drawing.mask == expected).all()
    assert drawing.sayings == []


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_within_another_is_a_hole(kind):
    drawing = drawn(*(
        one for k in range(20, 40)
        for one in (square(k, 4.5, 2.5, 14.5, 12.5, kind=kind), square(k, 6.5, 4.5, 9.5, 8.5, kind=kind))
    ))  # fmt: skip
    assert drawing.mask.sum() == 20 * (100 - 12)
    assert codes(drawing) == []


def test_a_keyhole_is_a_hole():
    outer, inner = (
        square(k, *box).points_lps_mm for k, box in ((0, (4.5, 2.5, 14.5, 12.5)), (0, (6.5, 4.5, 9.5, 8.5)))
    )
    channel = square(0, 6.5, 2.5, 6.5, 4.5).points_lps_mm[:1]
    joined = np.vstack([outer[:1], channel, inner, inner[:1], channel, outer[1:]])
    many = [
        PlanarContour(joined + k * 3.0 * GRID.normal, "CLOSED_PLANAR", ((f"1.2.{k}", None),))
        for k in range(20, 40)
    ]
    drawing = drawn(*many)
    assert drawing.mask.sum() == 20 * (100 - 12)
    assert codes(drawing) == []


def test_two_contours_that_overlap_in_part_leave_the_structure_unknown():
    drawing = drawn(*(one for k in range(20, 40) for one in (square(k), square(k, 8.5, 2.5, 16.5, 6.5))))
    assert drawing.mask is None
    assert codes(drawing) == ["roi.contours-overlap"]
    assert drawing.sayings[0].sentence.startswith(f"{20 * 2 * 4} voxels")


def test_a_contour_that_was_written_twice_does_not_vanish():
    drawing = drawn(*WHOLE, *WHOLE)
    assert (drawing.mask, codes(drawing)) == (None, ["roi.contours-overlap"])


def test_a_few_voxels_of_overlap_are_told_and_stay_outside():
    """1 voxel in both of 20 x 24 + 8: 0.2 %."""
    drawing = drawn(*WHOLE, square(30, 9.5, 5.5, 12.5, 8.5))
    assert codes(drawing) == ["roi.contours-overlap-slightly"]
    assert drawing.mask.sum() == 20 * 24 - 1 + 8
    assert not drawing.mask[30, 6, 10]


def test_contours_on_three_of_eighty_slices_were_not_finished():
    drawing = drawn(square(10), square(40), square(70))
    assert drawing.mask is None
    assert drawing.sayings[0].code == "roi.gap"
    assert "3 of the 61 slices" in drawing.sayings[0].sentence
    assert "(the CT has 80)" in drawing.sayings[0].sentence


def test_contours_on_three_neighbouring_slices_of_eighty_were_not_finished():
    drawing = drawn(square(40), square(41), square(42))
    assert drawing.mask is None
    assert drawing.sayings[0].code == "roi.too-low"
    assert "3 of the CT's 80 slices, 9.0 mm high" in drawing.sayings[0].sentence


def test_a_low_structure_that_may_be_low_is_taken():
    assert drawn(square(40), square(41), square(42), known=KnownStructure("Lens_L")).mask.sum() == 72


def test_a_structure_that_the_end_of_the_ct_cuts_off_may_be_low():
    assert drawn(square(0), square(1), square(2)).mask.sum() == 72
    assert drawn(square(79), square(78), square(77)).mask.sum() == 72


def test_a_forgotten_slice_is_told_and_the_structure_taken_as_drawn():
    drawing = drawn(*WHOLE[:7], *WHOLE[8:])
    assert codes(drawing) == ["roi.gap-kept"]
    assert not drawing.mask[27].any(), "nothing is made up between two contours"


def test_more_than_a_tenth_forgotten_is_not_finished():
    assert codes(drawn(*WHOLE[:7], *WHOLE[10:])) == ["roi.gap"]


def test_a_structure_of_several_parts_may_have_gaps():
    drawing = drawn(*WHOLE[:7], *WHOLE[12:], known=BOWEL)
    assert codes(drawing) == ["roi.gap-kept"]
    assert drawing.mask.sum() == 15 * 24


def test_every_other_slice_is_not_finished_even_in_several_parts():
    assert codes(drawn(*WHOLE[::2], known=BOWEL)) == ["roi.gap"]


def test_an_empty_roi_is_unknown_unless_empty_means_absent():
    assert (drawn().mask, codes(drawn())) == (None, ["roi.empty"])
    absent = drawn(empty_is_absent=True)
    assert absent.mask.shape == GRID.shape_zyx
    assert not absent.mask.any()
    assert absent.sayings[0].weight is Weight.NOTE


@pytest.mark.parametrize(
    "contours",
    [
        [square(30, kind="POINT")],
        [square(k, kind="OPEN_PLANAR") for k in range(20, 40)],
        [PlanarContour(square(k).points_lps_mm[:2], "CLOSED_PLANAR", ()) for k in range(20, 40)],
    ],
)
def test_points_and_lines_enclose_nothing(contours):
    drawing = drawn(*contours)
    assert (drawing.mask, codes(drawing)) == (None, ["roi.no-area"])
    assert str(len(contours)) in drawing.sayings[0].sentence


def test_points_among_contours_are_told():
    drawing = drawn(*WHOLE, square(30, kind="POINT"))
    assert codes(drawing) == ["roi.contours-ignored"]
    assert drawing.mask.sum() == 20 * 24


def test_another_frame_of_reference_is_not_placed():
    assert codes(drawn(*WHOLE, frame="1.99")) == ["roi.other-frame-of-reference"]
    assert codes(drawn(*WHOLE, frame="")) == [], "many systems leave it out"


def test_contours_that_lie_nearer_to_another_slice_than_to_their_own_are_refused():
    """Slice and position contradict each other: 3 mm off is the next slice."""
    drawing = drawn(*(square(k, up_mm=3.0) for k in range(20, 40)))
    assert drawing.mask is None
    assert codes(drawing) == ["roi.off-slice"]
    assert "20 of its contours lie up to 3.00 mm off" in drawing.sayings[0].sentence


def test_contours_a_little_off_their_slices_are_taken_and_told():
    drawing = drawn(*(square(k, up_mm=1.2) for k in range(20, 40)))
    assert codes(drawing) == ["roi.off-slice-slightly"]
    assert "1.20 mm" in drawing.sayings[0].sentence
    assert drawing.mask[20:40].any(axis=(1, 2)).all()


def test_rounding_is_nothing_to_tell():
    assert codes(drawn(*(square(k, up_mm=0.09) for k in range(20, 40)))) == []


def test_contours_without_references_are_placed_by_position():
    drawing = drawn(*(square(k, uid=None) for k in range(20, 40)))
    assert codes(drawing) == ["roi.by-position"]
    assert drawing.sayings[0].weight is Weight.NOTE
    assert drawing.mask.sum() == 20 * 24


def test_contours_of_finer_slices_than_the_cts_are_not_laid_over_one_another():
    """Drawn every 1 mm, on slices 3 mm apart: three planes would fall on each slice."""
    drawing = drawn(*(square(20, up_mm=float(z), uid=None) for z in range(60)))
    assert (drawing.mask, codes(drawing)) == (None, ["roi.several-planes"])


def test_contours_that_cross_slices_are_refused():
    """A sagittal contour."""
    up = np.array([(5.0, 0.0), (5.0, 30.0), (12.0, 30.0), (12.0, 0.0)])
    points = np.array(
        [GRID.positions_lps_mm(20, np.array(row), np.array(8.0)) + z * GRID.normal for row, z in up]
    )
    drawing = drawn(PlanarContour(points, "CLOSED_PLANAR", ()))
    assert (drawing.mask, codes(drawing)) == (None, ["roi.not-in-plane"])


def test_contours_beyond_the_ct_are_told_and_the_rest_is_taken():
    beyond = [square(79, up_mm=3.0 * n, uid=None) for n in (1, 2)]
    drawing = drawn(*(square(k) for k in range(60, 80)), *beyond)
    assert codes(drawing) == ["roi.beyond"]
    assert drawing.mask.sum() == 20 * 24


def test_contours_that_all_lie_beyond_the_ct_are_refused():
    drawing = drawn(*(square(0, up_mm=-3.0 * n, uid=None) for n in range(1, 9)))
    assert (drawing.mask, codes(drawing)) == (None, ["roi.outside"])


def test_contours_between_voxels_enclose_none():
    drawing = drawn(*(square(k, 4.1, 2.1, 4.9, 2.9) for k in range(20, 40)))
    assert (drawing.mask, codes(drawing)) == (None, ["roi.no-voxel"])


def test_slices_may_be_unevenly_spaced():
    """0, 3, 6, 9, then 5 mm on: each contour belongs to its own slice."""
    offsets = np.r_[np.arange(4) * 3.0, 9 + 5 * np.arange(1, 6)]
    grid = stacked_grid((1, 0, 0, 0, 1, 0), offsets, shape_yx=(20, 30), spacing_yx_mm=(2.0, 1.5))
    ct = CtFrame(grid, [(f"1.2.{k}", None) for k in range(9)], "1.9")
    drawing = drawn(*(square(k, grid=grid) for k in range(1, 8)), ct=ct)
    assert codes(drawing) == []
    assert drawing.mask.sum(axis=(1, 2)).tolist() == [0, *[24] * 7, 0]


@pytest.mark.parametrize(
    ("k", "up_mm", "refused"), [(3, 1.6, False), (3, -1.6, True), (4, 2.6, True), (4, -2.4, False)]
)
def test_half_way_to_the_neighbour_is_counted_on_either_side(k, up_mm, refused):
    """0, 3, 6, 9, then 5 mm on: slice 3 has its neighbours 3 mm below and 5 mm above, slice 4 5 mm on both."""
    offsets = np.r_[np.arange(4) * 3.0, 9 + 5 * np.arange(1, 6)]
    grid = stacked_grid((1, 0, 0, 0, 1, 0), offsets, shape_yx=(20, 30), spacing_yx_mm=(2.0, 1.5))
    ct = CtFrame(grid, [(f"1.2.{n}", None) for n in range(9)], "1.9")
    contours = [square(n, grid=grid, up_mm=up_mm if n == k else 0.0) for n in range(9)]
    assert codes(drawn(*contours, ct=ct)) == ["roi.off-slice" if refused else "roi.off-slice-slightly"]
