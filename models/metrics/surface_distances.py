"""Distances between the surfaces of two masks, from voxel centre to voxel centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics.nearest import nearest_in_slice_mm, nearest_mm
from models.volume import Grid

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Distances in mm from the truth's surface to the answer's, and back. Both have at least one."""

    of_truth_mm: Values
    of_answer_mm: Values

    @property
    def both_mm(self) -> Values:
        """Those of both directions, one after the other."""
        return np.concatenate([self.of_truth_mm, self.of_answer_mm])

    @property
    def hausdorff_mm(self) -> float:
        """The largest distance."""
        return float(self.both_mm.max())

    @property
    def hd95_mm(self) -> float:
        """95th percentile of both directions pooled."""
        return float(np.percentile(self.both_mm, 95))

    @property
    def hd95_larger_mm(self) -> float:
        """The larger of the directions' 95th percentiles."""
        return float(max(np.percentile(self.of_truth_mm, 95), np.percentile(self.of_answer_mm, 95)))

    @property
    def assd_mm(self) -> float:
        """Sum of all distances over their number."""
        return float(self.both_mm.mean())

    @property
    def asd_mm(self) -> float:
        """Mean from the answer's surface to the truth's."""
        return float(self.of_answer_mm.mean())

    @property
    def msd_mm(self) -> float:
        """Mean of the two directed means."""
        return float((self.of_truth_mm.mean() + self.of_answer_mm.mean()) / 2)


def surface_distances(truth: Mask, answer: Mask, grid: Grid, *, beyond: bool = False) -> SurfaceDistances:
    """Distances between the surfaces of two masks on any grid.

    Args:
        truth, answer: neither empty.
        grid: of both; evenly spaced or not.
        beyond: what counts as inside beyond the volume. True for background, which goes on there.

    Raises:
        ValueError: a mask is empty, so that there is no distance.
    """
    surfaces = [surface(mask, beyond=beyond) for mask in (truth, answer)]
    if not all(each.any() for each in surfaces):
        message = "there is no distance to an empty structure"
        raise ValueError(message)
    box = box_of(surfaces[0] | surfaces[1])
    of_truth, of_answer = (each[box] for each in surfaces)
    spacing = grid.slice_offsets_mm[box[0]], grid.row_spacing_mm, grid.column_spacing_mm
    return SurfaceDistances(
        nearest_mm(of_truth, of_answer, *spacing), nearest_mm(of_answer, of_truth, *spacing)
    )


def slice_hd95_mm(truth: Mask, answer: Mask, grid: Grid) -> Values:
    """95th percentile of both directions pooled, in the plane of each slice that shows both masks.

    The outline is of pixels of which one of the four neighbours in the slice is outside. A slice that shows
    only one mask has no distance and is left out; ``slice_dice`` counts it as 0.
    """
    outlines = [surface(mask, axes=(1, 2)) for mask in (truth, answer)]
    shared = np.flatnonzero(truth.any(axis=(1, 2)) & answer.any(axis=(1, 2)))
    if not len(shared):
        return np.empty(0)
    _, rows, columns = box_of(outlines[0] | outlines[1])
    of_truth, of_answer = (each[shared, rows, columns] for each in outlines)
    spacing = grid.row_spacing_mm, grid.column_spacing_mm
    distances = [
        nearest_in_slice_mm(of_truth, of_answer, *spacing),
        nearest_in_slice_mm(of_answer, of_truth, *spacing),
    ]
    slices = [np.argwhere(of_truth)[:, 0], np.argwhere(of_answer)[:, 0]]
    return np.array(
        [
            np.percentile(np.concatenate([d[at == k] for d, at in zip(distances, slices, strict=True)]), 95)
            for k in range(len(shared))
        ]
    )


def surface(mask: Mask, axes: tuple[int, ...] = (0, 1, 2), *, beyond: bool = False) -> Mask:
    """The voxels inside of which a neighbour along one of ``axes`` is outside."""
    wide = np.pad(mask, 1, constant_values=beyond)
    inner = mask.copy()
    for axis in axes:
        for start in (0, 2):
            part = [slice(1, -1)] * 3
            part[axis] = slice(start, start + mask.shape[axis])
            inner &= wide[tuple(part)]
    return mask & ~inner


def box_of(mask: Mask) -> tuple[slice, slice, slice]:
    """The smallest box that holds a mask that is not empty."""
    parts: list[slice] = []
    for axis in range(3):
        at = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        parts.append(slice(int(at[0]), int(at[-1]) + 1))
    return parts[0], parts[1], parts[2]
