"""Lessons from synthetic CT made while the network learns: no data set, no file but a stock of samples."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.cards.input_card import Channel, InputCard
from models.preprocess import channels
from models.synthetic_ct.samples import Sample
from models.synthetic_ct.tissues.tissue_maps import CLASSES
from models.training.learning.learner import Machine
from models.training.learning.lessons import Look
from models.training.losses.losses import loss_named
from models.training.losses.target import Target
from models.training.recipes.recipe import Recipe
from models.training.refusals import TrainingRefused
from models.training.samples.sampling import Batch
from models.training.synthetic.device_stock import DeviceStock
from models.training.synthetic.figures import mean_dsc, phantom_cases
from models.training.synthetic.sample_stock import SampleStock

_EPOCH_BATCHES = 250
_VALIDATION_FIRST = 400  # phantoms beside those that figures are computed on


@dataclass(frozen=True, slots=True)
class Seen:
    """Which samples a step sees: making one takes longer than a step of a small network.

    Attributes:
        seed: of the run.
        batch: samples a step, of all processes.
        sees: how often a sample is seen, on average.
    """

    seed: int
    batch: int
    sees: int

    def newest(self, step: int) -> int:
        """Number of the first sample that was not yet seen before step ``step``."""
        return -(-step * self.batch // self.sees)

    def numbers(self, step: int, keep: int) -> list[int]:
        """Those of step ``step``: new ones, then some of the last ``keep`` again."""
        first, end = self.newest(step), self.newest(step + 1)
        new = list(range(first, end))
        rng = np.random.default_rng((self.seed, 4, step))
        again = rng.integers(max(0, end - keep), end, self.batch - len(new))
        return new + [int(n) for n in again]


class SyntheticLessons:
    """Batches from a stock of synthetic samples, validation on phantoms that are never trained on.

    Args:
        stock: where samples come from.
        seen: which of them a step sees.
        recipe: its structures, channels, loss and validation.
        machine: whose part of each batch is made, and where.
        producers: processes that make samples ahead.

    Raises:
        TrainingRefused: ``training.not-synthetic``, the recipe asks for what synthetic samples do not have.
    """

    def __init__(
        self,
        stock: SampleStock | DeviceStock,
        seen: Seen,
        recipe: Recipe,
        machine: Machine,
        producers: int = 0,
    ) -> None:
        _check(recipe, machine)
        self._stock, self._seen, self._recipe, self._machine = stock, seen, recipe, machine
        self._producers, self._running = producers, ExitStack()
        self._class_of = {name: number for number, (name, _) in CLASSES.items()}
        numbers = [
            Channel(c.clip_hu, float(c.subtract_hu), float(c.divide_hu)) for c in recipe.input.channels
        ]
        self.input: InputCard = recipe.input.card(tuple(numbers))
        self._loss = loss_named(recipe.loss.name, recipe.activation, **recipe.loss.arguments)
        count = 4 if recipe.validation.cases is None else recipe.validation.cases
        spacing = spacing_mm(recipe)
        patch = recipe.input.patch_zyx
        self._validation = list(phantom_cases(patch, spacing, count, first=_VALIDATION_FIRST))

    @property
    def epoch_batches(self) -> int:
        """There is no end of samples: what the recipe says, or 250."""
        return self._recipe.sampling.epoch_batches or _EPOCH_BATCHES

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        processes = self._machine.processes
        if self._producers:
            self._running.enter_context(self._stock.produced_ahead(self._producers, self._seen.newest(step)))
            self._producers = 0
        numbers = self._seen.numbers(step, self._stock.keep)[processes.rank :: processes.count]
        return self._batch_of([self._stock.get(number) for number in numbers])

    def look(self, network: nn.Module) -> Look:
        """Loss and mean DSC on phantoms that are never trained on."""
        if not self._validation:
            return Look(float("nan"))
        losses: list[float] = []
        for sample in self._validation:
            batch = self._batch_of([sample]).to(self._machine.device)
            with torch.no_grad(), self._machine.autocast():
                scales = network.scales(batch.x)  # type: ignore[operator]
            losses.append(float(self._loss(scales, batch.target)))
        dsc = mean_dsc(network, self.input.channels, self._validation, self._recipe.outputs)
        return Look(float(np.mean(losses)), dsc)

    def next_cycle(self, network: nn.Module, cycle: int) -> None:
        """Nothing changes: no sample ever came again for long."""

    def state(self) -> Mapping[str, Tensor]:
        """Nothing beside the step decides."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """There is none."""

    def close(self) -> None:
        """End the processes that make samples."""
        self._running.close()

    def _batch_of(self, samples: list[Sample]) -> Batch:
        hu = torch.stack([sample.hu for sample in samples])
        labels = torch.stack([sample.labels for sample in samples])
        masks = torch.stack([labels == self._class_of[name] for name in self._recipe.targets], dim=1)
        known = torch.ones(masks.shape[:2], dtype=torch.bool, device=masks.device)
        return Batch(channels(hu, self.input.channels), Target(masks, known))


def spacing_mm(recipe: Recipe) -> float:
    """The width of a synthetic sample's voxels.

    Raises:
        TrainingRefused: ``training.not-synthetic``, it is not the same along all axes.
    """
    z, y, x = recipe.input.spacing_zyx_mm
    if z is None or not z == y == x:
        sentence = (
            "Synthetic samples have the same spacing along every axis, and this recipe has not. Make a data "
            "set with delineate data synthesize and give it with --data, or set input.spacing_zyx_mm."
        )
        raise TrainingRefused("training.not-synthetic", sentence)
    return z


def _check(recipe: Recipe, machine: Machine) -> None:
    spacing_mm(recipe)
    shown = recipe.input
    known = {name for name, _ in CLASSES.values()}
    missing = [name for name in recipe.targets if name not in known]
    computed = any(isinstance(v, str) for c in shown.channels for v in (c.subtract_hu, c.divide_hu))
    if missing or computed or shown.patch_zyx[0] == 1 or shown.crop is not None:
        why = f"structures {', '.join(missing)}" if missing else "slices, a crop or channels from data"
        sentence = (
            f"Synthetic samples do not have what this recipe asks for: {why}. Make a data set with delineate "
            "data synthesize and give it with --data."
        )
        raise TrainingRefused("training.not-synthetic", sentence)
    if recipe.batch % machine.processes.count:
        sentence = f"A batch of {recipe.batch} cannot be shared by {machine.processes.count} processes."
        raise TrainingRefused("training.batch-not-shared", sentence)
