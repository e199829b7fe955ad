"""Margins towards the patient's right, left, anterior, posterior, superior and inferior on a CT's array."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.volume import Grid
from service.config.derivation import Margins

_TOWARDS: Final = (("L", "R"), ("P", "A"), ("S", "I"))
"""Patient axes x, y, z (LPS): the direction in which each grows, and the other one."""


def by_array_axis(margins: Margins, grid: Grid) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The margins towards lower and towards higher indices of the array's axes (slice, row, column).

    An axis that is not quite one of the patient's counts as the nearest.
    """
    lower, higher = [], []
    for direction in _directions(grid):
        axis = int(np.argmax(np.abs(direction)))
        grows, shrinks = _TOWARDS[axis] if direction[axis] > 0 else _TOWARDS[axis][::-1]
        higher.append(float(getattr(margins, grows)))
        lower.append(float(getattr(margins, shrinks)))
    return tuple(lower), tuple(higher)


def off_axis_degrees(grid: Grid) -> float:
    """How far the array's axes are from the patient's, at most."""
    nearest = min(float(np.abs(direction).max()) for direction in _directions(grid))
    return float(np.degrees(np.arccos(min(nearest, 1.0))))


def _directions(grid: Grid) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Unit vectors along the array's axes, LPS."""
    steps = (grid.normal, grid.row_step_lps_mm, grid.column_step_lps_mm)
    return [step / np.linalg.norm(step) for step in steps]
