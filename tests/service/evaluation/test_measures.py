"""Boxes of whole voxels, edited in ways whose measures can be computed on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.backlog.review_records import MEASURES
from service.dicom.patient_grids import patient_grid
from service.evaluation.measures import Measured, Tolerances, measure, overlap

GRID = patient_grid("HFS", shape_zyx=(30, 40, 50), spacing_zyx_mm=(3.0, 2.0, 2.0))
TOLERANCES = Tolerances(surface_mm=2.0, untouched_mm=0.2)


def box(
    slices: range, columns: tuple[int, int] = (10, 20), rows: tuple[int, int] = (12, 18)
) -> dict[int, tuple[np.ndarray, ...]]:
    """Encloses the pixels ``columns[0] .. columns[1] - 1`` and those rows, on each slice: 10 x 6 pixels."""
    (left, right), (top, bottom) = columns, rows
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - 0.5
    return {k: (outline,) for k in slices}


def compared(ours, theirs, grid=GRID, tolerances=TOLERANCES) -> Measured:
    found = measure(ours, theirs, grid, tolerances)
    assert set(found.measures) <= set(MEASURES)
    return found


def test_an_untouched_structure():
    found = compared(box(range(5, 15)), box(range(5, 15)))
    assert found.measures == {
        "dsc": 1.0,
        "jaccard": 1.0,
        "hd95_mm": 0.0,
        "assd_mm": 0.0,
        "msd_mm": 0.0,
        "surface_dsc": 1.0,
        "added_path_mm": 0.0,
        "volume_cm3": pytest.approx(10 * 10 * 6 * 12 / 1000),  # slices x columns x rows x mm3
        "reviewed_volume_cm3": pytest.approx(7.2),
        "centroid_shift_mm": 0.0,
        "slices_added_superior": 0.0,
        "slices_removed_superior": 0.0,
        "slices_added_inferior": 0.0,
        "slices_removed_inferior": 0.0,
        "slices_in_common": 10.0,
        "contours_untouched": 1.0,
        "worst_slice_dsc": 1.0,
    }
    assert set(found.measures) == set(MEASURES)
    assert {each.state for each in found.slices} == {"untouched"}


@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP", "FFP"])
def test_shifted_towards_the_head_by_two_slices(position):
    grid = patient_grid(position, shape_zyx=(30, 40, 50), spacing_zyx_mm=(3.0, 2.0, 2.0))
    upwards = 1 if grid.normal[2] > 0 else -1
    ours = box(range(10, 20))
    theirs = box(range(10 + 2 * upwards, 20 + 2 * upwards))
    found = compared(ours, theirs, grid)
    expected = {
        "dsc": 0.8,  # 8 of 10 slices in common
        "jaccard": 8 / 12,
        "centroid_shift_mm": 6.0,
        "slices_added_superior": 2.0,
        "slices_removed_superior": 0.0,
        "slices_added_inferior": 0.0,
        "slices_removed_inferior": 2.0,
        "slices_in_common": 8.0,
        "contours_untouched": 0.8,
        "worst_slice_dsc": 1.0,
        "added_path_mm": 2 * 28 * 2.0,  # two slices with an outline of 10 + 10 + 4 + 4 pixels of 2 mm
    }
    assert {key: found.measures[key] for key in expected} == pytest.approx(expected)
    states = [each.state for each in found.slices]
    assert states == ["removed"] * 2 + ["untouched"] * 8 + ["added"] * 2
    positions = [each.position_mm for each in found.slices]
    assert positions == sorted(positions)
    z = [grid.slice_origins_lps_mm[k, 2] for k in range(30)]
    assert positions == pytest.approx(sorted(z[k] for k in ours.keys() | theirs.keys()), abs=1e-3)


def test_trimmed_at_both_ends():
    found = compared(box(range(5, 15)), box(range(8, 14)))
    expected = {
        "dsc": 2 * 6 / 16,
        "slices_added_superior": 0.0,
        "slices_removed_superior": 1.0,
        "slices_added_inferior": 0.0,
        "slices_removed_inferior": 3.0,
        "contours_untouched": 0.6,
        "added_path_mm": 0.0,
        "reviewed_volume_cm3": 4.32,
        "centroid_shift_mm": 3.0,  # from slice 9.5 to 10.5
    }
    assert {key: found.measures[key] for key in expected} == pytest.approx(expected)


def test_a_box_made_larger_by_one_pixel_all_around():
    theirs = box(range(5, 15), columns=(9, 21), rows=(11, 19))
    found = compared(box(range(5, 15)), theirs, tolerances=Tolerances(2.83, 0.2))
    expected = {
        "dsc": 2 * 60 / (60 + 96),
        "jaccard": 60 / 96,
        "worst_slice_dsc": 2 * 60 / (60 + 96),
        "volume_cm3": 7.2,
        "reviewed_volume_cm3": 11.52,
        "centroid_shift_mm": 0.0,
        "contours_untouched": 0.0,
        "added_path_mm": 10 * (12 + 12 + 6 + 6) * 2.0,
        "surface_dsc": 1.0,  # the edges are farthest: 2 mm to the side and 2 mm to the front
        "hd95_mm": 2.0,
    }
    assert {key: found.measures[key] for key in expected} == pytest.approx(expected)
    near = [compared(box(range(5, 15)), theirs, tolerances=Tolerances(mm, 0.2)) for mm in (1.9, 2.0, 2.82)]
    top_only, sides_too, not_edges = (each.measures["surface_dsc"] for each in near)
    assert top_only < sides_too == not_edges < 1.0


def test_shifted_sideways_by_one_column():
    found = compared(box(range(5, 15)), box(range(5, 15), columns=(11, 21)))
    expected = {"dsc": 0.9, "jaccard": 9 / 11, "centroid_shift_mm": 2.0, "worst_slice_dsc": 0.9}
    expected |= {
        "contours_untouched": 0.0,
        "added_path_mm": 10 * 10 * 2.0,
    }  # sides of 4 + 4, two corners anew
    assert {key: found.measures[key] for key in expected} == pytest.approx(expected)


def test_numbers_written_anew_are_untouched_and_a_moved_vertex_is_not():
    ours = box(range(5, 15))
    [outline] = ours[5]
    middles = (outline + np.roll(outline, -1, axis=0)) / 2
    more = np.stack([outline, middles], axis=1).reshape(-1, 2)
    rewritten = np.roll(more, 3, axis=0)[::-1] + 0.04  # 0.08 mm off, begun elsewhere, the other way round
    moved = outline + np.array([[0.0, 0.0], [0.2, 0.0], [0.0, 0.0], [0.0, 0.0]])  # 0.4 mm
    theirs = ours | {5: (rewritten,), 6: (moved,)}
    found = compared(ours, theirs)
    assert [each.state for each in found.slices] == ["untouched", "edited"] + ["untouched"] * 8
    assert found.measures["contours_untouched"] == 0.9
    assert found.measures["dsc"] == 1.0


def test_what_lies_apart_shares_nothing():
    found = compared(box(range(5, 10)), box(range(20, 22)))
    expected = {
        "dsc": 0.0,
        "jaccard": 0.0,
        "surface_dsc": 0.0,
        "slices_in_common": 0.0,
        "centroid_shift_mm": 40.5,
    }
    expected |= {"slices_added_superior": 2.0, "slices_removed_inferior": 5.0, "slices_removed_superior": 0.0}
    assert {key: found.measures[key] for key in expected} == pytest.approx(expected)
    assert "worst_slice_dsc" not in found.measures


def test_a_contour_about_no_voxel_has_no_distance():
    speck = {7: (np.array([[15.2, 15.2], [15.4, 15.2], [15.4, 15.4]]),)}
    found = compared(box(range(5, 15)), speck)
    assert found.measures["dsc"] == 0.0
    assert found.measures["reviewed_volume_cm3"] == 0.0
    assert not {"hd95_mm", "assd_mm", "msd_mm", "surface_dsc", "centroid_shift_mm"} & found.measures.keys()


def test_uneven_slices_weigh_as_much_as_they_are_wide():
    origins = GRID.slice_origins_lps_mm.copy()
    origins[15:, 2] += 3.0 * np.arange(15)  # from slice 15 on they stand 6 mm apart
    grid = replace(GRID, slice_origins_lps_mm=origins)
    found = compared(box(range(10, 20)), box(range(10, 15)), grid)
    # Widths: 3 mm for slices 10 to 13, (3 + 3) / 2 for 14, (3 + 6) / 2 and 6 for 15 to 19.
    mm2 = 60 * 4
    assert found.measures["reviewed_volume_cm3"] == pytest.approx(5 * 3 * mm2 / 1000)
    assert found.measures["volume_cm3"] == pytest.approx((15 + sum(grid.slice_widths_mm[15:20])) * mm2 / 1000)


@pytest.mark.parametrize("slices", [range(3), range(27, 30), range(30)])
def test_at_the_ends_of_the_ct_measures_are_those_of_the_whole_grid(slices):
    found = compared(box(slices, columns=(0, 9), rows=(31, 40)), box(slices, columns=(1, 9), rows=(31, 40)))
    assert found.measures["dsc"] == pytest.approx(2 * 8 / 17)
    assert found.measures["volume_cm3"] == pytest.approx(len(slices) * 81 * 12 / 1000)
    assert found.measures["hd95_mm"] == pytest.approx(2.0)


def test_overlap_says_volumes():
    assert overlap(box(range(5, 15)), box(range(5, 10)), GRID) == pytest.approx((7.2, 3.6, 3.6))
    assert overlap(box(range(5, 15)), {}, GRID) == (0.0, 0.0, 0.0)
