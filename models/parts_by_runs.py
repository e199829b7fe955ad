"""Connected parts of a grid of classes, found by whole-array operations on the device that the grid is on.

Voxels of one class that lie side by side along x are a run. Runs are nodes; two of neighbouring lines that
touch are joined; each node takes the least number that it can see until all joined nodes have the same
(hooking and pointer jumping, as in FastSV, Zhang 2020). There are a few tens of thousands of runs in a CT, so
a GPU is busy for a millisecond or two, where a processor needs tens and the grid would have to go to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LINES: Final = {6: ((0, 1), (1, 0)), 26: ((0, 1), (1, -1), (1, 0), (1, 1))}  # steps along z, y


@dataclass(frozen=True, slots=True)
class LabelledParts:
    """Parts in the order of their first voxels; class 0 is of none.

    Attributes:
        labels: ``(z, y, x)`` int32, 1 to n, on the grid's device; 0 where the class is 0.
        classes: ``(n,)`` class of each part.
        voxels: ``(n,)`` how large each is.
        bounds: ``(n, 3, 2)`` first and last voxel along each axis.
    """

    labels: Tensor
    classes: NDArray[np.int64]
    voxels: NDArray[np.int64]
    bounds: NDArray[np.int64]


@torch.inference_mode()
def parts_by_runs(classes: Tensor, connectivity: Literal[6, 26]) -> LabelledParts:
    """The parts of ``classes`` ``(z, y, x)``, bool or uint8, each voxel joined to others of its own class."""
    inside = classes != 0
    starts, ends = inside.clone(), inside.clone()
    changes = classes[..., 1:] != classes[..., :-1]
    starts[..., 1:] &= changes
    ends[..., :-1] &= changes
    first, last = starts.flatten().nonzero()[:, 0], ends.flatten().nonzero()[:, 0]
    number = starts.flatten().cumsum(0, dtype=torch.int32).view(classes.shape)  # from 1, where inside
    if not len(first):
        return LabelledParts(torch.zeros_like(number), *_nothing())
    pairs = [_touching(classes, inside, (starts, ends), step, connectivity) for step in _LINES[connectivity]]
    u, v = (torch.cat(side) for side in zip(*pairs, strict=True))
    flat = number.flatten()
    root = _joined(len(first), flat[u].long() - 1, flat[v].long() - 1)
    is_root = root == torch.arange(len(root), device=root.device)
    part = is_root.cumsum(0)[root]  # from 1
    lookup = torch.cat([part.new_zeros(1), part]).int()
    labels = lookup[(number * inside).flatten()].view(classes.shape)
    return LabelledParts(labels, *_figures(classes, part, is_root, first, last))


def _nothing() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3, 2), np.int64)


def _touching(
    classes: Tensor,
    inside: Tensor,
    borders: tuple[Tensor, Tensor],
    step: tuple[int, int],
    connectivity: Literal[6, 26],
) -> tuple[Tensor, Tensor]:
    """Positions of two voxels for every two runs that touch in lines ``step`` apart; each two runs once."""
    starts, ends = borders
    dz, dy = step
    z, y = classes.shape[0] - dz, classes.shape[1]
    here = (slice(0, z), slice(max(-dy, 0), y - max(dy, 0)))
    there = (slice(dz, None), slice(max(dy, 0), y + min(dy, 0)))
    found = torch.zeros((3, *classes.shape), dtype=torch.bool, device=classes.device)
    same = (classes[here] == classes[there]) & inside[here]
    found[0][here] = same & (starts[here] | starts[there])  # where they first lie side by side
    if connectivity == 26:  # or over a corner alone: the one ends where the other begins
        one, next_ = (..., slice(0, -1)), (..., slice(1, None))
        onward = (classes[here][one] == classes[there][next_]) & ends[here][one] & starts[there][next_]
        found[1][here][one] = onward
        back = (classes[here][next_] == classes[there][one]) & starts[here][next_] & ends[there][one]
        found[2][here][next_] = back
    at = found.flatten().nonzero()[:, 0]
    u = at % classes.numel()
    along_x = at // classes.numel()
    offset = (dz * classes.shape[1] + dy) * classes.shape[2]
    return u, u + offset + (along_x == 1).long() - (along_x == 2).long()


def _joined(count: int, u: Tensor, v: Tensor) -> Tensor:
    """``(count,)`` the least node that each is joined to, by edges between nodes ``u`` and ``v``.

    No node ever sees one beyond its part, so once both ends of every edge have the same it is the least.
    """
    least = torch.arange(count, device=u.device)
    while not bool((least[u] == least[v]).all()):
        nearer = least[least]
        low = torch.minimum(nearer[u], nearer[v])
        at = torch.cat([least[u], least[v], u, v])
        least = least.scatter_reduce(0, at, low.repeat(4), "amin")
        least = least[least]
        least = least[least]
    return least


def _figures(
    classes: Tensor, part: Tensor, is_root: Tensor, first: Tensor, last: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Class, voxels and bounds of each part, over the bus at once."""
    _, rows, columns = classes.shape
    roots = first[is_root]
    at, line = part - 1, first // columns
    voxels = torch.zeros_like(roots).scatter_add_(0, at, last - first + 1)
    low = torch.stack([line // rows, line % rows, first % columns])
    high = torch.stack([line // rows, line % rows, last % columns])
    each = at.expand(3, -1)
    lows = low.new_full((3, len(roots)), classes.numel()).scatter_reduce_(1, each, low, "amin")
    highs = high.new_zeros((3, len(roots))).scatter_reduce_(1, each, high, "amax")
    of_class = classes.flatten()[roots].long()
    told = torch.cat([of_class[None], voxels[None], lows, highs]).cpu().numpy()
    return told[0], told[1], np.stack([told[2:5].T, told[5:8].T], axis=2)
