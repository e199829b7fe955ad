"""Every network, narrow, trained for a few seconds on coarse phantoms as ``delineate train`` does it.

Each follows a recipe of its own with what ``--set`` may override: few structures, steps and voxels, no
augmentation, and a loss that has cross-entropy and Dice in it. Dice alone lets a sigmoid network fall silent in
so few steps, cross-entropy alone lets it call everything background.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from typer.testing import CliRunner

from models.data_sets.data_set import Case, DataSetWriter
from models.networks import NETWORKS
from models.synthetic_ct.phantoms.phantom import PhantomSample, pelvic_phantom
from models.training.recipes.recipe_book import read_recipe
from models.volume import Grid

SHAPE: Final = (16, 48, 96)
SPACING_MM: Final = (8.0, 5.0, 5.0)
"""Of the CT. All networks look at slices of 32 x 64 pixels of 7.5 mm."""
LOWEST_SLICE_MM: Final = -30.0
"""From the midpoint of the femoral heads, so that heads, bladder and both target volumes are seen."""

WOMEN: Final = (1000, 1001, 1002, 1003, 1004, 1005, 1007)
"""Seeds of patients with target volumes; the last of them chooses the thresholds."""

_PAPERS: Final[Mapping[str, tuple[str, ...]]] = {
    "xiao-2022": ("structures=[CTV]", "loss={name: cross-entropy-and-dice, arguments: {alpha: 1, beta: 1}}"),
    "huang-2023": ("input.crop.size_yx=[32, 64]",),  # its own structure, CTVp, and its own loss
    "liu-x-2024": (
        "structures=[CTVp, Bladder]",
        "loss={name: cross-entropy-and-batch-dice}",
        "input.crop.size_yx=[32, 64]",
    ),
    "liu-z-2020": (
        "structures=[Bladder, Femur_Head_L, Femur_Head_R]",
        "loss={name: cross-entropy-and-dice, arguments: {alpha: 1, beta: 1}}",
    ),
    "sartor-2020": ("structures=[CTVn]", "loss={name: cross-entropy-and-batch-dice}"),
    "house": ("structures=[CTV, Bladder]",),
}


@dataclass(frozen=True)
class Lesson:
    """What it takes a network to draw something at the right place."""

    steps: int = 60
    batch: int = 4
    learning_rate: float = 3e-3
    arguments: str = ""
    """In place of ``width`` alone."""


_LESSONS: Final[Mapping[str, Lesson]] = {
    "refinenet": Lesson(100, learning_rate=1e-2),
    "refinenet-plus-3d": Lesson(100, batch=8, learning_rate=1e-2),
    "fcn": Lesson(80),
    "unet": Lesson(100),
    "ce-net": Lesson(100, learning_rate=1e-2),
    "unet-3d": Lesson(80, batch=1),
    "resunet-3d": Lesson(120, batch=1),
    "resau-net": Lesson(120),
    "attention-unet": Lesson(160),
    "cab-unet": Lesson(150),
    "recomia": Lesson(150, batch=1, learning_rate=3e-3, arguments="{width: 1}"),
    "unet-res-enc": Lesson(
        100, batch=2, learning_rate=5e-3, arguments="{features: [24, 48, 96], width: 0.34}"
    ),
}


def recipe_of(network: str) -> str:
    """The recipe of its own paper, by name."""
    paper = NETWORKS[network].paper
    return f"{network}--{'delineate' if paper == 'house' else paper}"


def settings_of(network: str) -> list[str]:
    """What is overridden of it, as after ``--set``."""
    entry, lesson = NETWORKS[network], _LESSONS.get(network, Lesson())
    return [
        *_PAPERS[entry.paper],
        f"input.patch_zyx={[1, 32, 64] if entry.dimensions == 2 else [8, 32, 32]}",
        f"input.spacing_zyx_mm={'[null, 7.5, 7.5]' if entry.dimensions == 2 else [8.0, 7.5, 7.5]}",
        f"batch={lesson.batch}",
        f"network.arguments={lesson.arguments or f'{{width: {entry.test_width}}}'}",
        f"optimiser={{name: adam, learning_rate: {lesson.learning_rate}, average: 0.9}}",
        f"end={{steps: {lesson.steps}, keep: last}}",
        "schedule={name: cosine, warmup_steps: 20}",
        "sampling.around_structures=0.7",
        "augmentation=[]",
        "validation={every_epochs: 1000, batches: 1, cases: 0, bundle: false}",
    ]


def structures_of(network: str) -> tuple[str, ...]:
    """What it learns here."""
    return read_recipe(recipe_of(network), settings_of(network)).structures


def phantom_ct(seed: int) -> PhantomSample:
    """A coarse CT of the lower pelvis."""
    patient = pelvic_phantom(seed)
    dz, dy, dx = SPACING_MM
    across = (-dx * (SHAPE[2] - 1) / 2, -dy * (SHAPE[1] - 1) / 2, LOWEST_SLICE_MM)
    origins = patient.origin_lps_mm + across + np.outer(np.arange(SHAPE[0]) * dz, (0.0, 0.0, 1.0))
    grid = Grid(origins, np.array([dx, 0, 0]), np.array([0, dy, 0]), SHAPE[1], SHAPE[2])
    return patient.sample(grid)


def write_phantoms(folder: Path) -> None:
    """A data set of the women, with their target volumes."""
    structures = sorted({name for network in NETWORKS for name in structures_of(network)})
    writer = DataSetWriter(folder, structures, "phantoms", licence="none needed")
    for number, seed in enumerate(WOMEN, start=1):
        sample = phantom_ct(seed)
        masks = {name: mask for name, mask in sample.known().items() if name in structures}
        part = "validation" if seed == WOMEN[-1] else "train"
        writer.add(Case(f"p{number:04}-1", f"p{number:04}", sample.volume, masks), part)
    writer.close()


def train(network: str, folder: Path) -> str:
    """``delineate train`` into ``folder/network``, on one thread; what it said if it failed, else nothing."""
    from service.command_line.training import app

    changed = [word for setting in settings_of(network) for word in ("--set", setting)]
    told = (recipe_of(network), "--data", folder / "data", "--out", folder / network)
    machine = ("--prepared", folder / "prepared", "--device", "cpu", "--threads", 1)
    result = CliRunner().invoke(app, [str(word) for word in (*told, *machine, *changed)])
    return f"{result.output}\n{result.exception!r}" if result.exit_code else ""


def train_all(folder: Path) -> dict[str, str]:
    """Every network into ``folder/<network>``, in two processes; what each said if it failed, else nothing."""
    write_phantoms(folder / "data")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        told = {network: pool.submit(train, network, folder) for network in NETWORKS}
        return {network: each.result() for network, each in told.items()}
