import numpy as np
import pytest

from models.metrics import slice_hd95_mm, surface_distances
from models.metrics.surface_distances import surface


def block(shape, z, y, x):
    mask = np.zeros(shape, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def test_plates_five_slices_of_three_mm_apart_are_fifteen_mm_apart(make_grid):
    grid = make_grid((8, 5, 5), (3.0, 2.0, 1.0))
    found = surface_distances(
        block((8, 5, 5), (1, 2), (0, 5), (0, 5)), block((8, 5, 5), (6, 7), (0, 5), (0, 5)), grid
    )
    for value in (
        found.hausdorff_mm,
        found.hd95_mm,
        found.hd95_larger_mm,
        found.assd_mm,
        found.asd_mm,
        found.msd_mm,
    ):
        assert value == pytest.approx(15.0)


def test_a_block_that_is_two_columns_longer_is_two_mm_off_on_one_side_only(make_grid):
    grid = make_grid((1, 1, 12), (3.0, 2.0, 1.0))
    truth, answer = block((1, 1, 12), (0, 1), (0, 1), (0, 8)), block((1, 1, 12), (0, 1), (0, 1), (0, 10))
    found = surface_distances(truth, answer, grid)
    assert found.of_truth_mm.tolist() == [0.0] * 8
    assert sorted(found.of_answer_mm.tolist()) == [0.0] * 8 + [1.0, 2.0]
    assert found.assd_mm == pytest.approx(3 / 18)
    assert found.asd_mm == pytest.approx(3 / 10)
    assert found.msd_mm == pytest.approx((0 + 3 / 10) / 2)
    assert found.hausdorff_mm == 2.0
    # Rank 0.95 x 17 = 16.15 of the eighteen: 0.85 x 1 + 0.15 x 2. Rank 8.55 of the ten: 0.45 x 1 + 0.55 x 2.
    assert found.hd95_mm == pytest.approx(1.15)
    assert found.hd95_larger_mm == pytest.approx(1.55)


def test_slices_that_are_spaced_unevenly_are_where_they_are(make_grid):
    grid = make_grid((3, 1, 2), (2.0, 1.0, 1.0))
    grid.slice_origins_lps_mm[2, 2] += 3.0
    found = surface_distances(
        block((3, 1, 2), (0, 2), (0, 1), (0, 2)), block((3, 1, 2), (2, 3), (0, 1), (0, 2)), grid
    )
    assert found.of_truth_mm.tolist() == [7.0, 7.0, 5.0, 5.0]
    assert found.of_answer_mm.tolist() == [5.0, 5.0]


def test_the_surface_of_a_block_is_all_but_its_middle_and_open_where_the_volume_ends_if_so_wished():
    cube = np.ones((3, 3, 3), bool)
    assert surface(cube).sum() == 26
    assert surface(cube, beyond=True).sum() == 0
    assert surface(cube, axes=(1, 2)).sum() == 24  # eight of nine pixels in each slice


def test_background_is_bounded_by_the_structures_and_not_by_the_volume(make_grid):
    truth, answer = np.ones((2, 1, 1, 9), bool)
    truth[0, 0, 4], answer[0, 0, 6] = False, False
    found = surface_distances(truth, answer, make_grid((1, 1, 9), (1.0, 1.0, 1.0)), beyond=True)
    assert found.of_truth_mm.tolist() == [2.0, 0.0]  # columns 3 and 5, to 5 and 7
    assert found.of_answer_mm.tolist() == [0.0, 2.0]


def test_hd95_of_slices_is_taken_where_both_masks_are_shown(make_grid):
    truth, answer = np.zeros((2, 3, 1, 8), bool)
    truth[0, 0, 0], answer[0, 0, 3] = True, True
    truth[1, 0, 2] = True
    truth[2, 0, 5], answer[2, 0, 5] = True, True
    assert slice_hd95_mm(truth, answer, make_grid((3, 1, 8), (1.0, 1.0, 2.0))).tolist() == [6.0, 0.0]


def test_no_slice_shows_both(make_grid):
    truth, answer = np.zeros((2, 2, 1, 1), bool)
    truth[0], answer[1] = True, True
    assert slice_hd95_mm(truth, answer, make_grid((2, 1, 1))).tolist() == []


def test_an_empty_structure_has_no_distance(make_grid):
    with pytest.raises(ValueError, match="empty"):
        surface_distances(np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool), make_grid((2, 2, 2)))
