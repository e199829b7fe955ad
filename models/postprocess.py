"""What is done to one structure after the network, each step a switch of the card.

All steps work on the logit margin (positive inside), so that the surface of what stays is not moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from models.cards.card import PostprocessCard

FAINT: Final = 1e-3
"""The least margin of a voxel whose sign is changed."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Volumes of the 26-connected parts before anything was dropped, cm3, the largest first."""

    volumes_cm3: tuple[float, ...]


def postprocess(
    margin: NDArray[np.float32], card: PostprocessCard, voxel_cm3: float
) -> tuple[NDArray[np.float32], Parts]:
    """``margin`` ``(z, y, x)`` after the card's steps, changed in place, and the parts there were.

    Order: parts smaller than ``minimum_cm3`` go, then all but the largest, then cavities are filled.
    """
    labels, count = cc3d.connected_components(margin > 0, connectivity=26, return_N=True)
    volumes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * voxel_cm3
    keep = kept(volumes, card)
    if not keep.all():
        dropped = np.concatenate([[False], ~keep])[labels]
        margin[dropped] = -np.abs(margin[dropped])
    if card.fill_holes and keep.any():
        cavity = _cavities(margin > 0, card.hole_connectivity)
        margin[cavity] = np.maximum(-margin[cavity], FAINT)
    return margin, Parts(tuple(sorted((float(v) for v in volumes), reverse=True)))


def kept(volumes_cm3: NDArray[np.floating], card: PostprocessCard) -> NDArray[np.bool_]:
    """Which parts stay, by their volumes."""
    keep: NDArray[np.bool_] = volumes_cm3 >= card.minimum_cm3
    if card.largest_component and len(volumes_cm3) > 1:
        keep &= np.arange(len(volumes_cm3)) == int(volumes_cm3.argmax())
    return keep


def _cavities(mask: NDArray[np.bool_], connectivity: Literal[6, 26]) -> NDArray[np.bool_]:
    """Background that no path of such voxels joins to the border of the array."""
    outside = np.pad(~mask, 1, constant_values=True)
    labels = cc3d.connected_components(outside, connectivity=connectivity)
    inner: NDArray[np.bool_] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1] & ~mask
    return inner
