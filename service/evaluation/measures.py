"""What a reviewer changed in one structure, in three dimensions and slice by slice.

Both contours are read by the node's own reader and filled on the CT's grid, voxels whose centres they
enclose: *ours* is the answer, *theirs* the truth, as in :mod:`models.metrics`, whose definitions hold. What
has no value is absent: there is no distance to a contour that encloses no voxel.

===========================  =============================================================================
``dsc``                      2|A and B| / (|A| + |B|) of all voxels (Dice 1945)
``jaccard``                  |A and B| / |A or B| (Jaccard 1912)
``hd95_mm``                  95th percentile of the distances of both surfaces, pooled (Huttenlocher 1993)
``assd_mm``                  their mean (Heimann 2009)
``msd_mm``                   the mean of both directions' means (Sartor 2020)
``surface_dsc``              part of both surfaces within the tolerance of the other (Nikolov 2018,
                             arXiv 1809.04430)
``added_path_mm``            outline pixels of theirs that are none of ours, times the pixel's width, over
                             all slices (Vaassen 2020, doi 10.1016/j.phro.2019.12.001)
``volume_cm3``               ours; ``reviewed_volume_cm3`` theirs: voxels times voxel volume
``centroid_shift_mm``        distance of the two centres of gravity
``slices_added_superior``    slices with a contour of theirs above the uppermost of ours; and inferior, below
``slices_removed_superior``  slices with a contour of ours above the uppermost of theirs; and inferior, below
``slices_in_common``         slices with a contour of both
``contours_untouched``       part of our slices on which the outline is still ours: no vertex of either is
                             farther from the other's outline than the tolerance for it
``worst_slice_dsc``          smallest DSC of a slice in common
===========================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.metrics import (
    added_path_mm,
    dice,
    jaccard,
    surface_distances,
    surface_elements,
    volume_cm3,
)
from models.volume import FloatArray, Grid
from service.backlog.review_records import SliceMeasures, SliceState
from service.dicom.polygon_filling import fill
from service.evaluation.outlines import same_outline

Polygons = Mapping[int, tuple[FloatArray, ...]]
"""By slice index, each ``(n, 2)`` (column, row) in pixels."""

Mask = NDArray[np.bool_]

MOST_VOXELS: Final = 60_000_000
"""In a larger box about both, surfaces are not compared: that takes some tens of bytes for each voxel."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measures by their keys, and the slices from the feet upwards."""

    measures: dict[str, float]
    slices: tuple[SliceMeasures, ...]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """``surface_mm`` of the surface DSC; ``untouched_mm`` within which an outline is still the same."""

    surface_mm: float
    untouched_mm: float


def measure(ours: Polygons, theirs: Polygons, grid: Grid, tolerances: Tolerances) -> Measured:
    """Compare one structure; both have at least one contour.

    Args:
        ours, theirs: on the grid's slices.
        grid: of the CT.
    """
    box = _Box.about(ours, theirs, grid)
    answer, truth = box.filled(ours), box.filled(theirs)
    upwards = 1 if grid.normal[2] >= 0 else -1
    path = added_path_mm(truth, answer, box.grid)
    slices = tuple(
        SliceMeasures(
            position_mm=round(float(grid.slice_origins_lps_mm[k] @ grid.normal) * upwards, 3),
            dsc=dice(truth[k - box.first], answer[k - box.first]),
            added_path_mm=float(path[k - box.first]),
            state=_state(ours.get(k, ()), theirs.get(k, ()), grid, tolerances.untouched_mm),
        )
        for k in sorted(ours.keys() | theirs.keys())[::upwards]
    )
    measures = {
        "dsc": dice(truth, answer),
        "jaccard": jaccard(truth, answer),
        "added_path_mm": float(path.sum()),
        "volume_cm3": volume_cm3(answer, box.grid),
        "reviewed_volume_cm3": volume_cm3(truth, box.grid),
        **_of_ends([k * upwards for k in ours], [k * upwards for k in theirs]),
        **_of_slices(slices, len(ours)),
    }
    if answer.any() and truth.any():
        measures["centroid_shift_mm"] = float(
            np.linalg.norm(_centroid_lps_mm(truth, box.grid) - _centroid_lps_mm(answer, box.grid))
        )
        if truth.size <= MOST_VOXELS:
            measures |= _of_surfaces(truth, answer, box.grid, tolerances.surface_mm)
    return Measured(measures, slices)


def overlap(one: Polygons, other: Polygons, grid: Grid) -> tuple[float, float, float]:
    """Volumes in cm3 of the one, of the other, and of what they have in common."""
    if not one or not other:
        return 0.0, 0.0, 0.0
    box = _Box.about(one, other, grid)
    a, b = box.filled(one), box.filled(other)
    return volume_cm3(a, box.grid), volume_cm3(b, box.grid), volume_cm3(a & b, box.grid)


@dataclass(frozen=True, slots=True)
class _Box:
    """A part of a grid, and where in it that is: measures of what lies inside are those of the whole grid.

    It reaches one slice and one pixel farther than the contours where there are any, so that the widths of
    slices and the outside of surfaces are those of the CT.
    """

    grid: Grid
    first: int
    corner: FloatArray  # (column, row)

    @classmethod
    def about(cls, ours: Polygons, theirs: Polygons, grid: Grid) -> _Box:
        """The smallest one for two structures."""
        on = ours.keys() | theirs.keys()
        first, last = max(min(on) - 1, 0), min(max(on) + 1, grid.shape_zyx[0] - 1)
        points = np.concatenate(
            [each for polygons in (ours, theirs) for k in polygons for each in polygons[k]]
        )
        most = np.array([grid.columns, grid.rows])
        low = np.clip(np.floor(points.min(axis=0)) - 1, 0, most - 1).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 2, low + 1, most).astype(int)
        shift = low[0] * grid.column_step_lps_mm + low[1] * grid.row_step_lps_mm
        part = Grid(
            slice_origins_lps_mm=grid.slice_origins_lps_mm[first : last + 1] + shift,
            column_step_lps_mm=grid.column_step_lps_mm,
            row_step_lps_mm=grid.row_step_lps_mm,
            rows=int(high[1] - low[1]),
            columns=int(high[0] - low[0]),
        )
        return cls(part, first, low.astype(np.float64))

    def filled(self, polygons: Polygons) -> Mask:
        """The voxels that contours enclose, ``grid.shape_zyx``."""
        mask = np.zeros(self.grid.shape_zyx, dtype=np.bool_)
        for k, on_slice in polygons.items():
            fill(mask[k - self.first], [polygon - self.corner for polygon in on_slice])
        return mask


def _state(
    ours: Sequence[FloatArray], theirs: Sequence[FloatArray], grid: Grid, untouched_mm: float
) -> SliceState:
    if not theirs:
        return "removed"
    if not ours:
        return "added"
    pixel_mm = np.array([grid.column_spacing_mm, grid.row_spacing_mm])
    here, there = ([polygon * pixel_mm for polygon in polygons] for polygons in (ours, theirs))
    return "untouched" if same_outline(here, there, untouched_mm) else "edited"


def _of_ends(ours: Sequence[int], theirs: Sequence[int]) -> dict[str, float]:
    """What was added and removed beyond either end; slices counted upwards."""
    return {
        "slices_added_superior": float(sum(k > max(ours) for k in theirs)),
        "slices_removed_superior": float(sum(k > max(theirs) for k in ours)),
        "slices_added_inferior": float(sum(k < min(ours) for k in theirs)),
        "slices_removed_inferior": float(sum(k < min(theirs) for k in ours)),
    }


def _of_slices(slices: Sequence[SliceMeasures], ours: int) -> dict[str, float]:
    common = [each for each in slices if each.state in ("untouched", "edited")]
    found = {
        "slices_in_common": float(len(common)),
        "contours_untouched": sum(each.state == "untouched" for each in slices) / ours,
    }
    if common:
        found["worst_slice_dsc"] = min(each.dsc for each in common)
    return found


def _of_surfaces(truth: Mask, answer: Mask, grid: Grid, tolerance_mm: float) -> dict[str, float]:
    if np.array_equal(truth, answer):  # as most are that nobody touched, the body's outline above all
        return {"hd95_mm": 0.0, "assd_mm": 0.0, "msd_mm": 0.0, "surface_dsc": 1.0}
    distances = surface_distances(truth, answer, grid)
    return {
        "hd95_mm": distances.hd95_mm,
        "assd_mm": distances.assd_mm,
        "msd_mm": distances.msd_mm,
        "surface_dsc": surface_elements(truth, answer, grid).surface_dice(tolerance_mm),
    }


def _centroid_lps_mm(mask: Mask, grid: Grid) -> FloatArray:
    """``(3,)`` mean of the positions of the voxels, each weighed with its volume."""
    counts = mask.sum(axis=(1, 2))
    rows = mask.sum(axis=2) @ np.arange(grid.rows)  # of each slice, the sum of its voxels' rows
    columns = mask.sum(axis=1) @ np.arange(grid.columns)
    widths = grid.slice_widths_mm
    where = counts[:, None] * grid.slice_origins_lps_mm
    where = where + rows[:, None] * grid.row_step_lps_mm + columns[:, None] * grid.column_step_lps_mm
    found: FloatArray = widths @ where / (widths @ counts)
    return found
