import numpy as np
import pytest
from scipy.spatial import cKDTree

from models.metrics.nearest import nearest_in_slice_mm, nearest_mm


def voxel(shape, *places):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def test_three_columns_four_rows_and_twelve_millimetres_up_are_thirteen_away():
    at, to = voxel((3, 5, 4), (0, 0, 0)), voxel((3, 5, 4), (2, 4, 3))
    positions = np.array([0.0, 1.0, 12.0])
    assert nearest_mm(at, to, positions, 1.0, 1.0).tolist() == [13.0]
    assert nearest_mm(at, to, positions / 12, 0.5, 2 / 3).tolist() == [3.0]  # 1, 2 and 2


def test_the_nearest_of_several_is_found_past_a_slice_that_holds_none():
    at = voxel((4, 1, 5), (0, 0, 0), (3, 0, 4))
    to = voxel((4, 1, 5), (0, 0, 4), (2, 0, 0))
    found = nearest_mm(at, to, np.array([0.0, 1.0, 3.0, 10.0]), 1.0, 1.0)
    assert found.tolist() == [3.0, pytest.approx(np.sqrt(49 + 16))]


def test_within_a_slice_the_others_do_not_count():
    at, to = voxel((2, 3, 3), (0, 0, 0), (1, 1, 1)), voxel((2, 3, 3), (0, 2, 0), (0, 1, 1))
    found = nearest_in_slice_mm(at, to, 2.0, 1.5)
    assert found.tolist() == [2.5, np.inf]


def test_uneven_slices_agree_with_a_search_tree_to_a_billionth():
    rng = np.random.default_rng(7)
    at, to = rng.random((2, 12, 30, 25)) > 0.96
    positions = np.cumsum(rng.uniform(0.5, 9.0, 12))

    def points(mask):
        z, y, x = np.argwhere(mask).T
        return np.stack([positions[z], y * 1.7, x * 0.9], axis=1)

    expected = cKDTree(points(to)).query(points(at))[0]
    np.testing.assert_allclose(nearest_mm(at, to, positions, 1.7, 0.9), expected, rtol=0, atol=1e-9)
