import numpy as np
import pytest
from scipy.spatial import cKDTree

from models.metrics import dice, jaccard, surface_distances


def block(shape, z, y, x):
    mask = np.zeros(shape, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def test_dice_and_jaccard_of_blocks_that_share_a_third():
    a = block((1, 1, 6), (0, 1), (0, 1), (0, 4))
    b = block((1, 1, 6), (0, 1), (0, 1), (2, 6))
    assert dice(a, b) == 0.5
    assert jaccard(a, b) == pytest.approx(1 / 3)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert (dice(empty, empty), jaccard(empty, empty)) == (1.0, 1.0)
    assert (dice(empty, full), jaccard(empty, full)) == (0.0, 0.0)


def test_plates_five_slices_of_three_mm_apart_are_fifteen_mm_apart(make_grid):
    grid = make_grid((8, 5, 5), (3.0, 2.0, 1.0))
    found = surface_distances(
        block((8, 5, 5), (1, 2), (0, 5), (0, 5)), block((8, 5, 5), (6, 7), (0, 5), (0, 5)), grid
    )
    for value in (found.hausdorff, found.hd95, found.hd95_larger, found.assd, found.msd):
        assert value == pytest.approx(15.0)


def test_a_block_that_is_two_columns_longer_is_two_mm_off_on_one_side_only(make_grid):
    grid = make_grid((1, 1, 12), (3.0, 2.0, 1.0))
    a, b = block((1, 1, 12), (0, 1), (0, 1), (0, 8)), block((1, 1, 12), (0, 1), (0, 1), (0, 10))
    found = surface_distances(a, b, grid)
    assert found.there_mm.tolist() == [0.0] * 8
    assert sorted(found.back_mm.tolist()) == [0.0] * 8 + [1.0, 2.0]
    assert found.assd == pytest.approx(3 / 18)
    assert found.msd == pytest.approx((0 + 3 / 10) / 2)
    assert found.hausdorff == 2.0


def test_distances_agree_with_a_search_tree_on_random_blobs(make_grid):
    rng = np.random.default_rng(3)
    grid = make_grid((9, 20, 22), (4.0, 1.5, 1.1))
    a, b = (rng.random((9, 20, 22)) > 0.7 for _ in range(2))
    found = surface_distances(a, b, grid)
    scale = np.array([4.0, 1.5, 1.1])
    padded = [np.pad(m, 1) for m in (a, b)]
    points = []
    for m, wide in zip((a, b), padded, strict=True):
        inner = np.ones_like(m)
        for axis in range(3):
            for by in (-1, 1):
                inner &= np.roll(wide, by, axis)[1:-1, 1:-1, 1:-1]
        points.append(np.argwhere(m & ~inner) * scale)
    there = cKDTree(points[1]).query(points[0])[0]
    back = cKDTree(points[0]).query(points[1])[0]
    np.testing.assert_allclose(np.sort(found.there_mm), np.sort(there), atol=1e-4)
    np.testing.assert_allclose(np.sort(found.back_mm), np.sort(back), atol=1e-4)


def test_an_empty_structure_has_no_distance(make_grid):
    with pytest.raises(ValueError, match="empty"):
        surface_distances(np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool), make_grid((2, 2, 2)))


def test_uneven_slices_are_refused(make_grid):
    grid = make_grid((3, 2, 2))
    grid.slice_origins_lps_mm[2, 2] += 1.0
    with pytest.raises(ValueError, match="evenly"):
        surface_distances(np.ones((3, 2, 2), bool), np.ones((3, 2, 2), bool), grid)
