"""From the network's grid back to the CT's own voxels, only where a structure is."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.preprocess import Axis, NetworkGrid
from models.volume import StructureField

Box = tuple[slice, slice, slice]

_LEAST_PROBABILITY: Final = 1e-4  # logit margins stay within +-9.2


def margin(probabilities: NDArray[np.float32], best: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logit margin of one class: log of its probability over the ``best`` of the others."""
    own = np.log(np.maximum(probabilities, _LEAST_PROBABILITY))
    own -= np.log(np.maximum(best, _LEAST_PROBABILITY))
    return own


def margin_over_threshold(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Logit of a sigmoid output's probability less that of its threshold; within +-9.2 of the latter."""
    own = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    found: NDArray[np.float32] = np.log(own / (1 - own)) - np.float32(np.log(threshold / (1 - threshold)))
    return found


def cropped(margin_zyx: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int, int]] | None:
    """A copy of the box around what is positive, one voxel wider where there is room, and its corner."""
    box = _positive_box(margin_zyx)
    if box is None:
        return None
    return margin_zyx[box].copy(), (box[0].start, box[1].start, box[2].start)


def field_on_ct(
    margin_part: NDArray[np.float32], corner: tuple[int, int, int], grid: NetworkGrid
) -> StructureField | None:
    """The field on the CT's grid, linear between the network's voxels; None if no CT voxel is positive.

    Args:
        margin_part: part of the logit margin, axes head, posterior, left, as :func:`cropped` gives it.
        corner: its first voxel on the network's grid.
        grid: how the two grids belong together.
    """
    array = grid.to_array_order(margin_part)
    corners = _corner_in_array_order(margin_part.shape, corner, grid)
    box: list[slice] = []
    for axis in range(3):
        box.append(_covering(grid.axes[axis], corners[axis], corners[axis] + array.shape[axis] - 1))
    for axis in (2, 1, 0):  # slices last: the arrays between stay small
        array = _interpolated(array, axis, grid.axes[axis], corners[axis], box[axis])
    tight = _positive_box(array)
    if tight is None:
        return None
    start = tuple(box[axis].start + tight[axis].start for axis in range(3))
    return StructureField(np.ascontiguousarray(array[tight]), (start[0], start[1], start[2]))


def _corner_in_array_order(
    shape: tuple[int, ...], corner: tuple[int, int, int], grid: NetworkGrid
) -> tuple[int, int, int]:
    found = [0, 0, 0]
    for i, axis in enumerate(grid.order):
        count = grid.axes[axis].count
        found[axis] = count - corner[i] - shape[i] if grid.reversed_[i] else corner[i]
    return found[0], found[1], found[2]


def _covering(axis: Axis, first: int, last: int) -> slice:
    """The CT's voxels from network voxel ``first`` to ``last``, to the very end where these are the ends."""
    centers = axis.network_centers_mm
    low = centers[first] if first > 0 else -np.inf
    high = centers[last] if last < axis.count - 1 else np.inf
    return slice(
        int(np.searchsorted(axis.centers_mm, low)), int(np.searchsorted(axis.centers_mm, high, "right"))
    )


def _interpolated(
    array: NDArray[np.float32], axis: int, along: Axis, first: int, part: slice
) -> NDArray[np.float32]:
    """``array``, which begins at network voxel ``first`` of ``axis``, at the CT's voxels ``part``."""
    if along.own:
        return array.take(np.arange(part.start - first, part.stop - first), axis)
    at = (along.centers_mm[part] - along.network_centers_mm[first]) / along.spacing_mm
    at = np.clip(at, 0, array.shape[axis] - 1)
    lower = at.astype(np.intp)
    upper = np.minimum(lower + 1, array.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    found: NDArray[np.float32] = array.take(lower, axis)
    step = array.take(upper, axis)
    step -= found
    step *= (at - lower).astype(np.float32).reshape(shape)
    found += step
    return found


def _positive_box(array: NDArray[np.float32]) -> Box | None:
    inside = array > 0
    parts: list[slice] = []
    for axis in range(3):
        at = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(at):
            return None
        parts.append(slice(max(int(at[0]) - 1, 0), min(int(at[-1]) + 2, array.shape[axis])))
    return parts[0], parts[1], parts[2]
