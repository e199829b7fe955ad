"""How far a run is, what learning rate that means, and whether what is watched still gets better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.training.recipes.recipe import End, Optimiser, Recipe, Schedule


def optimiser_of(recipe: Optimiser, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """PyTorch's optimiser as the recipe names it."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay
        )
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "nadam": torch.optim.NAdam}
    found: torch.optim.Optimizer = kinds[recipe.name](
        parameters, lr=rate, betas=recipe.betas, eps=recipe.epsilon, weight_decay=decay
    )
    return found


@dataclass(slots=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch_batches: batches in an epoch of this cycle.
        step: batches since the run began.
        seconds: of training, pauses and validation left out.
        cycle: number of the cycle, from 0.
        cycle_step, cycle_seconds, epochs_before: steps, seconds and epochs when it began.
        is_over: True after the last step of the last cycle.
    """

    epoch_batches: int
    step: int = 0
    seconds: float = 0.0
    cycle: int = 0
    cycle_step: int = 0
    cycle_seconds: float = 0.0
    epochs_before: float = 0.0
    is_over: bool = False

    @property
    def epoch(self) -> float:
        """Epochs since the run began."""
        return self.epochs_before + self.cycle_epoch

    @property
    def cycle_epoch(self) -> float:
        """Epochs since the cycle began."""
        return (self.step - self.cycle_step) / self.epoch_batches

    def done(self, end: End) -> float:
        """How much of the cycle is over, 0 to 1."""
        by_steps = (self.step - self.cycle_step) / end.steps if end.steps else 0.0
        by_epochs = self.cycle_epoch / end.epochs if end.epochs else 0.0
        by_hours = (self.seconds - self.cycle_seconds) / (3600 * end.hours) if end.hours else 0.0
        return min(1.0, max(by_steps, by_epochs, by_hours))

    def next_cycle(self, epoch_batches: int) -> None:
        """Begin the next one here."""
        self.epochs_before = self.epoch
        self.cycle += 1
        self.cycle_step, self.cycle_seconds, self.epoch_batches = self.step, self.seconds, epoch_batches

    def every(self, epochs: float) -> bool:
        """True once in so many epochs of the cycle, at the end of the last of them."""
        interval = max(1, round(epochs * self.epoch_batches))
        return (self.step - self.cycle_step) % interval == 0


@dataclass(slots=True)
class Watch:
    """The value watched, smaller being better.

    Attributes:
        best: the smallest of the cycle.
        best_epoch: of the cycle, when it was seen.
        drops: how often a plateau has lowered the learning rate.
        waited_from: the epoch of the cycle from which a plateau counts its patience.
    """

    best: float | None = None
    best_epoch: float = 0.0
    drops: int = 0
    waited_from: float = 0.0

    def see(self, value: float, epoch: float, schedule: Schedule) -> bool:
        """Take note of a value; True if it is the best of the cycle."""
        better = not math.isnan(value) and (self.best is None or value < self.best)
        if better:
            self.best, self.best_epoch, self.waited_from = value, epoch, epoch
        elif schedule.name == "plateau" and epoch - self.waited_from >= schedule.patience_epochs:
            self.drops, self.waited_from = self.drops + 1, epoch
        return better

    def in_vain(self, epoch: float, end: End) -> bool:
        """True if it has not become better for so long that the cycle should stop."""
        return end.early_stop_epochs is not None and epoch - self.best_epoch >= end.early_stop_epochs

    def next_cycle(self, schedule: Schedule) -> None:
        """Forget what another cycle's validation cases gave; what a plateau did stays unless told."""
        drops = 0 if schedule.every_cycle else self.drops
        self.best, self.best_epoch, self.waited_from, self.drops = None, 0.0, 0.0, drops


def learning_rate(recipe: Recipe, progress: Progress, watch: Watch) -> float:
    """Of the next step."""
    schedule, end = recipe.schedule, recipe.end
    done = progress.done(end)
    step, epoch = progress.step - progress.cycle_step, progress.cycle_epoch
    if not schedule.every_cycle:
        done = (progress.cycle + done) / end.cycles
        step, epoch = progress.step, progress.epoch
    share = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    if schedule.name == "poly":
        share *= (1 - done) ** schedule.power
    elif schedule.name == "cosine":
        share *= 0.5 + 0.5 * math.cos(math.pi * done)
    elif schedule.name == "first-epochs":
        share *= schedule.factor ** min(int(epoch), schedule.epochs)
    elif schedule.name == "plateau":
        share *= schedule.factor**watch.drops
    return recipe.optimiser.learning_rate * share
