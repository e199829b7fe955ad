"""Shapes on a coarse boolean grid: Euclidean opening, parts, cavities.

Opening takes arrays of NumPy and tensors of PyTorch alike, on whatever device these are.

Voxels beyond the first and last slice and beyond the border of the image count as copies of the nearest
one, so that what leaves the field of view is not eroded there.
"""

from __future__ import annotations

from typing import TypeVar

import cc3d
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]
Shape = TypeVar("Shape", Mask, Tensor)
Spacing = tuple[float, float, float]


def dilate(mask: Shape, radius_mm: float, spacing_zyx_mm: Spacing) -> Shape:
    """``mask`` grown by a ball, exact for voxel centres: the ball is a union of runs along x."""
    reach = [int(radius_mm / s) for s in spacing_zyx_mm]
    runs = [mask]
    for h in range(1, reach[2] + 1):
        run = runs[-1] | mask
        _add_shifted(run, mask, 2, h)
        _add_shifted(run, mask, 2, -h)
        runs.append(run)
    grown = mask ^ mask
    for dz in range(reach[0] + 1):
        disc = mask ^ mask
        left = radius_mm**2 - (dz * spacing_zyx_mm[0]) ** 2
        for dy in range(int(max(left, 0.0) ** 0.5 / spacing_zyx_mm[1]) + 1):
            half = max(left - (dy * spacing_zyx_mm[1]) ** 2, 0.0) ** 0.5
            for sign in (1, -1):
                _add_shifted(disc, runs[int(half / spacing_zyx_mm[2])], 1, sign * dy)
        for sign in (1, -1):
            _add_shifted(grown, disc, 0, sign * dz)
    return grown


def erode(mask: Shape, radius_mm: float, spacing_zyx_mm: Spacing) -> Shape:
    """What is left of ``mask`` where a ball fits."""
    return ~dilate(~mask, radius_mm, spacing_zyx_mm)


def opened(mask: Shape, radius_mm: float, spacing_zyx_mm: Spacing) -> Shape:
    """``mask`` without what is thinner than a ball."""
    return dilate(erode(mask, radius_mm, spacing_zyx_mm), radius_mm, spacing_zyx_mm) & mask


def parts_holding(mask: Mask, seeds: Mask) -> Mask:
    """The 6-connected parts of ``mask`` that hold a voxel of ``seeds``."""
    labels, count = cc3d.connected_components(mask, connectivity=6, return_N=True)
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.unique(labels[seeds])] = True
    keep[0] = False
    return keep[labels]


def parts_of_at_least(mask: Mask, volume_cm3: float, spacing_zyx_mm: Spacing) -> Mask:
    """The 6-connected parts of ``mask`` that are not smaller, or the largest if all are."""
    labels = cc3d.connected_components(mask, connectivity=6)
    volumes_cm3 = np.bincount(labels.ravel()) * np.prod(spacing_zyx_mm) / 1000
    volumes_cm3[0] = 0.0
    keep = (volumes_cm3 >= min(volume_cm3, volumes_cm3.max())) & (volumes_cm3 > 0)
    return keep[labels]  # type: ignore[no-any-return]


def holes_in_slices(mask: Mask) -> Mask:
    """Background that ``mask`` encloses in its own slice, by 4-connectivity."""
    holes = np.zeros_like(mask)
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        labels = cc3d.connected_components(np.pad(~mask[k], 1, constant_values=True), connectivity=4)
        holes[k] = (labels != labels[0, 0])[1:-1, 1:-1] & ~mask[k]
    return holes


def cavities(mask: Mask, passage_mm: float, spacing_zyx_mm: Spacing) -> Mask:
    """Holes in slices that no passage wider than ``passage_mm`` joins to the outside in three dimensions.

    Lungs, bowel and rectal gas are such; the air between an arm and the trunk is not, if it opens somewhere.
    """
    holes = holes_in_slices(mask)
    wide = erode(~mask, passage_mm / 2, spacing_zyx_mm)
    border = np.zeros_like(mask)
    border[:, [0, -1], :] = True
    border[:, :, [0, -1]] = True
    outside = dilate(parts_holding(wide, border & wide), passage_mm / 2, spacing_zyx_mm)
    return holes & ~outside


def _add_shifted(target: Shape, source: Shape, axis: int, by: int) -> None:
    """``target |= source`` moved by ``by`` voxels along ``axis``; nothing enters at the border."""
    if abs(by) >= source.shape[axis]:
        return
    to: list[slice] = [slice(None)] * 3
    of: list[slice] = [slice(None)] * 3
    if by > 0:
        to[axis], of[axis] = slice(by, None), slice(None, -by)
    elif by < 0:
        to[axis], of[axis] = slice(None, by), slice(-by, None)
    target[tuple(to)] |= source[tuple(of)]
