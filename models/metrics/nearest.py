"""Exact distances to the nearest voxel of a mask, on slices that may be spaced unevenly.

The squared distance is the least sum of three squares, one for each axis, so it is found axis by axis: along
a row from the neighbours to either side, then over the slices, then over the rows, where only the voxels that
are asked for are looked at.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

_AT_ONCE: Final = 1_000_000


def nearest_mm(
    at: Mask, to: Mask, slice_positions_mm: Values, row_spacing_mm: float, column_spacing_mm: float
) -> Values:
    """Distance in mm from each voxel of ``at`` to the nearest voxel of ``to``, both ``(z, y, x)`` bool.

    Args:
        at: where it is asked for; the answer is in the order of ``numpy.argwhere``.
        to: not empty.
        slice_positions_mm: ``(z,)`` ascending.
        row_spacing_mm, column_spacing_mm: within a slice.
    """
    squares = _over_slices(_along_rows(to, column_spacing_mm), slice_positions_mm)
    return np.sqrt(_over_rows(squares, at, row_spacing_mm))


def nearest_in_slice_mm(at: Mask, to: Mask, row_spacing_mm: float, column_spacing_mm: float) -> Values:
    """The same within each slice alone; infinite in a slice where ``to`` is empty."""
    return np.sqrt(_over_rows(_along_rows(to, column_spacing_mm), at, row_spacing_mm))


def _along_rows(to: Mask, spacing_mm: float) -> Values:
    """Squared distance to the nearest voxel of the same row; infinite where the row has none."""
    found = np.empty(to.shape)
    columns = np.arange(to.shape[2], dtype=np.float64)
    for of_slice, nearest in zip(to, found, strict=True):  # one by one, to need memory for one only
        left = np.maximum.accumulate(np.where(of_slice, columns, -np.inf), axis=1)
        right = np.minimum.accumulate(np.where(of_slice, columns, np.inf)[:, ::-1], axis=1)[:, ::-1]
        np.minimum(columns - left, right - columns, out=nearest)
        nearest *= spacing_mm
        nearest *= nearest
    return found


def _over_slices(squares: Values, positions_mm: Values) -> Values:
    """The least of each column of slices, each raised by its own squared distance along z."""
    found = squares.copy()
    for k, here in enumerate(found):
        for j in np.argsort(np.abs(positions_mm - positions_mm[k]), kind="stable")[1:]:
            raised = (positions_mm[k] - positions_mm[j]) ** 2
            if raised >= here.max():
                break  # no slice further away can be nearer
            np.minimum(here, squares[j] + raised, out=here)
    return found


def _over_rows(squares: Values, at: Mask, spacing_mm: float) -> Values:
    """The least over the rows, for the voxels asked for."""
    columns = np.ascontiguousarray(squares.transpose(0, 2, 1))  # each is read as a whole, and many of them
    z, y, x = np.nonzero(at)
    found = np.empty(len(z))
    rows = np.arange(at.shape[1])
    together = max(1, _AT_ONCE // at.shape[1])
    for start in range(0, len(z), together):
        part = slice(start, start + together)
        raised = columns[z[part], x[part]]
        raised += ((rows - y[part, None]) * spacing_mm) ** 2
        raised.min(axis=1, out=found[part])
    return found
