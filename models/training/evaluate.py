"""How well a network does on synthetic cases it has not seen. Not clinical evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.card import Channel
from models.preprocess import channels
from models.training.chance import Chance
from models.training.phantom import NEVER_TRAINED_FROM_SEED, pelvic_phantom
from models.training.synthetic_ct import Sample, SyntheticCt, averaged_down
from models.training.tissue_maps import CLASSES, read_left_out
from models.volume import Grid

_FEWEST_VOXELS = 5


def left_out_map_cases(
    tissue_maps: Path,
    patients: Sequence[str],
    patch_zyx: tuple[int, int, int],
    spacing_mm: float,
    count: int,
    seed: int = 5,
) -> Iterator[Sample]:
    """Synthetic CT of the patients left out of training, each in turn; the same ones every time."""
    maps = list(read_left_out(tissue_maps, patients))
    maker = SyntheticCt(seed, patch_zyx, spacing_mm, maps)
    for number in range(count):
        yield maker.from_map(number % len(maps), Chance.of(seed, number))


def phantom_cases(patch_zyx: tuple[int, int, int], spacing_mm: float, count: int) -> Iterator[Sample]:
    """Phantoms that are never trained on, centred on the pelvis, straight, in one patch."""
    for k in range(count):
        phantom = pelvic_phantom(NEVER_TRAINED_FROM_SEED + 100 + k)
        slices, rows, columns = (2 * n for n in patch_zyx)
        half = spacing_mm / 2
        middle = phantom.origin_lps_mm + np.array([0.0, 0.0, 50.0])
        corner = middle - half * np.array([columns - 1, rows - 1, slices - 1]) / 2
        origins = corner + np.outer(np.arange(slices) * half, (0.0, 0.0, 1.0))
        grid = Grid(origins, np.array([half, 0, 0]), np.array([0, half, 0]), rows, columns)
        yield averaged_down(phantom.sample(grid))


def mean_dsc(network: nn.Module, wanted: Sequence[Channel], cases: Iterable[Sample]) -> dict[str, float]:
    """Mean DSC of the network's raw winner-takes-all answer, by structure.

    A structure counts in the cases that show at least five voxels of it; one that no case shows is left out.
    """
    network.eval()
    found: dict[str, list[float]] = {}
    with torch.inference_mode():
        for case in cases:
            said = network(channels(case.hu[None], wanted))[0].argmax(0)
            for number, (name, _) in CLASSES.items():
                truth, mine = case.labels == number, said == number
                if int(truth.sum()) >= _FEWEST_VOXELS:
                    both = 2 * int((truth & mine).sum())
                    found.setdefault(name, []).append(both / (int(truth.sum()) + int(mine.sum())))
    return {name: float(np.mean(found[name])) for name, _ in CLASSES.values() if name in found}
