"""Plane polygons: area, containment, fewer points, keyholes.

A polygon is ``(n, 2)`` (column, row) in pixels, whole numbers at pixel centres; its last point is joined to
its first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray

_STRAIGHT: Final = 1e-9
"""Twice the area, in pixels squared, under which a corner is no corner."""


def area(polygon: FloatArray) -> float:
    """Signed area, positive if the points turn from the column axis to the row axis."""
    x, y = (polygon - polygon[0]).T  # the edges at the first point then span nothing
    return float(x[:-1] @ y[1:] - y[:-1] @ x[1:]) / 2


def contains(polygon: FloatArray, point: FloatArray) -> bool:
    """Whether the point lies inside, by counting the edges that a ray crosses."""
    _, columns = _crossings(polygon, float(point[1]), axis=1)
    return bool((columns > point[0]).sum() % 2)


def without_collinear_points(polygon: FloatArray) -> FloatArray:
    """Drop points on the straight line between their neighbours: the outline stays what it was."""
    closed = np.concatenate([polygon[-1:], polygon, polygon[:1]])
    x, y = (closed[1:] - closed[:-1]).T
    turn = x[:-1] * y[1:] - y[:-1] * x[1:]
    corners: FloatArray = polygon[np.abs(turn) > _STRAIGHT]
    return corners


def simplified(polygon: FloatArray, spacing_mm: FloatArray, tolerance_mm: float) -> FloatArray:
    """Keep the points without which the outline would move by more than a tolerance (Douglas and Peucker).

    Args:
        polygon: ``(n, 2)`` in pixels.
        spacing_mm: ``(2,)`` size of a pixel along the two axes.
        tolerance_mm: largest distance of a dropped point from the new outline.
    """
    points = polygon * spacing_mm
    closed = np.vstack([points, points[:1]])
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    keep = np.zeros(len(closed), dtype=bool)
    keep[[0, far, -1]] = True
    pending = [(0, far), (far, len(points))]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        distance = _distance_from_chord(closed[first + 1 : last], closed[first], closed[last])
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance_mm:
            split = first + 1 + worst
            keep[split] = True
            pending += [(first, split), (split, last)]
    return polygon[keep[:-1]]


def keyholed(outer: FloatArray, holes: Sequence[FloatArray]) -> FloatArray:
    """One polygon of an outer ring and its holes, joined by channels of no width (PS3.3 C.8.8.6.3).

    Each channel runs from the top of its hole straight up to what lies above: another hole already joined, or
    the outer ring. Holes run round the other way than the outer ring, for readers that count windings.
    """
    ring = outer
    for hole in sorted(holes, key=lambda points: float(points[:, 1].min())):
        opened = _opened_at_top(hole if area(hole) * area(outer) < 0 else hole[::-1])
        column, top = opened[0]
        edges, rows = _crossings(ring, float(column), axis=0)
        above = np.where(rows < top, rows, -np.inf)
        hit = int(np.argmax(above))
        door = np.array([[column, rows[hit]]])
        cut = int(edges[hit]) + 1
        ring = np.vstack([ring[:cut], door, opened, opened[:1], door, ring[cut:]])
    return ring


def _opened_at_top(hole: FloatArray) -> FloatArray:
    """The hole, beginning at the new point where its channel leaves.

    The channel's column lies a quarter of a pixel beside the topmost vertex: never on a pixel centre, where a
    reader would have to say on which side of a line of no width it is, and never through a vertex of a mask.
    """
    left, right = float(hole[:, 0].min()), float(hole[:, 0].max())
    nearest = float(np.rint(hole[np.argmin(hole[:, 1]), 0]))
    inside = [column for column in (nearest + 0.25, nearest - 0.25) if left < column < right]
    column = inside[0] if inside else _off_centre(left, right)
    edges, rows = _crossings(hole, column, axis=0)
    first = int(np.argmin(rows))
    return np.vstack([[[column, rows[first]]], np.roll(hole, -int(edges[first]) - 1, axis=0)])


def _off_centre(left: float, right: float) -> float:
    """A column between two less than a pixel apart: the middle of the wider part beside a pixel centre."""
    centre = float(np.rint((left + right) / 2))
    if not left < centre < right:
        return (left + right) / 2
    return (left + centre) / 2 if centre - left > right - centre else (centre + right) / 2


def _crossings(polygon: FloatArray, value: float, *, axis: int) -> tuple[NDArray[np.intp], FloatArray]:
    """Edges that cross the line where coordinate ``axis`` has this value, and their other coordinate there.

    An edge holds its lower end and not its upper one, so that a vertex on the line counts once.
    """
    below = polygon[:, axis] <= value
    crosses = below.copy()
    crosses[:-1] ^= below[1:]
    crosses[-1] ^= below[0]
    edges = np.flatnonzero(crosses)
    a, b = polygon[edges], polygon[(edges + 1) % len(polygon)]
    part = (value - a[:, axis]) / (b[:, axis] - a[:, axis])
    return edges, a[:, 1 - axis] + part * (b[:, 1 - axis] - a[:, 1 - axis])


def _distance_from_chord(points: FloatArray, first: FloatArray, last: FloatArray) -> FloatArray:
    chord = last - first
    length_squared = float(chord @ chord)
    along = (points - first) @ chord / length_squared if length_squared else np.zeros(len(points))
    offset = points - first - np.clip(along, 0, 1)[:, None] * chord
    return np.hypot(offset[:, 0], offset[:, 1])
