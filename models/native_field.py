"""From the network's grid back to the CT's own voxels, only where a structure is."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.preprocess import Axis, NetworkGrid
from models.volume import StructureField

Box = tuple[slice, slice, slice]

_LEAST_PROBABILITY: Final = 1e-4  # logit margins stay within +-9.2
_CPU: Final = torch.device("cpu")


def margin(probabilities: Tensor, best: Tensor) -> Tensor:
    """Logit margin of one class: log of its probability over the ``best`` of the others."""
    own = probabilities.clamp(min=_LEAST_PROBABILITY).log_()
    return own.sub_(best.clamp(min=_LEAST_PROBABILITY).log_())


def margin_over_threshold(probabilities: Tensor, threshold: float) -> Tensor:
    """Logit of a sigmoid output's probability less that of its threshold; within +-9.2 of the latter."""
    own = probabilities.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return own.logit().sub_(float(np.log(threshold / (1 - threshold))))


def cropped(margin_zyx: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, int, int]] | None:
    """A copy of the box around what is positive, one voxel wider where there is room, and its corner."""
    box = _positive_box(torch.from_numpy(margin_zyx))
    if box is None:
        return None
    return margin_zyx[box].copy(), (box[0].start, box[1].start, box[2].start)


@torch.inference_mode()
def field_on_ct(
    margin_part: NDArray[np.float32],
    corner: tuple[int, int, int],
    grid: NetworkGrid,
    device: torch.device = _CPU,
) -> StructureField | None:
    """The field on the CT's grid, linear between the network's voxels; None if no CT voxel is positive.

    Args:
        margin_part: part of the logit margin, axes head, posterior, left, as :func:`cropped` gives it.
        corner: its first voxel on the network's grid.
        grid: how the two grids belong together.
        device: where it is computed; only the field itself comes back from there.
    """
    array = torch.from_numpy(np.ascontiguousarray(grid.to_array_order(margin_part))).to(device)
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
    return StructureField(array[tight].contiguous().cpu().numpy(), (start[0], start[1], start[2]))


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


def _interpolated(array: Tensor, axis: int, along: Axis, first: int, part: slice) -> Tensor:
    """``array``, which begins at network voxel ``first`` of ``axis``, at the CT's voxels ``part``."""
    if along.own:
        return array.narrow(axis, part.start - first, part.stop - part.start)
    at = (along.centers_mm[part] - along.network_centers_mm[first]) / along.spacing_mm
    at = np.clip(at, 0, array.shape[axis] - 1)
    lower = torch.from_numpy(at.astype(np.int64))
    upper = (lower + 1).clamp_(max=array.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    weight = torch.from_numpy(at).sub_(lower).float().reshape(shape).to(array.device)
    found = array.index_select(axis, lower.to(array.device))
    step = array.index_select(axis, upper.to(array.device)).sub_(found)
    return found.addcmul_(step, weight)


def _positive_box(array: Tensor) -> Box | None:
    """Around what is positive, one voxel wider where there is room."""
    parts: list[slice] = []
    inside = array > 0
    planes = inside.any(dim=2), inside.any(dim=1)  # (z, y), (z, x)
    for axis, line in enumerate((planes[0].any(dim=1), planes[0].any(dim=0), planes[1].any(dim=0))):
        at = torch.nonzero(line.cpu()).flatten()
        if not len(at):
            return None
        parts.append(slice(max(int(at[0]) - 1, 0), min(int(at[-1]) + 2, array.shape[axis])))
    return parts[0], parts[1], parts[2]
