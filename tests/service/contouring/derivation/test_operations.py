"""Balls, boxes and slabs after each operation are what paper says, and what SimpleITK's filters say."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_structures import as_field, ball

from models.volume import Grid, StructureField
from service.contouring.derivation import operations as do
from service.contouring.derivation.distance import Lattice
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, stacked_grid

GRID = patient_grid("HFS", shape_zyx=(32, 80, 84), spacing_zyx_mm=(2.5, 1.0, 0.9))
LATTICE = Lattice.of(GRID)
MIDDLE = GRID.positions_lps_mm(16, np.array(40.0), np.array(42.0)) + np.array([0.3, 0.2, 0.4])
UNEVEN = stacked_grid(
    ORIENTATIONS["HFS"],
    np.cumsum([0, *[2.0] * 9, *[5.0] * 6, *[2.5] * 8]),
    shape_yx=(64, 64),
    spacing_yx_mm=(1, 1),
)


def sphere(radius_mm: float, offset=(0.0, 0.0, 0.0), grid: Grid = GRID, middle=None) -> StructureField:
    return as_field(ball(grid, (MIDDLE if middle is None else middle) + np.array(offset), radius_mm))


def brick(
    half_mm=(10.1, 12.3, 11.2), lattice: Lattice = LATTICE
) -> tuple[StructureField, list[tuple[float, float]]]:
    """A box about the middle of the lattice with faces between voxels: the field and its faces by axis."""
    faces, depth = [], np.full(lattice.shape_zyx, np.inf)
    for axis, half in enumerate(half_mm):
        places = lattice.places_mm[axis]
        centre = places[len(places) // 2] + 0.21
        faces.append((centre - half, centre + half))
        shape = [1, 1, 1]
        shape[axis] = -1
        depth = np.minimum(depth, (half - np.abs(places - centre)).reshape(shape))
    return as_field(depth), faces


def found_faces(part: StructureField, lattice: Lattice = LATTICE) -> list[tuple[float, float]]:
    """Where the zero level crosses the lines through the middle of the part, by axis."""
    inside = np.argwhere(part.field > 0)
    middle = ((inside.min(axis=0) + inside.max(axis=0)) // 2).astype(int)
    faces = []
    for axis in range(3):
        at = list(middle)
        at[axis] = slice(None)
        line = part.field[tuple(at)]
        places = lattice.places_mm[axis][part.slices_zyx[axis]]
        crossing = [
            places[i] + line[i] / (line[i] - line[i + 1]) * (places[i + 1] - places[i])
            for i in np.flatnonzero((line[1:] > 0) != (line[:-1] > 0))
        ]
        faces.append((float(crossing[0]), float(crossing[-1])))
    return faces


def ball_cm3(radius_mm: float) -> float:
    return 4 / 3 * np.pi * radius_mm**3 / 1000


def mask(part: StructureField | None) -> np.ndarray:
    return part.mask(GRID.shape_zyx)


def image(values: np.ndarray) -> sitk.Image:
    made = sitk.GetImageFromArray(values.astype(np.uint8))
    made.SetSpacing((0.9, 1.0, 2.5))
    return made


def array(made: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(made) > 0


def test_union_intersection_and_difference_are_those_of_the_masks():
    one, other = sphere(14.0, (-5, 0, 0)), sphere(12.0, (7, 3, 2))
    a, b = image(mask(one)), image(mask(other))
    assert (mask(do.union([one, other])) == array(sitk.Or(a, b))).all()
    assert (mask(do.intersection([one, other])) == array(sitk.And(a, b))).all()
    assert (mask(do.away_from(one, [other], 0, LATTICE)) == array(sitk.And(a, sitk.Not(b) == 1))).all()
    together = do.union([one, other]).volume_cm3(GRID) + do.intersection([one, other]).volume_cm3(GRID)
    assert together == pytest.approx(one.volume_cm3(GRID) + other.volume_cm3(GRID))


def test_what_does_not_meet_leaves_nothing():
    one, other = sphere(6.0, (-20, 0, 0)), sphere(6.0, (20, 0, 0))
    assert do.intersection([one, other]) is None
    assert do.away_from(one, [sphere(12.0, (-20, 0, 0))], 0, LATTICE) is None
    assert do.margin(one, -7.0, LATTICE) is None


@pytest.mark.parametrize("mm", [0.7, 2.0, 5.0, 9.3])
def test_a_margin_moves_the_faces_of_a_brick_by_itself(mm):
    part, faces = brick()
    for (low, high), (was_low, was_high) in zip(
        found_faces(do.margin(part, mm, LATTICE)), faces, strict=True
    ):
        assert (was_low - low, high - was_high) == pytest.approx((mm, mm), abs=0.01)


@pytest.mark.parametrize("mm", [0.7, 3.0, 6.0])
def test_a_negative_margin_moves_them_inwards(mm):
    part, faces = brick()
    for (low, high), (was_low, was_high) in zip(
        found_faces(do.margin(part, -mm, LATTICE)), faces, strict=True
    ):
        assert (low - was_low, was_high - high) == pytest.approx((mm, mm), abs=0.01)


def test_a_margin_rounds_the_edges_of_a_brick():
    """Steiner's formula: volume, surface times the margin, edges as quarters of cylinders, corners as eighths of balls."""
    part, faces = brick()
    a, b, c = (high - low for low, high in faces)
    mm = 6.0
    expected = (
        a * b * c + 2 * (a * b + b * c + c * a) * mm + np.pi * (a + b + c) * mm**2 + 4 / 3 * np.pi * mm**3
    )
    before = part.volume_cm3(GRID) / (a * b * c / 1000)  # voxels counted whole
    assert do.margin(part, mm, LATTICE).volume_cm3(GRID) == pytest.approx(
        expected / 1000, rel=0.012 + abs(1 - before)
    )


@pytest.mark.parametrize("mm", [-6.0, -3.0, 2.0, 5.0, 8.0])
@pytest.mark.parametrize("from_mask", [False, True])
def test_a_ball_with_a_margin_is_a_ball(mm, from_mask):
    values = ball(GRID, MIDDLE, 20.0)
    grown = do.margin(as_field(values, from_mask=from_mask), mm, LATTICE)
    assert grown.volume_cm3(GRID) == pytest.approx(ball_cm3(20 + mm), rel=0.08 if from_mask else 0.012)
    true = ball(GRID, MIDDLE, 20.0 + mm)[grown.slices_zyx]  # of a mask: to half a voxel, as its surface is
    wrong = (grown.field > 0) != (true > 0)
    assert np.abs(true[wrong]).max(initial=0) < (1.25 if from_mask else 0.25)


def test_a_margin_and_its_negative_bring_a_ball_back():
    grown = do.margin(do.margin(sphere(15.0), 6.0, LATTICE), -6.0, LATTICE)
    true = ball(GRID, MIDDLE, 15.0)
    assert np.abs(true[mask(grown) != (true > 0)]).max(initial=0) < 0.25


def test_a_margin_agrees_with_simpleitks_distance_to_half_a_voxel():
    part = StructureField.of_mask(ball(GRID, MIDDLE, 15.0) > 0)
    grown = mask(do.margin(part, 6.0, LATTICE))
    away = sitk.SignedMaurerDistanceMap(image(mask(part)), squaredDistance=False, useImageSpacing=True)
    distance = sitk.GetArrayFromImage(away)  # from the centres of the mask's outermost voxels
    assert grown[distance <= 6.0].all()  # the surface lies beyond these
    assert not grown[distance > 6.0 + 1.25].any()


def test_slices_that_lie_unevenly_count_with_their_own_distances():
    """A ball about the place where slices of 2 mm become slices of 5 mm: the margin is 7 mm on both sides."""
    middle = UNEVEN.positions_lps_mm(9, np.array(31.6), np.array(32.2))
    lattice = Lattice.of(UNEVEN)
    grown = do.margin(sphere(14.0, grid=UNEVEN, middle=middle), 7.0, lattice)
    true = ball(UNEVEN, middle, 21.0)
    wrong = grown.mask(UNEVEN.shape_zyx) != (true > 0)
    assert np.abs(true[wrong]).max(initial=0) < 0.3
    assert found_faces(grown, lattice)[0][1] == pytest.approx(
        18 + 14 + 7, abs=0.2
    )  # between slices 5 mm apart


def test_margins_that_differ_by_direction_move_each_face_by_its_own():
    part, faces = brick()
    lower, higher = (6.0, 2.0, 0.0), (3.0, 7.0, 4.5)
    grown = do.directed_margin(part, lower, higher, LATTICE)
    for axis, ((low, high), (was_low, was_high)) in enumerate(zip(found_faces(grown), faces, strict=True)):
        assert (was_low - low, high - was_high) == pytest.approx((lower[axis], higher[axis]), abs=0.03)


def test_negative_margins_that_differ_by_direction_do_so_too():
    part, faces = brick()
    lower, higher = (-3.0, 0.0, -2.0), (-1.5, -4.0, 0.0)
    shrunk = do.directed_margin(part, lower, higher, LATTICE)
    for axis, ((low, high), (was_low, was_high)) in enumerate(zip(found_faces(shrunk), faces, strict=True)):
        assert (low - was_low, was_high - high) == pytest.approx((-lower[axis], -higher[axis]), abs=0.03)


def test_a_directed_margin_of_a_point_is_an_ellipsoid_by_octants():
    """Semi-axes 12, 8, 6 and 5, 10, 9 mm: the octants' volumes are those of ellipsoids."""
    point = sphere(0.6 * 2.5)
    lower, higher = (12.0, 8.0, 6.0), (5.0, 10.0, 9.0)
    grown = do.directed_margin(point, lower, higher, LATTICE)
    each = 1.5  # the ball about which it is
    sides = [(a + each) + (b + each) for a, b in zip(lower, higher, strict=True)]
    expected = np.prod(sides) * np.pi / 6 / 1000
    assert grown.volume_cm3(GRID) == pytest.approx(expected, rel=0.06)


def test_equal_margins_in_all_directions_are_a_margin():
    part = sphere(13.0)
    directed = do.directed_margin(part, (5.0,) * 3, (5.0,) * 3, LATTICE)
    assert (mask(directed) == mask(do.margin(part, 5.0, LATTICE))).all()


def test_a_ring_is_what_lies_between_two_margins():
    part = sphere(11.0)
    ring = do.ring(part, 3.0, 9.0, LATTICE)
    assert ring.volume_cm3(GRID) == pytest.approx(ball_cm3(20.0) - ball_cm3(14.0), rel=0.02)
    assert not (mask(ring) & mask(do.margin(part, 2.5, LATTICE))).any()


def test_inside_keeps_away_from_the_other_ones_surface():
    """A ball that reaches out of a larger one is cut 4 mm within it."""
    body, part = sphere(30.0), sphere(12.0, (22, 0, 0))
    true = np.minimum(ball(GRID, MIDDLE + np.array([22, 0, 0]), 12.0), ball(GRID, MIDDLE, 26.0))
    wrong = mask(do.inside(part, body, 4.0, LATTICE)) != (true > 0)
    assert np.abs(true[wrong]).max(initial=0) < 0.25
    plain = mask(do.inside(part, body, 0.0, LATTICE))
    assert (plain == (mask(part) & mask(body))).all()


def test_away_from_keeps_a_distance_from_others():
    part, others = sphere(16.0), [sphere(8.0, (14, 0, 0)), sphere(7.0, (-12, 8, 0)), sphere(4.0, (0, 0, 38))]
    true = ball(GRID, MIDDLE, 16.0)
    for offset, radius in (((14, 0, 0), 8.0), ((-12, 8, 0), 7.0)):
        true = np.minimum(true, -ball(GRID, MIDDLE + np.array(offset), radius + 3.0))
    wrong = mask(do.away_from(part, others, 3.0, LATTICE)) != (true > 0)
    assert np.abs(true[wrong]).max(initial=0) < 0.3


@pytest.mark.parametrize("what", ["cavities", "slices"])
def test_holes_are_filled_as_simpleitk_fills_them(what):
    """A closed cavity, and a tunnel along z that only slices see as a hole."""
    rows, columns = np.mgrid[: GRID.rows, : GRID.columns]
    tunnel = (rows - 40) ** 2 + (columns - 48) ** 2 < 16
    values = np.minimum(ball(GRID, MIDDLE, 20.0), -ball(GRID, MIDDLE + np.array([-8, 0, 0]), 5.0))
    values[:, tunnel] = -1.0
    part = as_field(values)
    found = mask(do.filled(part, what))
    if what == "cavities":
        expected = array(sitk.BinaryFillhole(image(mask(part))))
    else:
        slices = [
            array(sitk.BinaryFillhole(sitk.GetImageFromArray(one.astype(np.uint8)))) for one in mask(part)
        ]
        expected = np.stack(slices)
    assert (found == expected).all()
    assert found.sum() > mask(part).sum()


def test_the_largest_piece_is_the_one_that_simpleitk_keeps():
    part = do.union([sphere(9.0, (-15, 0, 0)), sphere(10.0, (16, 0, 0)), sphere(3.0, (0, 20, 0))])
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(image(mask(part)), True))
    assert (mask(do.largest(part, GRID)) == (sitk.GetArrayFromImage(pieces) == 1)).all()


def test_the_largest_piece_is_so_by_volume_and_not_by_voxels():
    """20 voxels on slices of 2 mm are less than 14 on slices of 5 mm."""
    thin = np.zeros(UNEVEN.shape_zyx, bool)
    thin[4, 10, 10:30] = True
    thick = np.zeros(UNEVEN.shape_zyx, bool)
    thick[12, 40, 10:24] = True
    kept = do.largest(StructureField.of_mask(thin | thick), UNEVEN)
    assert (kept.mask(UNEVEN.shape_zyx) == thick).all()


def test_smoothing_takes_a_spike_and_leaves_the_volume_of_a_ball():
    values = ball(GRID, MIDDLE, 18.0)
    values[16, 40, 42:66] = 1.0  # a spike a voxel wide
    smooth = do.smoothed(as_field(values), 2.0, LATTICE)
    assert not mask(smooth)[16, 40, 64]
    assert smooth.volume_cm3(GRID) == pytest.approx(ball_cm3(18.0), rel=0.015)
    true = ball(GRID, MIDDLE, 18.0)
    assert np.abs(true[mask(smooth) != (true > 0)]).max(initial=0) < 1.2


def test_smoothing_leaves_a_plane_where_it_is():
    part, faces = brick((30.0, 31.0, 30.0))
    for (low, high), (was_low, was_high) in zip(
        found_faces(do.smoothed(part, 1.5, LATTICE)), faces, strict=True
    ):
        assert (low, high) == pytest.approx((was_low, was_high), abs=0.12)


def test_every_result_leaves_a_voxel_of_margin():
    for part in (
        do.margin(sphere(9.0), 3.0, LATTICE),
        do.ring(sphere(9.0), 2.0, 5.0, LATTICE),
        do.union([sphere(5.0)]),
    ):
        z, y, x = part.field.shape
        edges = [
            part.field[0],
            part.field[z - 1],
            part.field[:, 0],
            part.field[:, y - 1],
            part.field[:, :, x - 1],
        ]
        assert max(edge.max() for edge in edges) <= 0
