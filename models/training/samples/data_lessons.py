"""Lessons from the cases of a data set: patches of the training part, whole CTs of the validation part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.cards.input_card import InputCard
from models.data_sets.data_set import DataSet
from models.metrics import dice
from models.sliding_window import probabilities
from models.training.learning.learner import Machine
from models.training.learning.lessons import Look
from models.training.losses.losses import loss_named
from models.training.recipes.recipe import Recipe, ThresholdChoice
from models.training.refusals import TrainingRefused
from models.training.samples.normalisation import channels_of
from models.training.samples.prepared_cases import PreparedCase, PreparedCases
from models.training.samples.sampling import Batch, PatchSource

_CYCLE = "cycle"
_FOUND = "false-positives/"


class DataLessons:
    """Batches and validation from a data set.

    Args:
        data: the data set.
        recipe: what is done with it.
        folder: where prepared cases are kept.
        seed: of the run.
        machine: whose part of each batch is made, and where.
        preparing: told how much of the cases is on the network's grid.

    Raises:
        TrainingRefused: ``training.no-cases``, ``training.no-validation``, ``training.batch-not-shared``.
        DataSetInvalid: a case cannot be used, or none shows any of the structures.
    """

    def __init__(
        self,
        data: DataSet,
        recipe: Recipe,
        folder: Path,
        seed: int,
        machine: Machine,
        preparing: Callable[[float], None] = lambda _part: None,
    ) -> None:
        _check(data, recipe, machine)
        self._data, self._recipe, self._seed, self._machine = data, recipe, seed, machine
        self._cases = PreparedCases(data, recipe, folder)
        self._prepare(preparing)
        self.input: InputCard = recipe.input.card(channels_of(recipe, self._cases, data.names("train")))
        self._loss = loss_named(recipe.loss.name, recipe.activation, **recipe.loss.arguments)
        self._begin(0)

    @property
    def epoch_batches(self) -> int:
        """Batches in an epoch of the cycle."""
        return self._source.epoch_batches

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        return self._source.batch(step)

    def look(self, network: nn.Module) -> Look:
        """Validation loss on patches, and DSC on whole CTs, each process looking at its share of them."""
        losses = self._machine.processes.gathered(self._losses(network))
        loss = float(np.mean([value for part in losses for value in part])) if any(losses) else float("nan")
        wanted = self._recipe.validation.cases
        scores = self.dsc(network, self._validation[:wanted])
        return Look(loss, {name: float(np.mean(values)) for name, values in scores.items()})

    def dsc(self, network: nn.Module, names: Sequence[str]) -> dict[str, list[float]]:
        """DSC of each output in the cases where it is known, on the network's grid, nothing postprocessed."""
        processes = self._machine.processes
        own: dict[str, dict[str, float]] = {}
        for name in names[processes.rank :: processes.count]:
            case = self._cases.get(name)
            said = self._said(self.probabilities(network, case))
            known = [(s, output) for s, output in enumerate(self._recipe.targets) if case.known[s]]
            own[name] = {output: dice(said[s], case.mask(s)) for s, output in known}
        every = {name: scores for part in processes.gathered(own) for name, scores in part.items()}
        found: dict[str, list[float]] = {}
        for output in self._recipe.targets:
            values = [every[name][output] for name in names if output in every[name]]
            if values:
                found[output] = values
        return found

    def validation_cases(self) -> Iterator[PreparedCase]:
        """The cases of this cycle's validation part."""
        return (self._cases.get(name) for name in self._validation)

    def probabilities(self, network: nn.Module, case: PreparedCase) -> Tensor:
        """``(outputs, z, y, x)`` of a whole case, as the node would compute them."""
        machine = self._machine
        hu = torch.from_numpy(case.hu().astype(np.float32)).to(machine.device)
        return probabilities(
            network,
            hu,
            self.input,
            activation=self._recipe.activation,
            spacing_zyx_mm=case.spacing_zyx_mm,
            batch=4 if machine.device.type == "cuda" else 1,
            precision=getattr(torch, machine.precision),
        )

    def next_cycle(self, network: nn.Module, cycle: int) -> None:
        """Vary the validation part and look where the network is wrong, as far as the recipe asks for it."""
        self.close()
        self._begin(cycle)
        if self._recipe.sampling.around_false_positives > 0:
            processes = self._machine.processes
            own: dict[str, Tensor] = {}
            for name in self._training[processes.rank :: processes.count]:
                said = torch.from_numpy(self._said(self.probabilities(network, self._cases.get(name))))
                self._source.remember_false_positives(name, said)
                own[name] = self._source.state()[name]
            every = {name: found for part in processes.gathered(own) for name, found in part.items()}
            self._source.load_state(every)

    def state(self) -> Mapping[str, Tensor]:
        """The cycle's number and where the network was wrong."""
        found = {_FOUND + name: places for name, places in self._source.state().items()}
        return {_CYCLE: torch.tensor(self._cycle), **found}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on as when ``state`` was asked for."""
        self.close()
        self._begin(int(state[_CYCLE]))
        found = {key.removeprefix(_FOUND): each for key, each in state.items() if key.startswith(_FOUND)}
        self._source.load_state(found)

    def close(self) -> None:
        """End the threads that make samples."""
        self._source.close()

    def _prepare(self, told: Callable[[float], None]) -> None:
        """Bring every case to the network's grid, each process its share."""
        processes = self._machine.processes
        names = (*self._data.names("train"), *self._data.names("validation"))[
            processes.rank :: processes.count
        ]
        for number, name in enumerate(names, start=1):
            self._cases.get(name)
            told(number / len(names))
        processes.wait()

    def _begin(self, cycle: int) -> None:
        self._cycle = cycle
        self._training, self._validation = self._parts(cycle)
        self._source = self._patches(self._training, augmented=True)
        self._unchanged = self._patches(self._validation, augmented=False) if self._validation else None

    def _patches(self, names: Sequence[str], *, augmented: bool) -> PatchSource:
        processes = self._machine.processes
        return PatchSource(
            self._cases,
            names,
            self._recipe,
            self.input.channels,
            seed=self._seed,
            augmented=augmented,
            part=(processes.rank, processes.count),
            threads=self._machine.workers if augmented else 0,
            device=self._machine.device,
        )

    def _parts(self, cycle: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Training and validation cases: those of the data set, or each patient in turn for validation."""
        training, validation = self._data.names("train"), self._data.names("validation")
        if cycle == 0 or not self._recipe.end.vary_validation:
            return training, validation
        patient_of = {name: self._data.entry(name).patient for name in (*training, *validation)}
        now = self._drawn({patient_of[name] for name in validation})
        queue = [*now, *self._drawn(set(patient_of.values()) - set(now))]
        held = {queue[(cycle * len(now) + i) % len(queue)] for i in range(len(now))}
        return (
            tuple(name for name, patient in sorted(patient_of.items()) if patient not in held),
            tuple(name for name, patient in sorted(patient_of.items()) if patient in held),
        )

    def _drawn(self, patients: set[str]) -> list[str]:
        """In an order that follows from the seed."""
        return sorted(patients, key=lambda one: hashlib.sha256(f"{self._seed} {one}".encode()).digest())

    def _losses(self, network: nn.Module) -> list[float]:
        if self._unchanged is None:
            return []
        wanted = self._recipe.validation.batches
        found: list[float] = []
        for step in range(self._unchanged.epoch_batches if wanted is None else wanted):
            batch = self._unchanged.batch(step).to(self._machine.device)
            with torch.no_grad(), self._machine.autocast():
                scales = network.scales(batch.x)  # type: ignore[operator]
            found.append(float(self._loss(scales, batch.target)))
        return found

    def _said(self, found: Tensor) -> NDArray[np.bool_]:
        """``(structures, z, y, x)``: the winner under softmax, else what is more likely than not."""
        if self._recipe.activation == "sigmoid":
            return (found > 0.5).cpu().numpy()
        winner = found.argmax(0).cpu().numpy()
        return np.stack([winner == s for s in range(1, len(found))])


def _check(data: DataSet, recipe: Recipe, machine: Machine) -> None:
    if not data.names("train"):
        sentence = "The data set has no training cases. Import again with another split."
        raise TrainingRefused("training.no-cases", sentence)
    watched = recipe.end.keep == "best" or recipe.end.early_stop_epochs or recipe.schedule.name == "plateau"
    if not data.names("validation") and (watched or isinstance(recipe.thresholds, ThresholdChoice)):
        sentence = (
            "The recipe watches or chooses something on validation cases and the data set has none. Import "
            "again with another split; or set end.keep=last, end.early_stop_epochs=null, thresholds=null and "
            "another schedule than plateau."
        )
        raise TrainingRefused("training.no-validation", sentence)
    if recipe.batch % machine.processes.count:
        sentence = (
            f"A batch of {recipe.batch} cannot be shared by {machine.processes.count} processes. "
            "Set batch to a multiple of that."
        )
        raise TrainingRefused("training.batch-not-shared", sentence)
