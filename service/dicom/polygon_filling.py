"""Which pixel centres polygons enclose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray


def rasterise(polygons: Sequence[FloatArray], rows: int, columns: int) -> NDArray[np.bool_]:
    """Which pixel centres lie inside an odd number of polygons, ``(rows, columns)``; exact, no sampling.

    Even-odd over all polygons of the slice reads keyholes, CLOSEDPLANAR_XOR and nested CLOSED_PLANAR contours
    alike. A centre exactly on an edge counts as inside on the lower side of rows and columns, outside on the
    upper one, so that polygons which share an edge never both hold a centre.
    """
    mask = np.zeros((rows, columns), dtype=np.bool_)
    fill(mask, polygons)
    return mask


def fill(mask: NDArray[np.bool_], polygons: Sequence[FloatArray]) -> None:
    """As :func:`rasterise`, into an image ``(rows, columns)`` that is False everywhere."""
    rows, columns = mask.shape
    start = np.concatenate(polygons)
    end = np.concatenate([part for polygon in polygons for part in (polygon[1:], polygon[:1])])
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.clip(np.ceil(low), 0, rows).astype(np.intp)
    count = np.maximum(np.clip(np.ceil(high), 0, rows).astype(np.intp) - first, 0)
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    a, b = start[edge], end[edge]
    at = a[:, 0] + (row - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    column = np.clip(np.ceil(at), 0, columns).astype(np.intp)
    if not len(row):
        return
    # Only within the box of the crossings: left of it none lies behind, right of it an even number.
    top, left = int(row.min()), int(column.min())
    height, width = int(row.max()) - top + 1, int(column.max()) - left + 1
    crossings = np.bincount((row - top) * width + column - left, minlength=height * width).astype(np.uint8)
    # The sum of bytes wraps at an even number: whether it is odd stays right.
    odd = np.cumsum(crossings.reshape(height, width), axis=1, dtype=np.uint8) & 1
    visible = min(width, columns - left)
    mask[top : top + height, left : left + visible] = odd[:, :visible]
