"""A network over a volume larger than its patch: overlapping tiles, blended with Gaussian weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

import torch
from torch import Tensor, nn

from models.input_card import Channel, InputCard
from models.preprocess import channels, padded
from models.view_box import view_box

Tile = tuple[slice, slice, slice]

_LEAST_WEIGHT: Final = 1e-3  # at a tile's corner, so that every voxel has some


def tiles(shape_zyx: Sequence[int], patch_zyx: Sequence[int], overlap: float) -> list[Tile]:
    """Tiles that cover ``shape_zyx``, evenly spread, neighbours sharing at least ``overlap`` of a patch."""
    starts: list[list[int]] = []
    for size, patch in zip(shape_zyx, patch_zyx, strict=True):
        step = patch * (1 - overlap) if patch > 1 else 1  # single slices cannot overlap
        count = 1 if size <= patch else math.ceil((size - patch) / step) + 1
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
def probabilities(  # noqa: PLR0913 - what inference needs, each by its name
    network: nn.Module,
    hu: Tensor,
    card: InputCard,
    *,
    activation: str = "softmax",
    spacing_zyx_mm: tuple[float, float, float] | None = None,
    batch: int = 1,
    precision: torch.dtype = torch.float32,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Probability of each output ``(outputs, z, y, x)`` float32 of a volume ``(z, y, x)`` in HU.

    Args:
        network: of two or three dimensions, as the card's patch says; gives logits ``(n, outputs, *patch)``;
            on the device of ``hu``.
        hu: on the network's grid, axes head, posterior, left.
        card: patch, overlap, channels, context, crop and padding.
        activation: ``softmax`` or ``sigmoid``.
        spacing_zyx_mm: of ``hu``; the card's where that names one along every axis.
        batch: tiles at a time.
        precision: of the network's arithmetic; sums are float32.
        progress: told the part that is done, 0 to 1.

    Raises:
        OutsideTrainedRegion: ``region.only-air``.
    """
    box = view_box(hu, card, spacing_zyx_mm or _spacing_of(card))
    large, inside = padded(hu[box], card)
    places = tiles(large.shape, card.patch_zyx, card.overlap)
    weights = gaussian_weights(card.patch_zyx, hu.device)
    total: Tensor | None = None
    sums = torch.zeros(large.shape, device=hu.device)
    for first in range(0, len(places), batch):
        group = places[first : first + batch]
        shown = torch.stack([network_input(large, place, card) for place in group])
        with torch.autocast(hu.device.type, precision, enabled=precision != torch.float32):
            logits = network(shown).float()
        parts = logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()
        if card.dimensions == 2:
            parts = parts[:, :, None]
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
    if activation == "softmax":
        whole[0] = 1.0  # where nobody looked, there is no body: background
    whole[(slice(None), *box)] = total[(slice(None), *inside)]
    return whole


def network_input(hu: Tensor, place: Tile, card: InputCard) -> Tensor:
    """What the network is shown of ``hu`` ``(z, y, x)`` at one tile.

    ``(channels, z, y, x)`` in three dimensions. In two, ``(context_slices * channels, y, x)``: the tile's
    slice in the middle of its neighbours; beyond the first and last slice these are repeated.
    """
    if card.dimensions == 3:
        return channels(hu[place], card.channels)
    return slices_as_channels(
        hu[(slice(None), *place[1:])], place[0].start, card.context_slices, card.channels
    )


def slices_as_channels(hu: Tensor, at: int, context_slices: int, wanted: Sequence[Channel]) -> Tensor:
    """Slice ``at`` of ``hu`` ``(z, y, x)`` and its neighbours: ``(context_slices * channels, y, x)``."""
    half = context_slices // 2
    numbers = torch.arange(at - half, at + half + 1, device=hu.device).clamp(0, len(hu) - 1)
    return channels(hu[numbers], wanted).movedim(0, 1).flatten(0, 1)


def _spacing_of(card: InputCard) -> tuple[float, float, float]:
    z, y, x = card.spacing_zyx_mm
    if z is None or y is None or x is None:
        message = "the card keeps the CT's own voxels: tell their spacing"
        raise ValueError(message)
    return z, y, x
