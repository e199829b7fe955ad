"""Inputs of any size through networks that halve, and channels of a narrower network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def padded_to_multiple(x: Tensor, multiple: int) -> tuple[Tensor, torch.Size]:
    """``x`` with every spatial axis lengthened to a multiple of ``multiple``, and the size it had.

    ``x`` is ``(n, channels, y, x)`` or ``(n, channels, z, y, x)``. Its last voxel is repeated at the far end
    of each axis, because no constant means air in every channel; :func:`cropped_to` takes it off again.
    """
    original = x.shape[2:]
    missing = [-length % multiple for length in original]
    if any(missing):
        padding = [amount for axis in reversed(missing) for amount in (0, axis)]
        x = functional.pad(x, padding, mode="replicate")
    return x, original


def cropped_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first ``size`` of the spatial axes of ``x``, ``(n, channels, [z,] y, x)``.

    Raises:
        ValueError: ``x`` is smaller than that, or has other axes.
    """
    if len(size) != x.ndim - 2 or any(has < wanted for has, wanted in zip(x.shape[2:], size, strict=True)):
        raise ValueError(f"{tuple(x.shape[2:])} cannot be cropped to {tuple(size)}")
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x


def scaled(width: float, *channels: int) -> tuple[int, ...]:
    """The channels of a network made ``width`` times as wide, one at least."""
    return tuple(max(1, round(width * count)) for count in channels)
