"""The steps of :mod:`models.postprocess` for several structures at a time, where their margins are.

Volumes are known beforehand, from the parts of the whole answer; cavities of all are found in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.parts_by_runs import parts_by_runs
from models.postprocess import FAINT


def with_parts_only(margin: Tensor, labels: Tensor, numbers: NDArray[np.integer]) -> Tensor:
    """``margin`` ``(z, y, x)``, below zero wherever ``labels`` of the same box is none of ``numbers``."""
    if len(numbers) == 1:
        others = labels != int(numbers[0])
    else:
        lookup = np.ones(int(labels.amax()) + 1, dtype=bool)
        lookup[numbers[numbers < len(lookup)]] = False
        others = torch.from_numpy(lookup).to(labels.device)[labels]
    return torch.where(others & (margin > 0), -margin, margin)


def filled(margins: Sequence[Tensor], connectivity: Literal[6, 26]) -> list[Tensor]:
    """Margins whose background is positive where no path of it leads to the border of their own array.

    All lie one behind the other in one array of background, a slice of which is between any two.
    """
    depths = [len(margin) for margin in margins]
    starts = np.cumsum([1, *(depth + 1 for depth in depths)])
    rows, columns = (2 + max(margin.shape[axis] for margin in margins) for axis in (1, 2))
    outside = torch.ones((int(starts[-1]), rows, columns), dtype=torch.bool, device=margins[0].device)
    boxes = [
        tuple(slice(int(at), int(at) + size) for at, size in zip((start, 1, 1), margin.shape, strict=True))
        for start, margin in zip(starts, margins, strict=False)
    ]
    for box, margin in zip(boxes, margins, strict=True):
        outside[box] = margin <= 0
    parts = parts_by_runs(outside, connectivity)
    if len(parts.voxels) == 1:
        return list(margins)
    return [  # the first part is that of the first voxel, which is outside
        torch.where(parts.labels[box] > 1, (-margin).clamp(min=FAINT), margin)
        for box, margin in zip(boxes, margins, strict=True)
    ]
