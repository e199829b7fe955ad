"""What a run learns from and is looked at by, whoever makes it: cases of a data set, or synthetic CT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from models.training.losses.target import Target


class Batch(Protocol):
    """What the network is shown and what it should answer."""

    @property
    def x(self) -> Tensor:
        """``(n, in_channels, *spatial)``."""

    @property
    def target(self) -> Target:
        """The truth."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the network does on validation cases.

    Attributes:
        loss: mean over validation batches; NaN if there are none.
        dsc: mean over whole validation CTs, of each output that any of them has; empty if there are none.
    """

    loss: float
    dsc: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_dsc(self) -> float:
        """Over the outputs; NaN if there are none."""
        return sum(self.dsc.values()) / len(self.dsc) if self.dsc else float("nan")


class Lessons(Protocol):
    """Where batches come from, and validation."""

    @property
    def epoch_batches(self) -> int:
        """Batches in an epoch of the cycle."""

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step: a function of the step and ``state`` alone."""

    def look(self, network: nn.Module) -> Look:
        """How ``network``, in evaluation mode, does; the same in every process."""

    def next_cycle(self, network: nn.Module, cycle: int) -> None:
        """Prepare cycle number ``cycle`` with the network as the last one left it."""

    def state(self) -> Mapping[str, Tensor]:
        """What decides batches besides the step."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on as when ``state`` was asked for."""
