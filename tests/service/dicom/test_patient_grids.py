"""One anatomy, eight positions: left stays left."""

from __future__ import annotations

import numpy as np
import pytest

from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, sample_hu, stacked_grid
from service.dicom.slice_geometry import analyse


def left_is_bright(x, y, z):
    return np.where(x > 0, 100.0, -100.0) + np.where(y > 0, 10, -10) + np.where(z > 0, 1, -1)


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_the_same_anatomy_sits_in_every_position(position):
    grid = patient_grid(position, shape_zyx=(4, 6, 6))
    hu = sample_hu(grid, left_is_bright)
    k, row, column = 1, 2, 4
    x, y, z = grid.positions_lps_mm(k, np.array(float(row)), np.array(float(column)))
    assert hu[k, row, column] == left_is_bright(x, y, z)
    assert np.array_equal(
        np.sort(hu, axis=None),
        np.sort(sample_hu(patient_grid(shape_zyx=(4, 6, 6)), left_is_bright), axis=None),
    )


@pytest.mark.parametrize(
    ("position", "down", "into_the_gantry"),
    [
        ("HFS", (0, 1, 0), (0, 0, 1)),
        ("HFP", (0, -1, 0), (0, 0, 1)),
        ("FFS", (0, 1, 0), (0, 0, -1)),
        ("FFP", (0, -1, 0), (0, 0, -1)),
        ("HFDR", (-1, 0, 0), (0, 0, 1)),
        ("HFDL", (1, 0, 0), (0, 0, 1)),
        ("FFDR", (-1, 0, 0), (0, 0, -1)),
        ("FFDL", (1, 0, 0), (0, 0, -1)),
    ],
)
def test_rows_run_down_with_gravity_and_slices_into_the_gantry(position, down, into_the_gantry):
    """PS3.3 C.7.3.1.1.2: prone is face down, decubitus right is right side down; x is to the left."""
    grid = patient_grid(position)
    assert np.allclose(grid.row_step_lps_mm / grid.row_spacing_mm, down)
    assert np.allclose(grid.normal, into_the_gantry)


def test_a_grid_is_centred_where_it_is_asked_to_be():
    grid = patient_grid("HFDL", shape_zyx=(5, 7, 9), spacing_zyx_mm=(2, 1, 3), center_lps_mm=(10, 20, 30))
    assert np.allclose(grid.positions_lps_mm(2, np.array(3.0), np.array(4.0)), (10, 20, 30))


def test_slices_may_stand_at_any_ascending_distance():
    grid = stacked_grid(ORIENTATIONS["FFS"], [0, 2.5, 5, 10], shape_yx=(4, 4), spacing_yx_mm=(1, 1))
    assert np.allclose(grid.slice_offsets_mm, [0, 2.5, 5, 10])


def test_an_oblique_stack_is_turned_about_the_axis_and_not_tilted():
    orientation = rotated(ORIENTATIONS["HFS"], (0, 0, 1), 90)
    assert np.allclose(orientation, (0, 1, 0, -1, 0, 0))
    grid = stacked_grid(
        rotated(ORIENTATIONS["HFS"], (1, 1, 0), 8), np.arange(9) * 3.0, shape_yx=(4, 4), spacing_yx_mm=(1, 1)
    )
    cosines = np.concatenate([grid.column_step_lps_mm, grid.row_step_lps_mm])
    assert analyse(grid.slice_origins_lps_mm, np.tile(cosines, (9, 1))).refusal is None
