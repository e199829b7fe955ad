"""What a batch should have been answered: masks, and which structures anybody looked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """The truth of a batch, of two or three dimensions.

    Attributes:
        masks: ``(n, structures, *spatial)`` bool; structures may overlap.
        known: ``(n, structures)`` bool. False where nobody drew the structure in that case: its mask says
            nothing then. A known structure with an empty mask is known to be absent.
    """

    masks: Tensor
    known: Tensor

    def __post_init__(self) -> None:
        if self.masks.shape[:2] != self.known.shape:
            message = f"masks {tuple(self.masks.shape)} and known {tuple(self.known.shape)} do not fit"
            raise ValueError(message)

    @property
    def drawn(self) -> Tensor:
        """``(n, structures, *spatial)`` bool: the masks, empty where a structure is unknown."""
        return self.masks.bool() & _spread(self.known, self.masks)

    @property
    def labels(self) -> Tensor:
        """``(n, *spatial)`` int64: 0 background, 1 the first structure, which wins where two overlap."""
        drawn = self.drawn
        first = drawn.to(torch.uint8).argmax(1) + 1  # argmax gives the first of equals
        return first * drawn.any(1)

    def restricted(self, logits: Tensor) -> Tensor:
        """Softmax logits ``(n, 1 + structures, *spatial)``, float32, without the unknown structures.

        Their logits become minus infinity, so that they get neither probability nor gradient: the softmax
        is one over background and what is known in that case.
        """
        background = torch.ones_like(self.known[:, :1])
        hidden = ~torch.cat([background, self.known], 1)
        return logits.float().masked_fill(_spread(hidden, logits), -torch.inf)

    def averaged_to(self, size: Sequence[int]) -> Target:
        """On a coarser grid: a coarse voxel belongs to a structure that fills more than half of it."""
        if tuple(size) == tuple(self.masks.shape[2:]):
            return self
        masks = self.masks.float()
        share: Tensor
        if len(size) == 2:
            share = functional.adaptive_avg_pool2d(masks, (size[0], size[1]))
        else:
            share = functional.adaptive_avg_pool3d(masks, (size[0], size[1], size[2]))
        return Target(share > 0.5, self.known)

    def sampled_at(self, size: Sequence[int]) -> Target:
        """On a coarser grid: the first voxel of each coarse one, every second at half the size."""
        steps = [math.ceil(full / coarse) for full, coarse in zip(self.masks.shape[2:], size, strict=True)]
        every: list[slice] = [slice(None, None, step) for step in (1, 1, *steps)]
        return Target(self.masks[tuple(every)], self.known)

    def to(self, device: torch.device | str) -> Target:
        """The same on ``device``."""
        return Target(self.masks.to(device, non_blocking=True), self.known.to(device, non_blocking=True))


def _spread(of_channels: Tensor, like: Tensor) -> Tensor:
    """``(n, c)`` as ``(n, c, 1, ...)`` with as many axes as ``like``."""
    return of_channels.reshape(*of_channels.shape, *[1] * (like.dim() - 2))
