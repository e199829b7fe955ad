"""How well a network does on synthetic cases it has not seen. Not clinical evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.cards.input_card import Channel
from models.chance import Chance
from models.preprocess import channels
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED, pelvic_phantom
from models.synthetic_ct.samples import Sample, SyntheticCt, averaged_down
from models.synthetic_ct.tissues.tissue_maps import CLASSES, read_left_out
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


def phantom_cases(
    patch_zyx: tuple[int, int, int], spacing_mm: float, count: int, first: int = 0
) -> Iterator[Sample]:
    """Phantoms that are never trained on from number ``first`` on: the pelvis, straight, in one patch."""
    for k in range(first, first + count):
        phantom = pelvic_phantom(NEVER_TRAINED_FROM_SEED + 100 + k)
        slices, rows, columns = (2 * n for n in patch_zyx)
        half = spacing_mm / 2
        middle = phantom.origin_lps_mm + np.array([0.0, 0.0, 50.0])
        corner = middle - half * np.array([columns - 1, rows - 1, slices - 1]) / 2
        origins = corner + np.outer(np.arange(slices) * half, (0.0, 0.0, 1.0))
        grid = Grid(origins, np.array([half, 0, 0]), np.array([0, half, 0]), rows, columns)
        yield averaged_down(phantom.sample(grid))


def mean_dsc(
    network: nn.Module, wanted: Sequence[Channel], cases: Iterable[Sample], outputs: Sequence[str]
) -> dict[str, float]:
    """Mean DSC of the network's raw answer, by output; the network looks at each case as one patch.

    A structure counts in the cases that show at least five voxels of it; one that no case shows is left out.

    Args:
        network: on any device.
        wanted: channels of its input.
        cases: with the labels of `models.synthetic_ct.tissues.tissue_maps.CLASSES`.
        outputs: of the network. With ``background`` first the winner is the answer, else every output that is
            more likely than not.
    """
    network.eval()
    device = next(network.parameters()).device
    class_of = {name: number for number, (name, _) in CLASSES.items()}
    found: dict[str, list[float]] = {}
    for case in cases:
        with torch.inference_mode():
            logits = network(channels(case.hu[None].to(device), wanted))[0].cpu()
        for at, name in enumerate(outputs):
            if name not in class_of:
                continue
            said = logits.argmax(0) == at if outputs[0] == "background" else logits[at] > 0
            truth = case.labels.cpu() == class_of[name]
            if int(truth.sum()) >= _FEWEST_VOXELS:
                both = 2 * int((truth & said).sum())
                found.setdefault(name, []).append(both / (int(truth.sum()) + int(said.sum())))
    return {name: float(np.mean(found[name])) for name in outputs if name in found}
