"""Logits of a coarse grid on the CT's own, a few slices at a time, and the field of each output from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.nnunet_resampling import Matrix, along

Box = tuple[slice, slice, slice]
Found = tuple[NDArray[np.float32], list[int]]

_SLAB_NUMBERS: Final = 64_000_000  # logits on the CT's grid that are held at one time
_MARGIN: Final = 9.2  # as of our own networks


def rounded_as_nnunet(logits: Tensor) -> Tensor:
    """Rounded to float16 as nnU-Net does: its ties are ours."""
    return logits.half().float()


class FineLogits:
    """Logits ``(outputs, z, y, x)`` of the network's grid, brought to the CT's a slab at a time.

    Args:
        logits: or probabilities: whatever is interpolated.
        matrices: ``(fine, coarse)`` for each of the three axes.
        finished: makes of a slab on the CT's grid what outputs are compared by.
        apart: each output is where it is above 0; else a voxel is of the largest output, the first of equals.
    """

    def __init__(
        self,
        logits: Tensor,
        matrices: tuple[Matrix, Matrix, Matrix],
        finished: Callable[[Tensor], Tensor] = rounded_as_nnunet,
        *,
        apart: bool = False,
    ) -> None:
        self._logits = logits
        self._by = matrices
        self._finished = finished
        self._apart = apart
        self._shape = [len(each) for each in self._by]

    def _slabs(self) -> Iterator[tuple[int, Tensor]]:
        """The first slice of each slab, and the slab."""
        count = max(1, _SLAB_NUMBERS // (len(self._logits) * self._shape[1] * self._shape[2]))
        for first in range(0, self._shape[0], count):
            rows = self._by[0][first : first + count]
            used = np.flatnonzero(rows.any(axis=0))
            near = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
            slab = along(self._logits[:, near], 1, rows[:, near])
            yield first, self._finished(along(along(slab, 2, self._by[1]), 3, self._by[2]))

    def fields(self, outputs: Sequence[int]) -> list[Found | None]:
        """Of each of ``outputs`` its margin over the best of the others, and its corner; None if nowhere."""
        boxes: list[Box | None] = [None] * len(outputs)
        for first, slab in self._slabs():
            winner = None if self._apart else slab.argmax(dim=0)
            for i, output in enumerate(outputs):
                inside = slab[output] > 0 if winner is None else winner == output
                boxes[i] = _joined(boxes[i], box_of(inside), first)
        boxes = [None if box is None else _wider(box, self._shape) for box in boxes]
        values = [
            None if box is None else np.empty([s.stop - s.start for s in box], np.float32) for box in boxes
        ]
        for first, slab in self._slabs():
            leading = None if self._apart else _leading(slab)
            for output, box, field in zip(outputs, boxes, values, strict=True):
                if box is None or field is None:
                    continue
                start, stop = max(first, box[0].start), min(first + slab.shape[1], box[0].stop)
                if start < stop:
                    here = (slice(start - first, stop - first), *box[1:])
                    margin = _margin(slab, output, here, leading).clamp_(-_MARGIN, _MARGIN)
                    field[start - box[0].start : stop - box[0].start] = margin.numpy()
        return [
            None if box is None or field is None else (field, [s.start for s in box])
            for box, field in zip(boxes, values, strict=True)
        ]


def _leading(slab: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which output is the largest, by how much, and how large the second is."""
    best, winner = slab.max(dim=0)
    return best, winner, slab.scatter(0, winner[None], -torch.inf).amax(dim=0)


def _margin(slab: Tensor, output: int, here: Box, leading: tuple[Tensor, Tensor, Tensor] | None) -> Tensor:
    if leading is None:
        return slab[output][here].clone()
    best, winner, second = (each[here] for each in leading)
    return slab[output][here] - torch.where(winner == output, second, best)


def box_of(mask: Tensor) -> Box | None:
    """Around what is true; None if nothing is."""
    parts: list[slice] = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        at = torch.nonzero(mask.any(dim=others[1]).any(dim=others[0])).flatten()
        if not len(at):
            return None
        parts.append(slice(int(at[0]), int(at[-1]) + 1))
    return parts[0], parts[1], parts[2]


def _joined(box: Box | None, other: Box | None, first: int) -> Box | None:
    """Around both; ``other`` counts slices from ``first``."""
    if other is None:
        return box
    moved = (slice(other[0].start + first, other[0].stop + first), *other[1:])
    if box is None:
        return moved
    z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, moved, strict=True))
    return z, y, x


def _wider(box: Box, shape: Sequence[int]) -> Box:
    """One voxel wider where there is room."""
    z, y, x = (slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True))
    return z, y, x
