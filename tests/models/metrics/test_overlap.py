import numpy as np
import pytest

from models.metrics import dice, jaccard, slice_dice, volume_cm3


def row(shape, first, end):
    mask = np.zeros(shape, bool)
    mask[..., first:end] = True
    return mask


def test_dice_and_jaccard_of_blocks_that_share_a_third():
    a, b = row((1, 1, 6), 0, 4), row((1, 1, 6), 2, 6)
    assert dice(a, b) == 0.5
    assert jaccard(a, b) == pytest.approx(1 / 3)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert (dice(empty, empty), jaccard(empty, empty)) == (1.0, 1.0)
    assert (dice(empty, full), jaccard(empty, full)) == (0.0, 0.0)


def test_dice_of_slices_leaves_out_those_that_show_neither_and_counts_those_that_show_one_as_nothing():
    truth, answer = np.zeros((2, 4, 1, 6), bool)
    truth[0], answer[0] = row((1, 6), 0, 4), row((1, 6), 2, 6)  # 2 of 8 / 2
    truth[1] = row((1, 6), 0, 3)  # the answer begins a slice too late
    truth[3] = answer[3] = row((1, 6), 0, 3)
    assert slice_dice(truth, answer).tolist() == [0.5, 0.0, 1.0]
    assert dice(truth, answer) == 10 / 17  # what counts voxels counts the small error less


def test_no_slice_is_counted_where_both_masks_are_empty():
    empty = np.zeros((3, 2, 2), bool)
    assert slice_dice(empty, empty).tolist() == []


def test_the_volume_of_a_voxel_is_that_of_its_own_slice(make_grid):
    grid = make_grid((3, 2, 2), (10.0, 5.0, 2.0))
    mask = np.zeros((3, 2, 2), bool)
    mask[1] = True
    assert volume_cm3(mask, grid) == pytest.approx(0.4)  # four voxels of 100 mm3
    grid.slice_origins_lps_mm[2, 2] += 20.0  # the middle slice now reaches 5 mm down and 15 mm up
    assert volume_cm3(mask, grid) == pytest.approx(0.8)
