import numpy as np
import pytest

from models.synthetic_ct.phantoms.slab import MARGIN_MM, Slab, union
from models.synthetic_ct.phantoms.solids import Capsule, Plate, Points, ball, ellipsoid, refined, sheet, tube
from models.volume import Grid


def cube(half_mm: float, spacing_mm: float, turn: np.ndarray | None = None) -> Slab:
    n = int(2 * half_mm / spacing_mm)
    axes = (np.eye(3) if turn is None else turn) * spacing_mm
    corner = -(n - 1) / 2 * axes.sum(0)
    grid = Grid(corner + np.arange(n)[:, None] * axes[2], axes[0], axes[1], n, n)
    return Slab.of(grid, 0, n, np.zeros(3))


def at(*positions: tuple[float, float, float]) -> Points:
    x, y, z = np.array(positions, np.float32).T
    return Points(x, y, z)


def volume(solids, spacing_mm: float) -> float:
    field = union([solids], cube(25, spacing_mm))
    assert field is not None
    return float((field.distance < 0).sum()) * spacing_mm**3


def test_distances_of_a_ball_a_bar_and_a_plate_by_hand():
    assert ball((1, 2, 3), 5).distance(at((1, 2, 11), (1, 2, 8), (1, 2, 6))).tolist() == pytest.approx(
        [8 - 5, 0, -2]
    )
    bar = Capsule(np.zeros(3), np.array([10.0, 0, 0]), 2.0, 4.0)
    assert bar.distance(at((5, 7, 0), (0, 0, 0), (13, 0, 0))).tolist() == pytest.approx([4, -2, -1])
    plate = Plate(np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0.0]]), np.array([2.0, 2, 2]))
    assert plate.distance(at((5, 5, 0), (5, 5, 6), (-5, 0, 0))).tolist() == pytest.approx([-2, 4, 3])


def test_a_plate_is_as_thick_as_its_corners_say():
    plate = Plate(np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0.0]]), np.array([1.0, 3, 5]))
    middle = (20 / 3, 20 / 3, 0.0)
    assert float(plate.distance(at(middle))[0]) == pytest.approx(-3)


def test_volumes_are_those_of_the_formulas():
    assert volume([ball((0.3, 0, 0), 10)], 0.5) == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    assert volume([ellipsoid((0, 0, 0), (6, 9, 14), 0.3)], 0.5) == pytest.approx(
        4 / 3 * np.pi * 6 * 9 * 14, rel=0.01
    )
    assert volume(tube([(-8, 0, 0), (8, 0, 0)], 5.0), 0.5) == pytest.approx(
        np.pi * 25 * 16 + 4 / 3 * np.pi * 125, rel=0.01
    )


def test_a_sheet_has_the_volume_of_its_rounded_rectangle():
    corners = [[(-10, -10, 0), (-10, 10, 0)], [(10, -10, 0), (10, 10, 0)]]
    slab, rim, knobs = 20 * 20 * 6, 80 * np.pi * 9 / 2, 4 / 3 * np.pi * 27
    assert volume(sheet(corners, 3.0, refine=2), 0.5) == pytest.approx(slab + rim + knobs, rel=0.015)


def test_every_edge_of_a_sheet_is_rounded_by_one_of_its_plates():
    plates = sheet([[(0, 0, 0), (0, 20, 0)], [(20, 0, 0), (20, 20, 0)]], 2.0, refine=2)
    for edge in ((10, -1.5, 0), (10, 21.5, 0), (-1.5, 10, 0), (21.5, 10, 0)):
        assert min(float(p.distance(at(edge))[0]) for p in plates) == pytest.approx(-0.5, abs=1e-4)


def test_refining_keeps_the_points_and_a_straight_line_straight():
    line = np.array([[0.0, 0], [1, 2], [2, 4]])
    fine = refined(line, 4)
    assert fine[::4] == pytest.approx(line)
    assert fine[:, 1] == pytest.approx(2 * fine[:, 0])


def test_the_window_of_an_oblique_slab_misses_no_voxel_near_the_body():
    angle = np.deg2rad(25)
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    ) @ np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    slab = cube(30, 2, turn)
    body = ball((6, -9, 4), 8)
    everywhere = body.distance(slab.points)
    field = union([[body]], slab)
    assert field is not None
    near = everywhere < MARGIN_MM
    inside_window = np.zeros_like(near)
    inside_window[field.window] = True
    assert not (near & ~inside_window).any()
    assert field.distance[near[field.window]] == pytest.approx(everywhere[near], abs=1e-4)


def test_bodies_elsewhere_leave_nothing():
    assert union([[ball((500, 0, 0), 8)]], cube(10, 2)) is None


def test_a_blended_joint_is_wider_than_a_hard_one_and_only_there():
    groups = [tube([(-10, 0, 0), (10, 0, 0)], 4.0), tube([(0, -10, 0), (0, 10, 0)], 4.0)]
    slab = cube(20, 1)
    hard, soft = union(groups, slab, 0.0), union(groups, slab, 5.0)
    assert hard is not None
    assert soft is not None
    assert (soft.distance <= hard.distance + 1e-6).all()
    gained = slab.points[soft.window]
    far = (np.abs(gained.x) > 15) | (np.abs(gained.y) > 15)
    changed = (soft.distance < 0) & (hard.distance >= 0)
    assert changed.any()
    assert not (changed & far).any()
