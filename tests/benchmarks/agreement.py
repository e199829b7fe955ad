"""How far two segmentations of one CT are the same."""

from __future__ import annotations

import numpy as np

from models.volume import CtVolume, Segmentation


def dscs(a: Segmentation, b: Segmentation, volume: CtVolume) -> dict[str, float]:
    shape = volume.hu.shape
    found = {}
    for name in sorted(set(a.structures) | set(b.structures)):
        masks = [one.structures[name].mask(shape) if name in one.structures else None for one in (a, b)]
        if masks[0] is None or masks[1] is None:
            found[name] = 0.0
            continue
        x, y = masks
        found[name] = round(float(2 * (x & y).sum() / (x.sum() + y.sum())), 5)
    return found


def same_bits(a: Segmentation, b: Segmentation) -> bool:
    if set(a.structures) != set(b.structures):
        return False
    return all(np.array_equal(a.structures[n].field, b.structures[n].field) for n in a.structures)
