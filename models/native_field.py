"""From the network's grid back to the CT's own voxels, only where a structure is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.preprocess import Axis, NetworkGrid
from models.volume import StructureField

Box = tuple[slice, slice, slice]
_Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]  # neighbours, weight of the upper

_LEAST_PROBABILITY: Final = 1e-4  # logit margins stay within +-9.2


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
    box = _positive_boxes([torch.from_numpy(margin_zyx)])[0]
    if box is None:
        return None
    return margin_zyx[box].copy(), (box[0].start, box[1].start, box[2].start)


def field_on_ct(
    margin_part: NDArray[np.float32], corner: tuple[int, int, int], grid: NetworkGrid
) -> StructureField | None:
    """The field on the CT's grid of one structure; None if no CT voxel is positive.

    Args:
        margin_part: part of the logit margin, axes head, posterior, left, as :func:`cropped` gives it.
        corner: its first voxel on the network's grid.
        grid: how the two grids belong together.
    """
    return fields_on_ct([torch.from_numpy(np.ascontiguousarray(margin_part))], [corner], grid)[0]


@torch.inference_mode()
def fields_on_ct(
    parts: Sequence[Tensor], corners: Sequence[tuple[int, int, int]], grid: NetworkGrid
) -> list[StructureField | None]:
    """Fields on the CT's grid, linear between the network's voxels; None where no CT voxel is positive.

    Args:
        parts: parts of logit margins, axes head, posterior, left, all on one device, which is asked once for
            where they are positive and then for no more than that.
        corners: their first voxels on the network's grid.
        grid: how the two grids belong together.
    """
    arrays = [grid.to_array_order(part).contiguous() for part in parts]
    boxes: list[list[slice]] = []
    places: list[_Places | slice] = []
    for part, corner in zip(parts, corners, strict=True):
        begins = _corner_in_array_order(part.shape, corner, grid)
        box = []
        for axis, first in enumerate(begins):
            along, count = grid.axes[axis], part.shape[grid.order.index(axis)]
            box.append(_covering(along, first, first + count - 1))
            places.append(_places(along, first, count, box[axis]))
        boxes.append(box)
    at = _sent(places, parts[0].device) if parts else []
    for i in range(len(arrays)):
        for axis in (2, 1, 0):  # slices last: the arrays between stay small
            arrays[i] = _interpolated(arrays[i], axis, at[3 * i + axis])
    fields: list[StructureField | None] = []
    for array, box, tight in zip(arrays, boxes, _positive_boxes(arrays), strict=True):
        if tight is None:
            fields.append(None)
            continue
        z, y, x = (whole.start + part.start for whole, part in zip(box, tight, strict=True))
        fields.append(StructureField(array[tight].contiguous().cpu().numpy(), (z, y, x)))
    return fields


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


def _places(along: Axis, first: int, count: int, part: slice) -> _Places | slice:
    """Where the CT's voxels ``part`` lie among ``count`` of the network's that begin at ``first``."""
    if along.own:
        return slice(part.start - first, part.stop - first)
    at = (along.centers_mm[part] - along.network_centers_mm[first]) / along.spacing_mm
    at = np.clip(at, 0, count - 1)
    lower = at.astype(np.int64)
    return lower, np.minimum(lower + 1, count - 1), (at - lower).astype(np.float32)


def _sent(
    places: Sequence[_Places | slice], device: torch.device
) -> list[tuple[Tensor, Tensor, Tensor] | slice]:
    """The same on ``device``, sent there at once."""
    numbers = [each for each in places if not isinstance(each, slice)]
    if not numbers:
        return [each for each in places if isinstance(each, slice)]
    sizes = [len(lower) for lower, _, _ in numbers]
    lower, upper, weight = (
        torch.split(torch.from_numpy(np.concatenate(column)).to(device), sizes)
        for column in zip(*numbers, strict=True)
    )
    sent = zip(lower, upper, weight, strict=True)
    return [each if isinstance(each, slice) else next(sent) for each in places]


def _interpolated(array: Tensor, axis: int, places: tuple[Tensor, Tensor, Tensor] | slice) -> Tensor:
    if isinstance(places, slice):
        return array.narrow(axis, places.start, places.stop - places.start)
    lower, upper, weight = places
    shape = [1, 1, 1]
    shape[axis] = -1
    found = array.index_select(axis, lower)
    step = array.index_select(axis, upper).sub_(found)
    return found.addcmul_(step, weight.reshape(shape))


def _positive_boxes(arrays: Sequence[Tensor]) -> list[Box | None]:
    """Around what is positive in each, one voxel wider where there is room; the device is asked once."""
    lines: list[Tensor] = []
    for array in arrays:
        inside = array > 0
        planes = inside.any(dim=2), inside.any(dim=1)  # (z, y), (z, x)
        lines += [planes[0].any(dim=1), planes[0].any(dim=0), planes[1].any(dim=0)]
    found = torch.cat(lines).cpu().numpy() if lines else np.zeros(0, bool)
    parts: list[slice | None] = []
    for line in np.split(found, np.cumsum([len(line) for line in lines])[:-1]) if lines else ():
        at = np.flatnonzero(line)
        parts.append(slice(max(int(at[0]) - 1, 0), min(int(at[-1]) + 2, len(line))) if len(at) else None)
    boxes: list[Box | None] = []
    for i in range(0, len(parts), 3):
        z, y, x = parts[i : i + 3]
        boxes.append(None if z is None or y is None or x is None else (z, y, x))
    return boxes
