from __future__ import annotations

import numpy as np
import pytest

from service.contouring.polygons import area, contains, keyholed, simplified, without_collinear_points
from service.dicom.polygon_filling import rasterise


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def circle(column: float, row: float, radius: float, points: int = 90) -> np.ndarray:
    t = np.arange(points) * 2 * np.pi / points
    return np.stack([column + radius * np.cos(t), row + radius * np.sin(t)], axis=1)


def test_the_area_of_a_rectangle_is_its_sides_multiplied_and_signed_by_the_way_round():
    assert area(rectangle(1, 2, 5, 8)) == pytest.approx(24)
    assert area(rectangle(1, 2, 5, 8)[::-1]) == pytest.approx(-24)


def test_a_polygon_contains_what_is_inside_and_nothing_else():
    square = rectangle(0, 0, 4, 4)
    assert contains(square, np.array([1.0, 3.0]))
    assert not contains(square, np.array([5.0, 3.0]))
    assert not contains(square, np.array([-1.0, 3.0]))


def test_points_on_straight_lines_go_and_corners_stay():
    outline = np.array([(0, 0), (1, 0), (3, 0), (3, 1), (3, 3), (1.5, 3), (0, 3), (0, 2)], dtype=float)
    assert without_collinear_points(outline).tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]


def test_simplifying_keeps_every_dropped_point_within_the_tolerance():
    from shapely import LinearRing, Point

    spacing = np.array([0.9, 1.2])
    outline = circle(30, 30, 20, 600)
    kept = simplified(outline, spacing, 0.05)
    assert len(kept) < 100
    ring = LinearRing(kept * spacing)
    assert max(ring.distance(Point(point)) for point in outline * spacing) <= 0.05 + 1e-9


def test_a_keyhole_encloses_the_ring_without_its_holes():
    outer, holes = rectangle(2.5, 2.5, 17.5, 17.5), [circle(7, 8, 3), circle(13, 12, 2)]
    joined = keyholed(outer, holes)
    expected = rasterise([outer, *holes], 20, 20)
    assert (rasterise([joined], 20, 20) == expected).all()
    assert abs(area(joined)) == pytest.approx(225 - abs(area(holes[0])) - abs(area(holes[1])))


def test_the_channel_of_a_keyhole_runs_straight_up_and_meets_no_pixel_centre():
    hole = np.array([(9, 7.5), (9.5, 8), (9, 8.5), (8.5, 8)])
    joined = keyholed(rectangle(2.5, 2.5, 17.5, 17.5), [hole])
    points, count = np.unique(np.round(joined, 9), axis=0, return_counts=True)
    channel = points[count == 2]
    assert channel[:, 0].tolist() == [9.25, 9.25]
    assert channel[:, 1].tolist() == [2.5, 7.75]


def test_holes_above_one_another_are_joined_through_each_other():
    holes = [circle(10, 14, 2), circle(10, 6, 2)]
    outer = rectangle(2.5, 2.5, 17.5, 17.5)
    assert (rasterise([keyholed(outer, holes)], 20, 20) == rasterise([outer, *holes], 20, 20)).all()


def test_a_hole_narrower_than_half_a_pixel_is_joined_beside_the_centre_that_it_holds():
    hole = np.array([(9, 7.99), (9.02, 8), (9, 8.01), (8.99, 8)])
    outer = rectangle(2.5, 2.5, 17.5, 17.5)
    inside = rasterise([keyholed(outer, [hole])], 20, 20)
    assert not inside[8, 9]
    assert inside.sum() == 15 * 15 - 1
