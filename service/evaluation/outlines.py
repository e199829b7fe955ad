"""Whether two drawings of one slice are the same outline, whatever vertices it is written with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.volume import FloatArray

_POINTS_AT_ONCE: Final = 256
_ROUNDING_MM: Final = 1e-6

MOST_VERTICES: Final = 20_000
"""On one slice, of both outlines: with more, they are the same only if every number is."""


def same_outline(one: Sequence[FloatArray], other: Sequence[FloatArray], within_mm: float) -> bool:
    """Whether no vertex of either is farther from the other's outline than ``within_mm``.

    A planning system that was only shown a contour writes its numbers anew, rounded, begun elsewhere, with
    vertices left out or put between; the outline stays where it is. An outline that leaves another one has a
    vertex away from it.

    Args:
        one, other: closed polygons of one slice, each ``(n, 2)`` mm; at least one polygon each.
    """
    if _is_equal(one, other, within_mm):
        return True
    if sum(len(polygon) for polygon in (*one, *other)) > MOST_VERTICES:
        return False
    return _lies_on(one, other, within_mm) and _lies_on(other, one, within_mm)


def _is_equal(one: Sequence[FloatArray], other: Sequence[FloatArray], within_mm: float) -> bool:
    """The same vertices in the same order, each within the tolerance of its own."""
    return [polygon.shape for polygon in one] == [polygon.shape for polygon in other] and all(
        bool((np.hypot(*(a - b).T) <= within_mm).all()) for a, b in zip(one, other, strict=True)
    )


def _lies_on(one: Sequence[FloatArray], other: Sequence[FloatArray], within_mm: float) -> bool:
    start = np.concatenate(other)
    step = np.concatenate([np.roll(polygon, -1, axis=0) - polygon for polygon in other])
    length = np.maximum((step**2).sum(axis=1), np.finfo(np.float64).tiny)
    points = np.concatenate(one)
    limit = (within_mm + _ROUNDING_MM) ** 2
    for first in range(0, len(points), _POINTS_AT_ONCE):
        offset = points[first : first + _POINTS_AT_ONCE, None] - start
        along = np.clip((offset * step).sum(axis=2) / length, 0.0, 1.0)
        squares = ((offset - along[..., None] * step) ** 2).sum(axis=2)
        if (squares.min(axis=1) > limit).any():
            return False
    return True
