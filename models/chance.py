"""Chance that can be repeated: every choice of one training sample follows from a seed and its number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Chance:
    """Random numbers for single choices (on the CPU) and for whole volumes (on the device).

    Attributes:
        choices: for single values.
        volumes: for tensors, on ``device``.
        device: where the tensors are made.
    """

    choices: np.random.Generator
    volumes: torch.Generator
    device: torch.device

    @classmethod
    def of(cls, seed: int, number: int, device: torch.device | str = "cpu") -> Chance:
        """The chance of sample ``number`` in the run with ``seed``."""
        choices = np.random.default_rng((seed, number))
        volumes = torch.Generator(device)
        volumes.manual_seed(int(choices.integers(2**62)))
        return cls(choices, volumes, torch.device(device))

    def apart(self) -> Chance:
        """A chance of this sample too, of its own: what it draws leaves all other draws as they are."""
        choices = self.choices.spawn(1)[0]
        volumes = torch.Generator(self.device)
        volumes.manual_seed(int(choices.integers(2**62)))
        return Chance(choices, volumes, self.device)

    def between(self, low: float, high: float) -> float:
        """A number drawn evenly."""
        return float(self.choices.uniform(low, high))

    def geometric(self, low: float, high: float) -> float:
        """A number whose logarithm is drawn evenly."""
        return math.exp(self.between(math.log(low), math.log(high)))

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return float(self.choices.random()) < probability

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count`` - 1."""
        return int(self.choices.integers(count))

    def one_of(self, values: Sequence[float]) -> float:
        """One of the values, each as likely as the other."""
        return values[self.below(len(values))]

    def normal(self, *shape: int) -> Tensor:
        """A tensor of normal deviates."""
        return torch.randn(shape, generator=self.volumes, device=self.device)

    def smooth(self, shape: Sequence[int], cell: float, count: int = 1) -> Tensor:
        """``(count, z, y, x)`` random patterns of about unit variance, features ``cell`` voxels across."""
        knots = [max(2, math.ceil(n / cell)) + 2 for n in shape]
        fine = [int(k * cell) for k in knots]
        coarse = self.normal(1, count, *knots)
        pattern = functional.interpolate(coarse, size=fine, mode="trilinear", align_corners=True)[0]
        starts = [self.below(max(1, f - n)) for f, n in zip(fine, shape, strict=True)]
        z, y, x = (slice(s, s + n) for s, n in zip(starts, shape, strict=True))
        pattern = pattern[:, z, y, x]
        if tuple(pattern.shape[1:]) != tuple(shape):
            pattern = functional.interpolate(pattern[None], size=tuple(shape), mode="nearest")[0]
        return pattern * 1.6  # interpolation between knots takes this much of the spread away
