"""The samples of a training run as files in its folder, made ahead of training by other processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.synthetic_ct.samples import Sample, SyntheticCt
from models.synthetic_ct.tissues.tissue_maps import read_tissue_maps

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

_POLL_SECONDS = 0.05
AHEAD = 16
"""Producers are at most so many samples ahead of what was asked for."""

KEEP = 240
"""So many of the newest samples are kept, to be seen again."""


@dataclass(frozen=True, slots=True)
class SampleRecipe:
    """What samples of a run are made of; the same recipe gives the same samples.

    Attributes:
        seed: of the run.
        patch_zyx: voxels of a patch.
        spacing_mm: width of its voxels.
        tissue_maps: file of tissue maps, or None.
        leave_out: patients of it that are kept for evaluation.
        phantom_seeds: first, and one past the last.
        phantom_share: how many samples are phantoms, 0 to 1.
        device: where samples are made.
    """

    seed: int
    patch_zyx: tuple[int, int, int]
    spacing_mm: float
    tissue_maps: Path | None = None
    leave_out: tuple[str, ...] = ()
    phantom_seeds: tuple[int, int] = (0, 0)
    phantom_share: float = 0.3
    device: str = "cpu"

    def maker(self) -> SyntheticCt:
        """The maker of these samples; reads the tissue maps."""
        maps = list(read_tissue_maps(self.tissue_maps, self.leave_out)) if self.tissue_maps else []
        return SyntheticCt(
            self.seed,
            self.patch_zyx,
            self.spacing_mm,
            maps,
            self.phantom_seeds,
            self.phantom_share,
            self.device,
        )


@dataclass(slots=True)
class SampleStock:
    """Samples by number: made where they are missing, thrown away when they are old.

    Attributes:
        recipe: what they are made of.
        folder: where they lie.
        keep: so many of the newest are kept, to be seen again.
    """

    recipe: SampleRecipe
    folder: Path
    keep: int = KEEP
    _maker: SyntheticCt | None = field(init=False, default=None)
    _producers: list[BaseProcess] = field(init=False, default_factory=list)
    _produced_from: int = field(init=False, default=0)
    _asked: Synchronized[int] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._asked = multiprocessing.get_context("spawn").Value("q", 0)

    def get(self, number: int) -> Sample:
        """Sample ``number``: from its file, from a producer that is about to write it, or made here."""
        self._asked.value = max(self._asked.value, number)
        file = _file(self.folder, number)
        coming = bool(self._producers) and number >= self._produced_from
        while coming and not file.exists() and all(p.is_alive() for p in self._producers):
            time.sleep(_POLL_SECONDS)
        if not file.exists():
            self._maker = self._maker or self.recipe.maker()
            _write(file, self._maker.sample(number))
        sample = _read(file)
        self.forget(number - self.keep - 1)
        return sample

    @contextmanager
    def produced_ahead(
        self, count: int, first: int, ahead: int = AHEAD, *, only_phantoms: bool = False
    ) -> Iterator[None]:
        """``count`` processes make samples from number ``first`` on while the body runs.

        ``ahead`` is by how many numbers they are ahead of what was asked for; they may leave samples of
        tissue maps out.
        """
        context = multiprocessing.get_context("spawn")
        self._asked.value = max(self._asked.value, first)
        self._produced_from = first
        for k in range(count):
            numbers = Numbers(first + k, count, ahead, only_phantoms)
            arguments = (self.recipe, self.folder, numbers, self._asked, os.getpid())
            process: BaseProcess = context.Process(target=produce, args=arguments, daemon=True)
            process.start()
            self._producers.append(process)
        try:
            yield
        finally:
            for process in self._producers:
                process.terminate()
                process.join()
            self._producers.clear()

    def forget(self, number: int) -> None:
        """Throw sample ``number`` away, if it is there."""
        if number >= 0:
            _file(self.folder, number).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which samples one producer makes: ``first``, every ``step``-th after it, ``ahead`` of what is asked."""

    first: int
    step: int
    ahead: int
    only_phantoms: bool


def produce(
    recipe: SampleRecipe, folder: Path, numbers: Numbers, asked: Synchronized[int], parent: int
) -> None:
    """Make samples until the parent is gone."""
    torch.set_num_threads(1)
    maker = recipe.maker()
    number = numbers.first
    while os.getppid() == parent:
        if number > asked.value + numbers.ahead:
            time.sleep(_POLL_SECONDS)
            continue
        file = _file(folder, number)
        if not file.exists() and (not numbers.only_phantoms or maker.shows_phantom(number)):
            _write(file, maker.sample(number))
        number += numbers.step


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.npz"


def _write(file: Path, sample: Sample) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with part.open("wb") as f:
        hu = sample.hu.round().to(torch.int16).cpu().numpy()
        np.savez(f, hu=hu, labels=sample.labels.cpu().numpy())
    part.replace(file)


def _read(file: Path) -> Sample:
    with np.load(file) as archive:
        return Sample(torch.from_numpy(archive["hu"].astype(np.float32)), torch.from_numpy(archive["labels"]))
