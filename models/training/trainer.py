"""One training run: AdamW on a cosine, an average of the weights, checkpoints to go on from exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.card import Channel
from models.preprocess import channels
from models.training.losses import deeply_supervised_loss
from models.training.sample_stock import SampleStock
from models.training.synthetic_ct import Sample


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Attributes:
        seed: of the order of samples.
        steps: stop after so many; None: no limit.
        hours: stop after so long, pauses left out; None: no limit. One of the two must be given.
        batch: samples a step.
        sees: how often a sample is seen, on average; making one costs more than a step on a small network.
        learning_rate: highest, after the warm-up; falls along a cosine to nothing at the end.
        warmup_steps: over which it rises.
        weight_decay: of AdamW.
        average: share of the old in the running average of the weights, reached slowly.
        half_weight: of the loss at half resolution.
        bfloat16: compute in bfloat16 where torch finds it safe.
        checkpoint_steps: between two checkpoints.
    """

    seed: int = 1
    steps: int | None = None
    hours: float | None = None
    batch: int = 2
    sees: int = 2
    learning_rate: float = 1e-3
    warmup_steps: int = 60
    weight_decay: float = 2e-2
    average: float = 0.998
    half_weight: float = 0.3
    bfloat16: bool = False
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        if self.steps is None and self.hours is None:
            message = "a training run needs an end: give a number of steps, of hours, or both"
            raise ValueError(message)

    def done(self, step: int, seconds: float) -> float:
        """How much of the run is over, 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (3600 * self.hours) if self.hours else 0.0
        return min(1.0, max(by_steps, by_time))

    def rate(self, step: int, seconds: float) -> float:
        """Learning rate of step number ``step``, from 0."""
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * rise * (0.5 + 0.5 * math.cos(math.pi * self.done(step, seconds)))

    def newest(self, step: int) -> int:
        """Number of the first sample that was not yet seen before step ``step``."""
        return -(-step * self.batch // self.sees)

    def sample_numbers(self, step: int, keep: int) -> list[int]:
        """Which samples step ``step`` sees: new ones, then some of the last ``keep`` again."""
        first, end = self.newest(step), self.newest(step + 1)
        new = list(range(first, end))
        rng = np.random.default_rng((self.seed, 4, step))
        again = rng.integers(max(0, end - keep), end, self.batch - len(new))
        return new + [int(n) for n in again]


class Trainer:
    """Trains one network in one folder.

    Args:
        network: with ``scales(x)``; moved to ``device``.
        channels: of its input.
        stock: where samples come from.
        plan: how to train.
        folder: for the checkpoint and ``progress.csv``.
        device: to train on.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: tuple[Channel, ...],
        stock: SampleStock,
        plan: Plan,
        folder: Path,
        device: str = "cpu",
    ) -> None:
        self.network = network.to(device=device)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.channels, self.stock, self.plan, self.folder = channels, stock, plan, folder
        self.device = torch.device(device)
        self.parameters = list(self.network.parameters())
        self.averages = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, betas=(0.9, 0.98)
        )
        self.step = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """The file from which the run goes on."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> bool:
        """Go on from the checkpoint if there is one; True if there was."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        for average, kept in zip(self.averages, state["averages"], strict=True):
            average.copy_(kept)
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the last one."""
        part = self.checkpoint.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "averages": self.averages,
                "step": self.step,
                "seconds": self.seconds,
            },
            part,
        )
        part.replace(self.checkpoint)

    def run(self, report: Callable[[int, float], None] | None = None, until: int | None = None) -> None:
        """Train to the plan's end, or to step ``until``; ``report`` hears each step's number and loss."""
        self.network.train()
        while self.plan.done(self.step, self.seconds) < 1 and (until is None or self.step < until):
            began = time.monotonic()
            loss = self._one_step()
            self.seconds += time.monotonic() - began
            if report is not None:
                report(self.step, loss)
            if self.step % self.plan.checkpoint_steps == 0:
                self.save()
        self.save()

    def _one_step(self) -> float:
        plan = self.plan
        rate = plan.rate(self.step, self.seconds)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        samples = [self.stock.get(n) for n in plan.sample_numbers(self.step, self.stock.keep)]
        x, labels = self._batch(samples)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.bfloat16):
            full, half = self.network.scales(x)  # type: ignore[operator]
        loss: Tensor = deeply_supervised_loss(full, half, labels, plan.half_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        new = 1 - min(plan.average, self.step / (self.step + 9))
        with torch.no_grad():
            for average, parameter in zip(self.averages, self.parameters, strict=True):
                average.lerp_(parameter, new)
        value = float(loss.detach())
        with (self.folder / "progress.csv").open("a") as progress:
            progress.write(f"{self.step},{value:.5f},{rate:.3e},{self.seconds:.1f}\n")
        return value

    def _batch(self, samples: list[Sample]) -> tuple[Tensor, Tensor]:
        hu = torch.stack([s.hu for s in samples]).to(self.device)
        labels = torch.stack([s.labels for s in samples]).to(self.device)
        x = channels(hu, self.channels)
        return x.contiguous(memory_format=torch.channels_last_3d), labels

    def averaged_state(self) -> Mapping[str, Tensor]:
        """The state dict with averaged weights, float32 on the CPU: what a bundle gets."""
        state = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        for (name, _), average in zip(self.network.named_parameters(), self.averages, strict=True):
            state[name] = average.cpu().clone()
        return state
