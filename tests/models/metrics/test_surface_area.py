import numpy as np
import pytest

from models.metrics import surface_elements

TRIANGLE = np.sqrt(3) / 8  # of a corner that is cut off a cube of 1 mm: sides of the root of a half
ROOF = np.sqrt(0.5)  # of an edge that is cut off


def row(columns, first, end):
    mask = np.zeros((1, 1, columns), bool)
    mask[..., first:end] = True
    return mask


def test_a_voxel_is_an_octahedron_and_a_block_has_faces_roofs_and_corners(make_grid):
    grid = make_grid((4, 4, 4), (1.0, 1.0, 1.0))
    one, block = np.zeros((2, 4, 4, 4), bool)
    one[1, 1, 1], block[1:3, 1:3, 1:3] = True, True
    found = surface_elements(one, block, grid)
    assert found.truth_mm2.sum() == pytest.approx(8 * TRIANGLE)
    assert found.answer_mm2.sum() == pytest.approx(8 * TRIANGLE + 12 * ROOF + 6)


def test_a_voxel_that_is_twice_as_long_has_longer_faces(make_grid):
    one = np.ones((1, 1, 1), bool)
    grid = make_grid((1, 1, 1), (1.0, 2.0, 2.0))  # a single slice is 1 mm thick
    a, b, c = 0.5, 1.0, 1.0
    face = np.sqrt((a * b) ** 2 + (b * c) ** 2 + (c * a) ** 2) / 2
    assert surface_elements(one, one, grid).truth_mm2.tolist() == pytest.approx([face] * 8)


def test_half_of_a_voxels_surface_is_one_column_off_when_it_is_moved_by_one(make_grid):
    grid = make_grid((1, 1, 3), (1.0, 1.0, 1.5))
    found = surface_elements(row(3, 0, 1), row(3, 1, 2), grid)
    assert sorted(found.truth_mm.tolist()) == [0.0] * 4 + [1.5] * 4
    assert found.surface_dice(0.0) == pytest.approx(0.5)
    assert found.surface_dice(1.4) == pytest.approx(0.5)
    assert found.surface_dice(1.5) == 1.0


def test_the_overlap_of_either_surface_is_its_own(make_grid):
    grid = make_grid((1, 1, 3), (1.0, 1.0, 1.0))
    found = surface_elements(row(3, 0, 1), row(3, 0, 2), grid)  # the answer is a voxel longer
    assert found.overlap_of_truth(0.5) == 1.0
    near, all_of_it = 4 * TRIANGLE + 4 * ROOF, 8 * TRIANGLE + 4 * ROOF
    assert found.overlap_of_answer(0.5) == pytest.approx(near / all_of_it)
    assert found.surface_dice(0.5) == pytest.approx((8 * TRIANGLE + near) / (8 * TRIANGLE + all_of_it))


def test_a_wider_gap_between_slices_makes_that_wall_higher(make_grid):
    grid = make_grid((3, 1, 1), (1.0, 1.0, 1.0))
    grid.slice_origins_lps_mm[2, 2] += 3.0  # slices at 0, 1 and 5 mm
    found = surface_elements(np.ones((3, 1, 1), bool), np.ones((3, 1, 1), bool), grid)
    walls = sorted(found.truth_mm2)[4:12]  # four corners below 1 mm high, four above 4 mm high
    assert sorted(found.truth_mm2)[:4] == pytest.approx([TRIANGLE] * 4)
    assert walls[:4] == pytest.approx([ROOF] * 4)
    assert sorted(found.truth_mm2)[-4:] == pytest.approx([4 * ROOF] * 4)


def test_an_empty_structure_has_no_surface(make_grid):
    with pytest.raises(ValueError, match="empty"):
        surface_elements(np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool), make_grid((2, 2, 2)))
