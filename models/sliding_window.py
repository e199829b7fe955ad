"""A network over a volume larger than its patch: overlapping tiles, blended with Gaussian weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import torch
from torch import Tensor

from models.cards.input_card import Channel, InputCard
from models.preprocess import channels, padded
from models.view_box import Box, view_box

Tile = tuple[slice, slice, slice]

_AIR_HU: Final = -950.0  # no lung is so thin
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


@dataclass(frozen=True, slots=True)
class Blended:
    """What a network says of the part of a volume that it was shown.

    Attributes:
        probabilities: ``(outputs, z, y, x)`` float32 of the part.
        box: where in the volume the part lies.
    """

    probabilities: Tensor
    box: Box

    def whole(self, shape_zyx: Sequence[int], activation: str) -> Tensor:
        """``(outputs, *shape_zyx)``: where nobody looked, there is no body, so background."""
        found = torch.zeros((len(self.probabilities), *shape_zyx), device=self.probabilities.device)
        if activation == "softmax":
            found[0] = 1.0
        found[(slice(None), *self.box)] = self.probabilities
        return found


@dataclass(frozen=True, slots=True)
class Look:
    """Where a network looks at a volume.

    Attributes:
        hu: ``(z, y, x)`` the box that is looked at, padded to a tile at least.
        inside: where in ``hu`` the box lies.
        box: where in the volume it lies.
        tile_zyx: size of a tile.
    """

    hu: Tensor
    inside: Tile
    box: Box
    tile_zyx: tuple[int, int, int]


def look_at(hu: Tensor, card: InputCard, spacing_zyx_mm: tuple[float, float, float] | None = None) -> Look:
    """Where a network with this card looks at ``hu`` ``(z, y, x)``.

    Args:
        hu: on the network's grid, axes head, posterior, left.
        card: patch, stretch, crop and padding.
        spacing_zyx_mm: of ``hu``; the card's where that names one along every axis.

    Raises:
        OutsideTrainedRegion: ``region.only-air``.
    """
    box = view_box(hu, card, spacing_zyx_mm or _spacing_of(card))
    large, inside = padded(hu[box], card)
    return Look(large, inside, box, card.tile_zyx(large.shape))


@torch.inference_mode()
def probabilities(  # noqa: PLR0913 - what inference needs, each by its name
    network: Callable[[Tensor], Tensor],
    hu: Tensor,
    card: InputCard,
    *,
    activation: str = "softmax",
    spacing_zyx_mm: tuple[float, float, float] | None = None,
    batch: int = 1,
    precision: torch.dtype = torch.float32,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Probability of each output ``(outputs, z, y, x)`` float32 of a whole volume; see :func:`blended`."""
    look = look_at(hu, card, spacing_zyx_mm)
    found = blended(
        network, look, card, activation=activation, batch=batch, precision=precision, progress=progress
    )
    return found.whole(hu.shape, activation)


@torch.inference_mode()
def blended(  # noqa: PLR0913 - what inference needs, each by its name
    network: Callable[[Tensor], Tensor],
    look: Look,
    card: InputCard,
    *,
    activation: str = "softmax",
    batch: int = 1,
    precision: torch.dtype = torch.float32,
    progress: Callable[[float], None] | None = None,
) -> Blended:
    """What the network says of what it looks at.

    Args:
        network: of two or three dimensions, as the card's patch says; gives logits ``(n, outputs, *tile)``;
            on the device of what it looks at.
        look: the volume's box and its tiles.
        card: overlap, channels and context.
        activation: ``softmax`` or ``sigmoid``.
        batch: tiles at a time.
        precision: of the network's arithmetic; sums are float32.
        progress: told the part that is done, 0 to 1.
    """
    places = tiles(look.hu.shape, look.tile_zyx, card.overlap)
    weights = gaussian_weights(look.tile_zyx, look.hu.device)
    blend = _Blend(look.hu, weights, softmax=activation == "softmax")
    dense, air = _without_air(look.hu, places)
    for first in range(0, len(dense), batch):
        group = dense[first : first + batch]
        shown = network_inputs(look.hu, group, card)
        with torch.autocast(shown.device.type, precision, enabled=precision != torch.float32):
            logits = network(shown)
        blend.add(group, logits if card.dimensions == 3 else logits[:, :, None])
        if progress is not None:
            progress(min(first + batch, len(dense)) / len(dense))
    for place in air:
        blend.add_air(place)
    return Blended(blend.mean()[(slice(None), *look.inside)], look.box)


def _without_air(large: Tensor, places: Sequence[Tile]) -> tuple[Sequence[Tile], Sequence[Tile]]:
    """Tiles to be shown, at least one, and tiles in which there is nothing but air."""
    run = _slices_in_a_row(places)
    if run is None:
        densest = torch.stack([large[place].amax() for place in places]).cpu()
    else:
        densest = large[run].amax(dim=(1, 2)).cpu()
    dense = [place for place, hu in zip(places, densest.tolist(), strict=True) if hu > _AIR_HU] or places[:1]
    shown = {(z.start, y.start, x.start) for z, y, x in dense}
    return dense, [p for p in places if (p[0].start, p[1].start, p[2].start) not in shown]


class _Blend:
    """The weighted mean of what tiles say, growing tile by tile."""

    def __init__(self, large: Tensor, weights: Tensor, *, softmax: bool) -> None:
        self._weights = weights
        self._softmax = softmax
        self._sums = torch.zeros(large.shape, device=large.device)
        self._total: Tensor | None = None

    def add(self, places: Sequence[Tile], logits: Tensor) -> None:
        """Logits ``(n, outputs, z, y, x)`` of ``n`` tiles."""
        parts = logits.softmax(1, torch.float32) if self._softmax else logits.float().sigmoid()
        if self._total is None:
            self._total = torch.zeros((parts.shape[1], *self._sums.shape), device=parts.device)
        run = _slices_in_a_row(places)
        if run is not None:  # one step for all of them, with the same sums
            self._total[(slice(None), *run)].addcmul_(parts[:, :, 0].transpose(0, 1), self._weights)
            self._sums[run] += self._weights
            return
        for place, part in zip(places, parts, strict=True):
            self._total[(slice(None), *place)].addcmul_(part, self._weights)
            self._sums[place] += self._weights

    def add_air(self, place: Tile) -> None:
        """A tile that was not shown, because nothing is in it."""
        assert self._total is not None  # noqa: S101 - for the type checker: one tile is always shown
        if self._softmax:
            self._total[(0, *place)] += self._weights
        self._sums[place] += self._weights

    def mean(self) -> Tensor:
        """``(outputs, z, y, x)``."""
        assert self._total is not None  # noqa: S101 - for the type checker: one tile is always shown
        return self._total.div_(self._sums)


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


def network_inputs(hu: Tensor, places: Sequence[Tile], card: InputCard) -> Tensor:
    """:func:`network_input` of several tiles, ``(n, ...)``; of slices that follow one another in one go."""
    run = _slices_in_a_row(places)
    if run is None or card.dimensions == 3:
        return torch.stack([network_input(hu, place, card) for place in places])
    half = card.context_slices // 2
    at = torch.arange(run[0].start, run[0].stop, device=hu.device)[:, None]
    numbers = (at + torch.arange(-half, half + 1, device=hu.device)).clamp(0, len(hu) - 1)  # (n, context)
    near = hu[(slice(None), *run[1:])][numbers]  # (n, context, y, x)
    return channels(near[:, :, None], card.channels).flatten(1, 3)  # (n, context * channels, y, x)


def _slices_in_a_row(places: Sequence[Tile]) -> Tile | None:
    """The box of all tiles where each is the next slice of the one before; None where they are not."""
    first, last = places[0], places[-1]
    if last[0].stop - first[0].start != len(places):
        return None
    if any(place[1:] != first[1:] or place[0].stop != first[0].stop + i for i, place in enumerate(places)):
        return None
    return slice(first[0].start, last[0].stop), first[1], first[2]


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
