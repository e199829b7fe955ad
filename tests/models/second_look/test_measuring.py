"""Boxes and balls whose volume, height, ends, pieces and cavities can be counted on paper."""

import numpy as np
import pytest

from models.second_look.measuring import (
    look_at_ct,
    look_at_structure,
    metal_points_lps_mm,
    surface_points_lps_mm,
)
from models.volume import CtVolume, Grid, StructureField

SHAPE = (20, 30, 40)


def box(shape, *parts):
    mask = np.zeros(shape, bool)
    for z, y, x in parts:
        mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def look(mask, grid, hu=None):
    return look_at_structure(StructureField.of_mask(mask), grid, hu)


def test_a_box_is_measured_in_millimetres(make_grid):
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    seen = look(box(SHAPE, ((5, 15), (10, 20), (10, 30))), grid)
    assert seen.volume_cm3 == pytest.approx(10 * 10 * 20 * 12 / 1000)
    assert seen.height_mm == pytest.approx(30)
    assert (seen.pieces, seen.cavities_cm3, seen.gap_slices) == (1, 0, 0)
    assert seen.end_shares == (1, 1)
    assert seen.whole
    # the middle of rows 10..19 and columns 10..29 lies 0 and 0 mm from that of 30 rows and 40 columns
    assert seen.center_lps_mm == pytest.approx([0.0, 0.0, 0.0])
    assert (seen.mean_hu, seen.certainty) == (None, None)


def test_fine_pixels_are_skipped_and_nothing_moves(make_grid):
    shape = (20, 120, 160)
    grid = make_grid(shape, (3.0, 0.5, 0.5))
    mask = box(shape, ((5, 15), (40, 80), (40, 120)))
    seen = look(mask, grid)
    assert seen.volume_cm3 == pytest.approx(10 * 40 * 80 * 0.75 / 1000)
    assert seen.center_lps_mm == pytest.approx([0, 0, 0], abs=1.0)


def test_ends_are_named_after_the_patient_whichever_way_the_slices_run(make_grid):
    upright = make_grid(SHAPE, (3.0, 2.0, 2.0))
    feet_first = Grid(
        upright.slice_origins_lps_mm * (1, 1, -1),
        -upright.column_step_lps_mm,
        upright.row_step_lps_mm,
        30,
        40,
    )
    wide_below = box(SHAPE, ((0, 9), (5, 25), (10, 30)), ((9, 12), (5, 10), (10, 30)))
    seen = look(wide_below, upright)
    assert seen.end_shares == (1, 0.25)
    assert seen.ends_cut == (True, False)
    assert feet_first.normal[2] < 0
    turned = look(wide_below, feet_first)
    assert turned.end_shares == (0.25, 1)
    assert turned.ends_cut == (False, True)
    assert not turned.whole


def test_pieces_leave_specks_out(make_grid):
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    two = box(SHAPE, ((2, 8), (5, 15), (5, 15)), ((10, 16), (5, 15), (5, 15)))  # 7.2 cm3 each
    assert look(two, grid).pieces == 2
    two[18, 25, 35] = True  # 0.012 cm3
    assert look(two, grid).pieces == 2


def test_a_cavity_is_closed_on_all_sides(make_grid):
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    hollow = box(SHAPE, ((2, 12), (5, 25), (5, 25)))
    hollow[5:8, 10:15, 10:14] = False
    assert look(hollow, grid).cavities_cm3 == pytest.approx(3 * 5 * 4 * 12 / 1000)
    hollow[5:8, 10:15, 14:] = False  # now a channel leads out
    assert look(hollow, grid).cavities_cm3 == 0


def test_slices_without_it_are_counted_between_its_ends(make_grid):
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    gaps = box(SHAPE, ((2, 5), (5, 25), (5, 25)), ((7, 9), (5, 25), (5, 25)), ((10, 12), (5, 25), (5, 25)))
    assert look(gaps, grid).gap_slices == 3


def test_ct_numbers_and_certainty_are_those_within(make_grid):
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    mask = box(SHAPE, ((5, 15), (10, 20), (10, 30)))
    hu = np.where(mask, 40, -900).astype(np.int16)
    hu[5:10][mask[5:10]] = 60
    field = StructureField(np.where(mask, np.log(9), -1).astype(np.float32), (0, 0, 0))  # probability .9
    seen = look_at_structure(field, grid, hu)
    assert (seen.mean_hu, seen.std_hu) == (50, 10)
    assert seen.certainty == pytest.approx(0.9)


def test_nothing_is_nothing(make_grid):
    field = StructureField(np.full((3, 3, 3), -1, np.float32), (1, 1, 1))
    assert look_at_structure(field, make_grid(SHAPE), None) is None


def body(grid, half=20):
    """A square block of water of 2 * half columns on every slice, in air."""
    hu = np.full(grid.shape_zyx, -1000, np.int16)
    rows, columns = grid.rows // 2, grid.columns // 2
    hu[:, rows - half : rows + half, columns - half : columns + half] = 0
    return hu


def test_a_ct_is_measured(make_grid):
    grid = make_grid((10, 100, 100), (6.0, 4.0, 4.0))
    seen = look_at_ct(CtVolume(body(grid), grid))
    assert (seen.slice_spacing_mm, seen.pixel_mm, seen.height_mm) == (6, 4, 54)
    assert seen.body_diameter_mm == pytest.approx(np.sqrt(4 * 160 * 160 / np.pi))
    assert seen.body_hu == (0, 0, 0, 0, 0)
    assert seen.noise_hu == 0
    assert seen.edge_slices == 0


def test_noise_is_told_from_neighbours(make_grid):
    grid = make_grid((10, 200, 200), (6.0, 2.0, 2.0))
    hu = body(grid, 80) + np.random.default_rng(1).normal(0, 20, grid.shape_zyx)
    assert look_at_ct(CtVolume(hu.astype(np.float32), grid)).noise_hu == pytest.approx(20, rel=0.05)


def test_a_body_at_the_side_or_the_front_is_cut_and_one_at_the_couch_is_not(make_grid):
    grid = make_grid((10, 100, 100), (6.0, 4.0, 4.0))
    for window, cut in (((30, 70, 0, 40), 1), ((0, 40, 30, 70), 1), ((60, 100, 30, 70), 0)):
        hu = np.full(grid.shape_zyx, -1000, np.int16)
        hu[:, window[0] : window[1], window[2] : window[3]] = 0
        assert look_at_ct(CtVolume(hu, grid)).edge_slices == cut


def test_air_alone_is_no_body(make_grid):
    grid = make_grid((5, 20, 20))
    assert look_at_ct(CtVolume(np.full(grid.shape_zyx, -1000, np.int16), grid)) is None


def test_metal_is_found_where_it_is(make_grid):
    grid = make_grid((10, 50, 50), (3.0, 2.0, 2.0))
    hu = np.zeros(grid.shape_zyx, np.int16)
    hu[2:5, 10:15, 20:24] = 3000
    points, cm3 = metal_points_lps_mm(CtVolume(hu, grid))
    assert cm3 == pytest.approx(3 * 5 * 4 * 12 / 1000)
    assert len(points) == 60
    assert points.min(axis=0) == pytest.approx(grid.positions_lps_mm(2, np.array(10.0), np.array(20.0)))
    few, _ = metal_points_lps_mm(CtVolume(hu, grid), most=10)
    assert len(few) <= 10


def test_the_surface_is_the_rim_of_each_slice(make_grid):
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    points = surface_points_lps_mm(StructureField.of_mask(box(SHAPE, ((5, 6), (10, 14), (10, 16)))), grid)
    assert len(points) == 4 * 6 - 2 * 4
