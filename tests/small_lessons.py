"""Lessons that take no time: a bright block, its place told by the number of the sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.networks import network_of
from models.training.learning.learner import Learner, Machine
from models.training.learning.lessons import Look
from models.training.learning.trainer import Trainer
from models.training.losses.target import Target
from models.training.recipes.recipe import Recipe
from models.training.recipes.recipe_book import overridden, recipe_of
from models.training.samples.sampling import Batch

CONTENT: dict[str, Any] = {
    "name": "tiny--nobody",
    "summary": "for tests",
    "network": {"name": "unet-res-enc", "arguments": {"features": [2, 4]}},
    "structures": ["Bladder"],
    "input": {"spacing_zyx_mm": [3, 3, 3], "patch_zyx": [8, 8, 8], "channels": [{"clip_hu": [-1, 1]}]},
    "loss": {"name": "cross-entropy-and-batch-dice", "arguments": {"scale_weights": [1.0, 0.3]}},
    "optimiser": {"name": "adamw", "learning_rate": 0.01, "average": 0.9},
    "schedule": {"name": "cosine"},
    "sampling": {"epoch_batches": 2},
    "end": {"steps": 6, "keep": "last"},
    "batch": 2,
}


def recipe(*settings: str) -> Recipe:
    """The recipe above with settings as on the command line."""
    return recipe_of(overridden(CONTENT, settings))


class BlockLessons:
    """What the network has learned is remembered from cycle to cycle as a number in the samples."""

    def __init__(self, of: Recipe, looks: list[Look] | None = None, part: tuple[int, int] = (0, 1)) -> None:
        self.recipe, self.looks, self.part = of, looks, part
        self.cycle = 0
        self.looked: list[Tensor] = []

    @property
    def epoch_batches(self) -> int:
        return (self.recipe.sampling.epoch_batches or 2) + self.cycle

    def batch(self, step: int) -> Batch:
        numbers = range(step * self.recipe.batch, (step + 1) * self.recipe.batch)
        samples = [self._sample(number) for number in list(numbers)[self.part[0] :: self.part[1]]]
        masks = torch.stack([mask for _, mask in samples])[:, None]
        known = torch.ones(len(masks), 1, dtype=torch.bool)
        return Batch(torch.stack([x for x, _ in samples])[:, None], Target(masks, known))

    def look(self, network: nn.Module) -> Look:
        assert not network.training
        self.looked.append(next(network.parameters()).detach().clone())
        if self.looks is not None:
            return self.looks[len(self.looked) - 1]
        with torch.no_grad():
            found = network(self.batch(0).x)
        return Look(float(found.square().mean()), {"Bladder": float(found.sigmoid().mean())})

    def next_cycle(self, network: nn.Module, cycle: int) -> None:
        assert not network.training
        self.cycle = cycle

    def state(self) -> Mapping[str, Tensor]:
        return {"cycle": torch.tensor(self.cycle)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.cycle = int(state["cycle"])

    def _sample(self, number: int) -> tuple[Tensor, Tensor]:
        mask = torch.zeros((8, 8, 8), dtype=torch.bool)
        start = (number + self.cycle) % 4
        mask[start : start + 4, 2:6, 1:6] = True
        noise = torch.randn((8, 8, 8), generator=torch.Generator().manual_seed(number)) * 0.1
        return mask * 2.0 - 1 + noise, mask


def trainer_of(
    of: Recipe, folder: Path, machine: Machine | None = None, looks: list[Look] | None = None
) -> Trainer:
    """A trainer with fresh weights, the same every time."""
    machine = machine or Machine(checkpoint_steps=2)
    torch.manual_seed(0)
    network = network_of(of.network, in_channels=1, outputs=len(of.outputs))
    lessons = BlockLessons(of, looks, (machine.processes.rank, machine.processes.count))
    return Trainer(Learner(of, network, machine, 1), lessons, folder, {"class list": list(of.outputs)})
