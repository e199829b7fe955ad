"""Tensors of a training run as bytes: exact, or in fewer bytes than they have.

A codec that is not exact rounds. Whoever writes a checkpoint with one puts the rounded numbers back into the
running state (`Packed.tensor`), so that a run that goes on and one that is resumed go on alike.

===========  =====  =====================================================================================
codec        bytes  what is kept of a float32
===========  =====  =====================================================================================
exact        4      all (any dtype as it is)
bfloat16     2      8 bits of mantissa: 0.4 %
float24      3      16 bits of mantissa: 0.0015 %
log8         1      numbers that are not negative, to some 5 % over their whole range; zero stays zero
float8       1      numbers scaled to the largest of the tensor, as e4m3: 6 %
near         1      a tensor near another one: the difference as float8
===========  =====  =====================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Codec = Literal["exact", "bfloat16", "float24", "log8", "float8", "near"]

_LEVELS: Final = 254
_LARGEST_FLOAT8: Final = 448.0


@dataclass(frozen=True, slots=True)
class Packed:
    """A tensor as bytes.

    Attributes:
        codec, dtype, shape: how to read ``content``.
        scale: numbers of the codec: ``log8`` the ends of the logarithm, ``float8`` and ``near`` the factor.
        content: the bytes.
    """

    codec: Codec
    dtype: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    content: bytes

    def tensor(self, near: Tensor | None = None) -> Tensor:
        """The tensor on the CPU; ``near`` is what a ``near`` one was packed against.

        Raises:
            ValueError: the bytes do not fit the shape, or there is no such dtype or codec.
        """
        if self.codec == "exact":
            dtype = getattr(torch, self.dtype, None)
            if not isinstance(dtype, torch.dtype):
                message = f"there is no dtype {self.dtype}"
                raise ValueError(message)
            flat = torch.frombuffer(bytearray(self.content), dtype=dtype) if self.content else None
            return (flat if flat is not None else torch.empty(0, dtype=dtype)).reshape(self.shape)
        raw = np.frombuffer(self.content, np.uint8)
        if self.codec == "bfloat16":
            found = torch.from_numpy(raw.view(np.int16).copy()).view(torch.bfloat16).float()
        elif self.codec == "float24":
            wide = np.zeros((len(raw) // 3, 4), np.uint8)
            wide[:, 1:] = raw.reshape(-1, 3)
            found = torch.from_numpy(wide.view(np.float32)[:, 0].copy())
        elif self.codec == "log8":
            found = _from_levels(raw, *self.scale)
        else:
            found = torch.from_numpy(raw.copy()).view(torch.float8_e4m3fn).float() * self.scale[0]
            if self.codec == "near":
                found = _near(near).flatten().cpu().float() + found
        return found.reshape(self.shape)


def packed(tensor: Tensor, codec: Codec, near: Tensor | None = None) -> Packed:
    """``tensor`` as bytes; all codecs but ``exact`` take float32 and give back float32.

    Args:
        tensor: on any device.
        codec: how.
        near: what a ``near`` one is packed against, already rounded if it is rounded too.
    """
    flat = tensor.detach().cpu().contiguous().flatten()
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    scale: tuple[float, ...] = ()
    if codec == "exact":
        content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    elif codec == "bfloat16":
        content = flat.bfloat16().view(torch.int16).numpy().tobytes()
    elif codec == "float24":
        bits = flat.numpy().view(np.uint32)
        rounded = ((bits.astype(np.uint64) + 0x80) & 0xFFFFFF00).astype("<u4")
        content = np.ascontiguousarray(rounded.view(np.uint8).reshape(-1, 4)[:, 1:]).tobytes()
    elif codec == "log8":
        levels, scale = _levels(flat.numpy())
        content = levels.tobytes()
    else:
        difference = flat if codec == "float8" else flat - _near(near).detach().flatten().cpu().float()
        largest = float(difference.abs().max()) if len(difference) else 0.0
        scale = (largest / _LARGEST_FLOAT8 or 1.0,)
        content = (difference / scale[0]).to(torch.float8_e4m3fn).view(torch.uint8).numpy().tobytes()
    return Packed(codec, dtype, shape, scale, content)


def _near(near: Tensor | None) -> Tensor:
    if near is None:
        message = "a tensor packed near another needs that one"
        raise ValueError(message)
    return near


def _levels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """255 levels of the logarithm from the least positive to the largest value, and where they lie."""
    levels = np.zeros(values.shape, np.uint8)
    positive = values > 0
    if not positive.any():
        return levels, (0.0, 0.0)
    logs = np.log(values[positive].astype(np.float64))
    low, high = float(logs.min()), float(logs.max())
    step = (high - low) / _LEVELS or 1.0
    levels[positive] = 1 + np.rint((logs - low) / step).astype(np.uint8)
    return levels, (low, high)


def _from_levels(levels: NDArray[np.uint8], low: float, high: float) -> Tensor:
    step = (high - low) / _LEVELS or 1.0
    table = [0.0, *(math.exp(low + step * level) for level in range(_LEVELS + 1))]
    return torch.tensor(table, dtype=torch.float32)[torch.from_numpy(levels.astype(np.int64))]
