"""One patch or slice of a prepared case, changed as was drawn for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards.input_card import Channel
from models.chance import Chance
from models.preprocess import channels
from models.sliding_window import slices_as_channels
from models.training.recipes.recipe import InputRecipe
from models.training.samples.augmentation_kinds import Drawn
from models.training.samples.prepared_cases import PreparedCase
from models.training.samples.warp import View, looked_up_linear, looked_up_nearest

Start = tuple[int, int, int]


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """One sample of a batch.

    Attributes:
        x: ``(channels, *spatial)`` float32, as at inference.
        masks: ``(structures, *spatial)`` bool.
        known: ``(structures,)`` bool.
    """

    x: Tensor
    masks: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True)
class PatchReader:
    """Reads patches as the network is shown them.

    Attributes:
        shown: patch, context slices and padding.
        channels: with their numbers.
        mirror: for each structure, which one it is in a mirror.
        device: where patches are warped.
    """

    shown: InputRecipe
    channels: tuple[Channel, ...]
    mirror: tuple[int, ...]
    device: torch.device

    @property
    def planar(self) -> bool:
        """The network has two dimensions."""
        return self.shown.patch_zyx[0] == 1

    def view(self, case: PreparedCase) -> View:
        """The patch on the case's grid: two axes or three."""
        if self.planar:
            return View(self.shown.patch_zyx[1:], case.spacing_zyx_mm[1:])
        return View(self.shown.patch_zyx, case.spacing_zyx_mm)

    def read(self, case: PreparedCase, start: Start, drawn: Drawn, chance: Chance) -> Sample:
        """The patch whose first voxel is ``start`` if nothing is warped; it may reach beyond the CT."""
        hu, bits = self._looked_up(case, start, drawn)
        hu = drawn.of_hu(hu, chance)
        if self.planar:
            x = slices_as_channels(hu, len(hu) // 2, self.shown.context_slices, self.channels)
        else:
            x = channels(hu[0], self.channels)
        numbers = torch.arange(len(case.known), device=self.device).to(bits.dtype)
        masks = (bits[None] >> numbers.reshape(-1, *[1] * bits.dim())) & 1
        known = torch.from_numpy(case.known).to(self.device)
        if drawn.mirrored:
            mirror = list(self.mirror)
            masks, known = masks[mirror], known[mirror]
        return Sample(drawn.of_channels(x, self.channels), masks.bool(), known)

    def _looked_up(self, case: PreparedCase, start: Start, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """HU ``(slices or 1, *spatial)`` float32 and bits ``(*spatial)``."""
        hu, bits = case.hu(), case.bits()
        if self.planar:
            half, (first, end) = self.shown.context_slices // 2, (case.box[0].start, case.box[0].stop)
            shown = np.arange(start[0] - half, start[0] + half + 1).clip(first, end - 1)
            corner: tuple[int, ...] = start[1:]
            image, of_image = hu[shown], bits[start[0]]  # (slices, y, x) and (y, x)
        else:
            corner, image, of_image = start, hu[None], bits
        view = self.view(case)
        if not drawn.warp.moves:
            return (
                self._tensor(_window(image, corner, view.shape, self.shown.padding_hu)).float(),
                self._tensor(_window(of_image, corner, view.shape, 0)),
            )
        at = drawn.warp.sources(view, self.device)
        middle = [first + (n - 1) / 2 for first, n in zip(corner, view.shape, strict=True)]
        at += torch.tensor(middle, device=self.device).reshape(-1, *[1] * len(middle))
        needed, low = _needed(at, of_image.shape)
        at -= torch.tensor(low, device=self.device).reshape(-1, *[1] * len(low))
        part = self._tensor(image[(slice(None), *needed)]).float()
        return (
            looked_up_linear(part, at, self.shown.padding_hu),
            looked_up_nearest(self._tensor(of_image[needed]), at),
        )

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)


def _window(array: NDArray[Any], corner: Sequence[int], shape: Sequence[int], padding: float) -> NDArray[Any]:
    """``shape`` voxels of the last axes from ``corner`` on, ``padding`` beyond the array."""
    whole = len(array.shape) - len(shape)
    found = np.full((*array.shape[:whole], *shape), padding, array.dtype)
    of: list[slice] = [slice(None)] * whole
    to: list[slice] = [slice(None)] * whole
    for first, n, size in zip(corner, shape, array.shape[whole:], strict=True):
        low, high = max(first, 0), min(first + n, size)
        of.append(slice(low, max(low, high)))
        to.append(slice(low - first, max(low, high) - first))
    found[tuple(to)] = array[tuple(of)]
    return found


def _needed(at: Tensor, size: Sequence[int]) -> tuple[tuple[slice, ...], list[int]]:
    """The part of an array that positions ``(d, *shape)`` in it need, and where it begins."""
    each = at.flatten(1)
    lows = each.amin(1).floor().int().tolist()
    highs = each.amax(1).ceil().int().tolist()
    first = [min(max(low, 0), n - 1) for low, n in zip(lows, size, strict=True)]
    end = [min(max(high, 0), n - 1) + 1 for high, n in zip(highs, size, strict=True)]
    return tuple(slice(a, b) for a, b in zip(first, end, strict=True)), first
