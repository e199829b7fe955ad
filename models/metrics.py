"""How alike two contourings are. Every definition is written down, because papers differ in them.

Masks are ``(slices, rows, columns)`` bool on one grid. A surface voxel is one inside whose 6-neighbourhood is
not all inside (beyond the volume counts as outside). A surface distance is the distance in mm from the centre
of a surface voxel of one mask to the nearest centre of a surface voxel of the other; it is measured in both
directions, and the two sets are not of the same size.

================  ==========================================================================================
``dice``          DSC = 2 |A and B| / (|A| + |B|), in three dimensions; 1 if both are empty
``jaccard``       JSC = |A and B| / |A or B|; 1 if both are empty
``hausdorff``     the largest of all distances of both directions
``hd95``          95th percentile, linear between ranks, of the distances of both directions pooled
``hd95_larger``   the larger of the two directions' own 95th percentiles
``assd``          average symmetric surface distance: the sum of all distances over their number
``msd``           mean surface distance: the mean of the two directions' means
================  ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.volume import Grid

Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> float:
    """DSC, 0 to 1."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def jaccard(a: Mask, b: Mask) -> float:
    """JSC, 0 to 1."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Distances in mm from the one surface to the other, and back."""

    there_mm: NDArray[np.float64]
    back_mm: NDArray[np.float64]

    @property
    def hausdorff(self) -> float:
        """The largest distance, mm."""
        return float(max(self.there_mm.max(), self.back_mm.max()))

    @property
    def hd95(self) -> float:
        """95th percentile of both directions pooled, mm."""
        return float(np.percentile(np.concatenate([self.there_mm, self.back_mm]), 95))

    @property
    def hd95_larger(self) -> float:
        """The larger of the directions' 95th percentiles, mm."""
        return float(max(np.percentile(self.there_mm, 95), np.percentile(self.back_mm, 95)))

    @property
    def assd(self) -> float:
        """Sum of all distances over their number, mm."""
        return float(np.concatenate([self.there_mm, self.back_mm]).mean())

    @property
    def msd(self) -> float:
        """Mean of the two directed means, mm."""
        return float((self.there_mm.mean() + self.back_mm.mean()) / 2)


def surface_distances(a: Mask, b: Mask, grid: Grid) -> SurfaceDistances:
    """Distances between the surfaces of two masks on an evenly spaced grid.

    Raises:
        ValueError: a mask is empty, so that there is no distance, or the slices are not evenly spaced.
    """
    if not a.any() or not b.any():
        message = "there is no distance to an empty structure"
        raise ValueError(message)
    gaps = np.diff(grid.slice_offsets_mm)
    if len(gaps) and np.ptp(gaps) > 0.01:
        message = "surface distances need evenly spaced slices; resample first"
        raise ValueError(message)
    spacing = (float(gaps.mean()) if len(gaps) else 1.0, grid.row_spacing_mm, grid.column_spacing_mm)
    box = _box(a | b)
    surface_a, surface_b = _surface(a)[box], _surface(b)[box]
    there = _distance_to(surface_b, spacing)[surface_a]
    back = _distance_to(surface_a, spacing)[surface_b]
    return SurfaceDistances(there.astype(np.float64), back.astype(np.float64))


def _surface(mask: Mask) -> Mask:
    wide = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(3):
        for start in (0, 2):
            part = [slice(1, -1)] * 3
            part[axis] = slice(start, start + mask.shape[axis])
            inner &= wide[tuple(part)]
    return mask & ~inner


def _box(mask: Mask) -> tuple[slice, ...]:
    parts: list[slice] = []
    for axis in range(3):
        at = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        parts.append(slice(int(at[0]), int(at[-1]) + 1))
    return tuple(parts)


def _distance_to(surface: Mask, spacing_zyx_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Distance in mm of every voxel to the nearest voxel of ``surface``."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.pad(surface, 1).astype(np.uint8))  # the filter needs some background
    image.SetSpacing(spacing_zyx_mm[::-1])  # type: ignore[no-untyped-call]
    distance = sitk.SignedMaurerDistanceMap(  # type: ignore[no-untyped-call]
        image, squaredDistance=False, useImageSpacing=True
    )
    found: NDArray[np.float32] = np.abs(sitk.GetArrayFromImage(distance))
    return found[1:-1, 1:-1, 1:-1]
