"""Counts of voxels: what two masks have in common, and how large one is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.volume import Grid

Mask = NDArray[np.bool_]


def dice(truth: Mask, answer: Mask) -> float:
    """DSC, 0 to 1; 1 if both are empty."""
    total = int(truth.sum()) + int(answer.sum())
    return 2 * int((truth & answer).sum()) / total if total else 1.0


def jaccard(truth: Mask, answer: Mask) -> float:
    """JSC, 0 to 1; 1 if both are empty."""
    either = int((truth | answer).sum())
    return int((truth & answer).sum()) / either if either else 1.0


def slice_dice(truth: Mask, answer: Mask) -> NDArray[np.float64]:
    """DSC of each slice that shows the truth or the answer, in the order of the slices.

    A slice that shows neither is left out: nothing was to be contoured there. One that shows only one of
    the two counts as 0, as at the first and last slice of an organ. Liu Z. 2020 averages over slices without
    saying what it does with either kind.
    """
    both = (truth & answer).sum(axis=(1, 2))
    total = truth.sum(axis=(1, 2)) + answer.sum(axis=(1, 2))
    shown = total > 0
    found: NDArray[np.float64] = 2.0 * both[shown] / total[shown]
    return found


def volume_cm3(mask: Mask, grid: Grid) -> float:
    """Voxel count times voxel volume, cm3; each slice has its own width where slices are spaced unevenly."""
    return float(mask.sum(axis=(1, 2)) @ grid.voxel_volumes_mm3()) / 1000.0
