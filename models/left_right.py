"""One output that holds both sides, such as both femoral heads, split into a left and a right structure.

Liu Z. 2020 lets one channel hold both femoral heads and splits it afterwards; how is not said. Here whole
26-connected parts go to the side of the midline that their centre lies on, so that no part is ever cut. The
midline is that of structures which lie on it, or else halfway between the two largest parts. Where neither
tells, or a part lies on both sides, nothing is called left or right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

_PART_CM3: Final = 2.0  # smaller parts tell nothing of the midline
_APART_MM: Final = 80.0  # centres of a left and a right one are farther apart than this
_ACROSS_MM: Final = 15.0  # a part that reaches so far over the midline is on both sides


@dataclass(frozen=True, slots=True)
class Sides:
    """Logit margins ``(z, y, x)`` of the two structures."""

    left: Field
    right: Field


def split_sides(
    margin: Field, midline: Sequence[Field], spacing_zyx_mm: tuple[float, float, float]
) -> Sides | None:
    """``margin``, axes head, posterior, left, split at the midline; None if that is not certain.

    Args:
        margin: ``(z, y, x)``, positive inside either side.
        midline: margins of the structures that lie on the midline, the one to trust most first.
        spacing_zyx_mm: of the grid.
    """
    labels, count = cc3d.connected_components(margin > 0, connectivity=26, return_N=True)
    if count == 0:
        return Sides(margin, margin)
    statistics = cc3d.statistics(labels)
    mm = spacing_zyx_mm[2]
    centres_mm = np.asarray(statistics["centroids"])[1:, 2] * mm
    cm3 = np.asarray(statistics["voxel_counts"])[1:] * float(np.prod(spacing_zyx_mm)) / 1000
    middle_mm = _middle_mm(midline, mm)
    if middle_mm is None:
        middle_mm = _halfway_mm(centres_mm, cm3)
    if middle_mm is None:
        return None
    sides = np.zeros(count + 1, np.int8)
    for part, box in enumerate(statistics["bounding_boxes"][1:]):
        low_mm, high_mm = box[2].start * mm, (box[2].stop - 1) * mm
        if low_mm < middle_mm - _ACROSS_MM and high_mm > middle_mm + _ACROSS_MM:
            return None
        sides[part + 1] = 1 if centres_mm[part] > middle_mm else -1
    of_voxel = sides[labels]
    against = -np.abs(margin)
    return Sides(np.where(of_voxel == -1, against, margin), np.where(of_voxel == 1, against, margin))


def _middle_mm(midline: Sequence[Field], mm: float) -> float | None:
    for margin in midline:
        profile = (margin > 0).sum(axis=(0, 1))
        if profile.any():
            return float(profile @ np.arange(len(profile)) / profile.sum()) * mm
    return None


def _halfway_mm(centres_mm: NDArray[np.float64], cm3: NDArray[np.float64]) -> float | None:
    large = np.argsort(cm3)[::-1][:2]
    if len(large) < 2 or cm3[large[1]] < _PART_CM3 or abs(float(np.diff(centres_mm[large])[0])) < _APART_MM:
        return None
    return float(centres_mm[large].mean())
