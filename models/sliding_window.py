"""A network over a volume larger than its patch: overlapping tiles, blended with Gaussian weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from models.body_shape import opened, parts_of_at_least
from models.card import InputCard
from models.preprocess import channels, padded
from models.volume import OutsideTrainedRegion

Tile = tuple[slice, slice, slice]

_BODY_HU: Final = -300.0
_THICK_MM: Final = 10.0  # what is thinner than twice this is couch, or sticks out of the body
_PART_CM3: Final = 50.0
_RIM_MM: Final = 20.0  # around what is thick: skin, fingers, some air
_LEAST_WEIGHT: Final = 1e-3  # at a tile's corner, so that every voxel has some


def tiles(shape_zyx: Sequence[int], patch_zyx: Sequence[int], overlap: float) -> list[Tile]:
    """Tiles that cover ``shape_zyx``, evenly spread, neighbours sharing at least ``overlap`` of a patch."""
    starts: list[list[int]] = []
    for size, patch in zip(shape_zyx, patch_zyx, strict=True):
        count = 1 if size <= patch else math.ceil((size - patch) / (patch * (1 - overlap))) + 1
        starts.append([round(i * (size - patch) / max(count - 1, 1)) for i in range(count)])
    z, y, x = patch_zyx
    return [(slice(a, a + z), slice(b, b + y), slice(c, c + x)) for a, b, c in product(*starts)]


def gaussian_weights(patch_zyx: Sequence[int], device: torch.device) -> Tensor:
    """``patch_zyx`` weights, one at the middle; standard deviation a quarter of the patch."""
    lines = [
        torch.exp(-0.5 * ((torch.arange(size, device=device) + 0.5 - size / 2) / (size * 0.25)) ** 2)
        for size in patch_zyx
    ]
    return lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :] + _LEAST_WEIGHT


@torch.inference_mode()
def probabilities(
    network: nn.Module,
    hu: Tensor,
    card: InputCard,
    *,
    batch: int = 1,
    precision: torch.dtype = torch.float32,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Class probabilities ``(classes, z, y, x)`` float32 of a volume ``(z, y, x)`` in HU.

    Args:
        network: gives logits ``(n, classes, *patch)``; on the device of ``hu``.
        hu: on the network's grid, axes head, posterior, left.
        card: patch, overlap, channels and padding.
        batch: tiles at a time.
        precision: of the network's arithmetic; sums are float32.
        progress: told the part that is done, 0 to 1.

    Raises:
        OutsideTrainedRegion: ``region.only-air``.
    """
    box = body_box(hu, card)
    large, inside = padded(hu[box], card)
    places = tiles(large.shape, card.patch_zyx, card.overlap)
    weights = gaussian_weights(card.patch_zyx, hu.device)
    total: Tensor | None = None
    sums = torch.zeros(large.shape, device=hu.device)
    for first in range(0, len(places), batch):
        group = places[first : first + batch]
        shown = channels(torch.stack([large[place] for place in group]), card.channels)
        with torch.autocast(hu.device.type, precision, enabled=precision != torch.float32):
            logits = network(shown)
        parts = logits.float().softmax(dim=1)
        if total is None:
            total = torch.zeros((parts.shape[1], *large.shape), device=hu.device)
        for place, part in zip(group, parts, strict=True):
            total[(slice(None), *place)] += part * weights
            sums[place] += weights
        if progress is not None:
            progress(min(first + batch, len(places)) / len(places))
    assert total is not None  # noqa: S101 - for the type checker: there is at least one tile
    total /= sums
    whole = torch.zeros((len(total), *hu.shape), device=hu.device)
    whole[0] = 1.0  # where nobody looked, there is no body: background
    whole[(slice(None), *box)] = total[(slice(None), *inside)]
    return whole


def body_box(hu: Tensor, card: InputCard) -> Tile:
    """The part of ``hu`` ``(z, y, x)`` that holds the body and a rim, at least a patch where there is room.

    Raises:
        OutsideTrainedRegion: ``region.only-air``.
    """
    dense = hu.cpu().numpy() > _BODY_HU
    thick = opened(dense, _THICK_MM, card.spacing_zyx_mm)
    body = parts_of_at_least(thick, _PART_CM3, card.spacing_zyx_mm) if thick.any() else thick
    if not body.any():
        body = dense
    if not body.any():
        sentence = "This CT shows nothing denser than air; there is nothing to contour."
        raise OutsideTrainedRegion("region.only-air", sentence)
    parts: list[slice] = []
    for axis in range(3):
        at = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis)))
        rim = math.ceil(_RIM_MM / card.spacing_zyx_mm[axis])
        low, high, count = int(at[0]) - rim, int(at[-1]) + 1 + rim, hu.shape[axis]
        short = max(card.patch_zyx[axis] - (high - low), 0)
        low, high = low - short // 2, high + short - short // 2
        low, high = low - max(high - count, 0), high - min(low, 0)  # use the room on the other side
        parts.append(slice(max(low, 0), min(high, count)))
    return parts[0], parts[1], parts[2]
