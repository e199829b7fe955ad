"""The figures that one structure of one case is given, and the rule for structures that are not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.metrics import (
    dice,
    jaccard,
    slice_dice,
    slice_hd95_mm,
    surface_distances,
    surface_elements,
    volume_cm3,
)
from models.volume import Grid

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its name is a column of the files, ``better`` says which way is good."""

    name: str
    better: Literal["higher", "lower", "nearer to 0"]
    definition: str
    of: str


METRICS: Final[tuple[Metric, ...]] = (
    Metric("DSC", "higher", "2 |A and B| / (|A| + |B|), voxels of the whole CT", "all; VD in Huang"),
    Metric("JSC", "higher", "|A and B| / |A or B|", "Xiao eq. 3"),
    Metric("DSC_slices", "higher", "mean DSC of the slices that show either; one alone counts 0", "Liu Z."),
    Metric("SD", "higher", "part of both surfaces' area within the tolerance of the other", "Huang"),
    Metric("SO", "higher", "part of the answer's surface area within the tolerance of the truth's", "Huang"),
    Metric("SO_truth", "higher", "part of the truth's surface area within the tolerance of the answer's", ""),
    Metric("HD_mm", "lower", "largest distance between the surfaces, either way", ""),
    Metric("HD95_mm", "lower", "95th percentile of the distances both ways, pooled", "Liu X. eq. 7"),
    Metric("HD95_larger_mm", "lower", "larger of the two ways' 95th percentiles", "Huang, in mm"),
    Metric("HD95_slices_mm", "lower", "mean HD95_mm within the slices that show both", "Liu Z. eq. 4"),
    Metric("ASSD_mm", "lower", "sum of the distances both ways over their number", "Xiao eq. 2"),
    Metric("ASD_mm", "lower", "mean distance from the answer's surface to the truth's", "Huang, in mm"),
    Metric("MSD_mm", "lower", "mean of the two ways' mean distances", "Sartor"),
    Metric("HD95_px", "lower", "HD95_larger_mm with voxels as steps of 1", "Huang, if in pixels"),
    Metric("ASD_px", "lower", "ASD_mm with voxels as steps of 1", "Huang, if in pixels"),
    Metric("volume_difference_cm3", "nearer to 0", "answer's volume less the truth's", ""),
    Metric("volume_difference_percent", "nearer to 0", "the same, of the truth's volume", ""),
)
OVERLAPS: Final = ("DSC", "JSC", "DSC_slices", "SD", "SO", "SO_truth")
NAMES: Final = tuple(metric.name for metric in METRICS)


Found = Literal["both", "missed", "invented", "absent"]
"""In truth and answer, in the truth alone, in the answer alone, in neither."""
FOUND: Final[tuple[Found, ...]] = get_args(Found)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one structure in one case.

    Attributes:
        found: whether it was there and was contoured.
        values: by name of the metric; one that is not defined here is no key.
        truth_cm3, answer_cm3: the volumes.
        slice_dsc, slice_hd95_mm: the parts of the two means over slices, so that slices can be pooled.
    """

    found: Found
    values: Mapping[str, float]
    truth_cm3: float
    answer_cm3: float
    slice_dsc: tuple[float, ...] = field(default=(), repr=False)
    slice_hd95_mm: tuple[float, ...] = field(default=(), repr=False)


def figures(truth: Mask, answer: Mask, grid: Grid, tolerance_mm: float, *, surfaces: bool = True) -> Figures:
    """Every metric of two masks ``(z, y, x)`` on one grid.

    Missed or invented, every overlap is 0 and there is no distance. Absent and not contoured, there is no
    figure at all: an overlap of 1 would praise the model for the cases' anatomy.

    Args:
        truth, answer: the structure as it should be and as the model has it.
        grid: of both, evenly spaced or not.
        tolerance_mm: of SD, SO and SO_truth.
        surfaces: False leaves out what looks at surfaces, which takes most of the time.
    """
    cm3 = volume_cm3(truth, grid), volume_cm3(answer, grid)
    found = _found(bool(truth.any()), bool(answer.any()))
    if found == "absent":
        return Figures(found, {}, *cm3)
    values = {"volume_difference_cm3": cm3[1] - cm3[0]}
    if found != "invented":
        values["volume_difference_percent"] = 100 * (cm3[1] - cm3[0]) / cm3[0]
    by_slice = tuple(slice_dice(truth, answer).tolist())
    if found != "both":
        return Figures(found, dict.fromkeys(OVERLAPS, 0.0) | values, *cm3, by_slice)
    hd95_by_slice = tuple(slice_hd95_mm(truth, answer, grid).tolist()) if surfaces else ()
    if hd95_by_slice:
        values["HD95_slices_mm"] = float(np.mean(hd95_by_slice))
    values |= {
        "DSC": dice(truth, answer),
        "JSC": jaccard(truth, answer),
        "DSC_slices": float(np.mean(by_slice)),
    }
    if surfaces:
        values |= _of_surfaces(truth, answer, grid, tolerance_mm)
    return Figures(
        found, {name: values[name] for name in NAMES if name in values}, *cm3, by_slice, hd95_by_slice
    )


def background_figures(
    truth: Mask, answer: Mask, grid: Grid, *, surfaces: bool = True
) -> Mapping[str, float]:
    """DSC and HD95 of what is no structure, given the union of all structures.

    Background goes on beyond the volume, so the volume's border is no surface of it. Where one of the two has
    no structure, or no background, there is no distance.
    """
    values = {"DSC": dice(~truth, ~answer)}
    if surfaces and all(each.any() and not each.all() for each in (truth, answer)):
        values["HD95_mm"] = surface_distances(~truth, ~answer, grid, beyond=True).hd95_mm
    return values


def _found(in_truth: bool, in_answer: bool) -> Found:
    if in_truth:
        return "both" if in_answer else "missed"
    return "invented" if in_answer else "absent"


def _of_surfaces(truth: Mask, answer: Mask, grid: Grid, tolerance_mm: float) -> dict[str, float]:
    distances = surface_distances(truth, answer, grid)
    steps = surface_distances(truth, answer, _steps_of_one(grid))
    elements = surface_elements(truth, answer, grid)
    return {
        "SD": elements.surface_dice(tolerance_mm),
        "SO": elements.overlap_of_answer(tolerance_mm),
        "SO_truth": elements.overlap_of_truth(tolerance_mm),
        "HD_mm": distances.hausdorff_mm,
        "HD95_mm": distances.hd95_mm,
        "HD95_larger_mm": distances.hd95_larger_mm,
        "ASSD_mm": distances.assd_mm,
        "ASD_mm": distances.asd_mm,
        "MSD_mm": distances.msd_mm,
        "HD95_px": steps.hd95_larger_mm,
        "ASD_px": steps.asd_mm,
    }


def _steps_of_one(grid: Grid) -> Grid:
    """A grid of the same shape whose neighbours are 1 apart along every axis."""
    unit = np.eye(3)
    return Grid(
        np.outer(np.arange(len(grid.slice_origins_lps_mm)), unit[2]),
        unit[0],
        unit[1],
        grid.rows,
        grid.columns,
    )
