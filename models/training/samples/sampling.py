"""Batches of slices or patches from prepared cases: which, in what order, and how they are changed.

Sample number n of a run follows from the seed, n, and the false positives noted last; step t sees the samples
``t * batch`` to ``(t + 1) * batch - 1``. So a run that is resumed with the same state goes on with the same
samples, however many processes share a batch and however many threads make it.

In two dimensions an epoch is each slice once, in an order of its own; in three each case once, each time
another patch of it. Cases and slices without any of the structures stay in as negatives (Xiao 2022,
discussion): where a structure is known to be absent the network is told so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards.input_card import Channel
from models.chance import Chance
from models.data_sets.data_set import DataSetInvalid
from models.training.losses.target import Target
from models.training.recipes.recipe import Recipe
from models.training.samples.augmentation import Augmentations
from models.training.samples.false_positives import FalsePositives
from models.training.samples.patches import PatchReader, Sample, Start
from models.training.samples.prepared_cases import PreparedCase, PreparedCases

_AHEAD: Final = 2  # batches that threads make before they are asked for


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """What one step sees.

    Attributes:
        x: ``(n, channels, *spatial)`` float32.
        target: at full resolution.
    """

    x: Tensor
    target: Target

    def to(self, device: torch.device | str) -> Batch:
        """The same on ``device``."""
        return Batch(self.x.to(device, non_blocking=True), self.target.to(device))


class PatchSource:
    """Where the batches of a run come from.

    Args:
        cases: prepared for this recipe.
        names: of the cases to draw from.
        recipe: patch, augmentation, sampling and batch size.
        channels: with their numbers (`models.training.samples.normalisation`).
        seed: of the run.
        augmented: False for validation: nothing is changed.
        part: rank and number of the processes that share each batch.
        threads: that make samples ahead; 0: made when asked for. The samples are the same.
        device: where patches are warped; batches are there.

    Raises:
        DataSetInvalid: ``data.nothing-known``, no case shows any of the structures; as `PreparedCases.get`.
    """

    def __init__(  # noqa: PLR0913 - what a run draws from, each by its name
        self,
        cases: PreparedCases,
        names: Iterable[str],
        recipe: Recipe,
        channels: tuple[Channel, ...],
        *,
        seed: int,
        augmented: bool = True,
        part: tuple[int, int] = (0, 1),
        threads: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        every = [cases.get(name) for name in names]
        self.left_out = tuple(case.name for case in every if not case.known.any())
        """Cases in which none of the structures was looked for: nothing can be learned from them."""
        self._cases = [case for case in every if case.known.any()]
        self._recipe, self._seed, self._part = recipe, seed, part
        self._augmentations = Augmentations.of(recipe.augmentation if augmented else (), cases.structures)
        self._reader = PatchReader(recipe.input, channels, self._augmentations.mirror, torch.device(device))
        self._places = _places(self._cases, self._reader.planar)
        self._order = lru_cache(maxsize=4)(self._shuffled)
        self._false_positives = FalsePositives(self._cases)
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._coming: dict[int, Future[Sample]] = {}
        if not self._length:
            sentence = (
                f"None of these cases shows {', '.join(cases.structures)}. "
                "Choose other structures, or a data set in which they are drawn."
            )
            raise DataSetInvalid("data.nothing-known", sentence)

    @property
    def epoch_batches(self) -> int:
        """Batches in an epoch: what the recipe says, or as many as see each slice, or each case, once."""
        return self._recipe.sampling.epoch_batches or math.ceil(self._length / self._recipe.batch)

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of step ``step``, from 0."""
        numbers = self._numbers(step)
        if self._pool is None:
            samples = [self._sample(n) for n in numbers]
        else:
            self._make_ahead(self._pool, step)
            samples = [self._coming.pop(n).result() for n in numbers]
        return Batch(
            torch.stack([sample.x for sample in samples]),
            Target(
                torch.stack([sample.masks for sample in samples]),
                torch.stack([sample.known for sample in samples]),
            ),
        )

    def remember_false_positives(self, name: str, predicted: Tensor) -> int:
        """Note where the network is wrong on a case; as `FalsePositives.remember`."""
        self._forget_ahead()
        return self._false_positives.remember(name, predicted)

    def state(self) -> dict[str, Tensor]:
        """What must be kept beside the step's number: false positives by case."""
        return self._false_positives.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a ``state()``."""
        self._forget_ahead()
        self._false_positives.load_state(state)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def _length(self) -> int:
        """Places in an epoch."""
        with_structures, without = self._places
        return len(with_structures) + self._kept(without)

    def _kept(self, without: NDArray[np.int64]) -> int:
        share = self._recipe.sampling.slices_without if self._reader.planar else 1.0
        return round(share * len(without))

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        """``(places, 2)`` case and slice, in the order of that epoch."""
        rng = np.random.default_rng((self._seed, epoch, 1))
        with_structures, without = self._places
        some = rng.permutation(without)[: self._kept(without)]
        return rng.permutation(np.concatenate([with_structures, some]))

    def _numbers(self, step: int) -> list[int]:
        rank, count = self._part
        first = step * self._recipe.batch
        return list(range(first + rank, first + self._recipe.batch, count))

    def _make_ahead(self, pool: ThreadPoolExecutor, step: int) -> None:
        wanted = [n for ahead in range(step, step + _AHEAD + 1) for n in self._numbers(ahead)]
        for n in set(self._coming) - set(wanted):
            self._coming.pop(n).cancel()
        for n in wanted:
            if n not in self._coming:
                self._coming[n] = pool.submit(self._sample, n)

    def _forget_ahead(self) -> None:
        for future in self._coming.values():
            future.cancel()
        self._coming.clear()

    def _sample(self, number: int) -> Sample:
        chance = Chance.of(self._seed, number)
        case, start = self._chosen(number, chance)
        drawn = self._augmentations.drawn(self._reader.view(case), chance)
        return self._reader.read(case, start, drawn, chance)

    def _chosen(self, number: int, chance: Chance) -> tuple[PreparedCase, Start]:
        sampling = self._recipe.sampling
        which, z = self._order(number // self._length)[number % self._length]
        case = self._cases[which]
        kind = chance.between(0, 1) - sampling.around_false_positives
        if kind < 0:
            found = self._false_positives.drawn(chance)
            if found is not None:
                return found[0], self._start(found[0], chance, found[1])
        elif kind < sampling.around_structures:
            places = [each for each in case.places if len(each)]
            if places:
                of_structure = places[chance.below(len(places))]
                return case, self._start(case, chance, of_structure[chance.below(len(of_structure))])
        _, y, x = self._start(case, chance, None)
        return case, (int(z), y, x) if self._reader.planar else self._start(case, chance, None)

    def _start(self, case: PreparedCase, chance: Chance, centre: NDArray[Any] | None) -> Start:
        """First voxel of a patch in the case's box, about ``centre`` as far as there is room, or anywhere."""
        start: list[int] = []
        for axis, (n, box) in enumerate(zip(self._recipe.input.patch_zyx, case.box, strict=True)):
            room = box.stop - box.start - n
            if room <= 0:
                start.append(box.start - (-room) // 2)  # as `models.preprocess.padded` lays it
            elif centre is None:
                start.append(box.start + chance.below(room + 1))
            else:
                start.append(min(max(int(centre[axis]) - n // 2, box.start), box.start + room))
        return start[0], start[1], start[2]


def _places(cases: Iterable[PreparedCase], planar: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(k, 2)`` case and slice of places in an epoch: with any structure, and without; cases: slice 0."""
    shows: list[tuple[int, int]] = []
    empty: list[tuple[int, int]] = []
    for i, case in enumerate(cases):
        in_slice: NDArray[np.bool_] = np.any(case.in_slice, axis=0)
        for z in range(case.box[0].start, case.box[0].stop) if planar else (0,):
            shown = in_slice[z] if planar else True
            (shows if shown else empty).append((i, z))
    with_structures, without = (np.array(each, np.int64).reshape(-1, 2) for each in (shows, empty))
    return with_structures, without
