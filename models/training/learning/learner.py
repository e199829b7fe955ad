"""A network that learns: one step on one batch, the running average of its weights, what a bundle gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn

from models.training.learning.lessons import Batch
from models.training.learning.optimisation import optimiser_of
from models.training.learning.processes import Processes
from models.training.learning.run_state import RunState, averaged_state, best_of
from models.training.losses.losses import loss_named
from models.training.recipes.recipe import Recipe
from models.training.refusals import TrainingRefused

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: Final[Mapping[str, Precision]] = {each: each for each in get_args(Precision)}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run trains on; no part of the recipe.

    Attributes:
        device: of this process.
        precision: of the network's arithmetic; losses, weights and sums are float32.
        processes: that train together.
        workers: threads that make samples ahead.
        checkpoint_steps: between two checkpoints.
        compiled: let PyTorch's compiler fuse the network's arithmetic: a minute or more at the beginning of
            a run, then two to three times as many steps on a GPU; the last digits of the sums differ.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"
    processes: Processes = field(default_factory=Processes)
    workers: int = 0
    checkpoint_steps: int = 200
    compiled: bool = False

    def autocast(self) -> torch.autocast:
        """Arithmetic in ``precision`` where PyTorch finds that safe."""
        short = self.precision != "float32"
        return torch.autocast(self.device.type, getattr(torch, self.precision), enabled=short)


class Learner:
    """A network with its optimiser.

    Args:
        recipe: how it learns.
        network: with ``scales(x)``; moved to the machine's device.
        machine: what it learns on.
        seed: of whatever the network draws itself (dropout): each step draws the same whenever it is done.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, machine: Machine, seed: int) -> None:
        self.recipe, self.machine, self._seed = recipe, machine, seed
        flat = network.dimensions == 2
        self._format = torch.channels_last if flat else torch.channels_last_3d
        self.network = network.to(machine.device)
        self.network.to(memory_format=self._format)  # type: ignore[call-overload]
        scales: Callable[[Tensor], tuple[Tensor, ...]] = network.scales  # type: ignore[assignment]
        self._scales = torch.compile(scales, dynamic=False) if machine.compiled else scales
        self._parameters = list(self.network.parameters())
        wanted = recipe.optimiser.average is not None
        averages = {name: p.detach().clone() for name, p in self.network.named_parameters() if wanted}
        optimiser = optimiser_of(recipe.optimiser, self._parameters)
        self.state = RunState(self.network, optimiser, averages, recipe.end.keep == "best")
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "float16")
        self.loss = loss_named(recipe.loss.name, recipe.activation, **recipe.loss.arguments)

    def learn(self, batch: Batch, rate: float, step: int) -> float:
        """One step on this process's part of a batch; the loss, mean over the processes.

        Raises:
            TrainingRefused: ``training.diverged``; the weights are those before the step.
        """
        machine, optimiser = self.machine, self.state.optimiser
        for group in optimiser.param_groups:
            group["lr"] = rate
        x = batch.x.to(machine.device, non_blocking=True).contiguous(memory_format=self._format)
        torch.manual_seed((self._seed << 32) + step * machine.processes.count + machine.processes.rank)
        self.network.train()
        with machine.autocast():
            scales = self._scales(x)
        loss: Tensor = self.loss(scales, batch.target.to(machine.device))
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        value = self._shared(loss)
        if not math.isfinite(value):
            sentence = (
                f"The loss of step {step + 1} is not a number. Lower optimiser.learning_rate or set "
                "optimiser.clip_norm, and begin in another folder."
            )
            raise TrainingRefused("training.diverged", sentence)
        if self.recipe.optimiser.clip_norm is not None:
            self.scaler.unscale_(optimiser)
            torch.nn.utils.clip_grad_norm_(self._parameters, self.recipe.optimiser.clip_norm)
        self.scaler.step(optimiser)
        self.scaler.update()
        optimiser.zero_grad(set_to_none=True)
        self._average(step + 1)
        return value

    def _shared(self, loss: Tensor) -> float:
        """Average gradients, loss and running statistics over the processes; the mean loss."""
        if self.machine.processes.count > 1:
            for parameter in self._parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            statistics = [b for b in self.network.buffers() if b.is_floating_point()]
            loss = loss.detach().clone()
            self.machine.processes.average([loss, *gradients, *statistics])
        return float(loss.detach())

    def _average(self, steps: int) -> None:
        """Follow the weights slowly, less slowly at the beginning."""
        if self.recipe.optimiser.average is None:
            return
        new = 1 - min(self.recipe.optimiser.average, steps / (steps + 9))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self.state.averages[name].lerp_(parameter, new)

    @contextmanager
    def at_its_best(self) -> Iterator[nn.Module]:
        """The network in evaluation mode with the averages for weights; then back to the last bit."""
        averages = self.state.averages
        kept = {name: p.detach().clone() for name, p in self.network.named_parameters() if averages}
        try:
            self._put(averages)
            yield self.network.eval()
        finally:
            self._put(kept)

    def _put(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                self.network.get_parameter(name).copy_(weight)

    def keep(self) -> None:
        """Remember the weights as the best so far, if the recipe wants the best."""
        if self.state.keeps_best:
            self.state.best = best_of(self.network, self.state.averages)

    def weights(self) -> dict[str, Tensor]:
        """What a bundle gets: the best weights, the averages, or the last ones."""
        if self.state.keeps_best and self.state.best:
            return dict(self.state.best)
        return averaged_state(self.network, self.state.averages)
