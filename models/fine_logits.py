"""Logits of a coarse grid on the CT's own, a few slices at a time, and the field of each output from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.nnunet_resampling import Resampler, along

Box = tuple[slice, slice, slice]

_SLAB_NUMBERS: Final = 64_000_000  # logits on the CT's grid that are held at one time
_MARGIN: Final = 9.2  # as of our own networks


class FineLogits:
    """Logits ``(outputs, z, y, x)`` of the network's grid, brought to the CT's a slab at a time."""

    def __init__(self, logits: Tensor, resampler: Resampler) -> None:
        self._logits = logits
        self._by = resampler.matrices
        self._shape = [len(each) for each in self._by]

    def _slabs(self) -> Iterator[tuple[slice, Tensor]]:
        count = max(1, _SLAB_NUMBERS // (len(self._logits) * self._shape[1] * self._shape[2]))
        for first in range(0, self._shape[0], count):
            part = slice(first, min(first + count, self._shape[0]))
            rows = self._by[0][part]
            used = np.flatnonzero(rows.any(axis=0))
            near = slice(int(used[0]), int(used[-1]) + 1)
            slab = along(self._logits[:, near], 1, rows[:, near])
            fine = along(along(slab, 2, self._by[1]), 3, self._by[2])
            yield part, fine.half().float()  # rounded as nnU-Net does: its ties are ours

    def fields(self, outputs: Sequence[int]) -> list[tuple[NDArray[np.float32], list[int]] | None]:
        """Of each of ``outputs`` its margin over the best of the others, and its corner; None if nowhere."""
        labels = torch.empty(self._shape, dtype=torch.uint8)
        for part, slab in self._slabs():
            labels[part] = slab.argmax(dim=0).to(torch.uint8)
        boxes = [box_of(labels == output, rim=1) for output in outputs]
        found = [
            None if box is None else np.empty([s.stop - s.start for s in box], np.float32) for box in boxes
        ]
        for part, slab in self._slabs():
            best, winner = slab.max(dim=0)
            second = slab.scatter(0, winner[None], -torch.inf).amax(dim=0)
            for output, box, values in zip(outputs, boxes, found, strict=True):
                if box is None or values is None:
                    continue
                start, stop = max(part.start, box[0].start), min(part.stop, box[0].stop)
                if start < stop:
                    here = (slice(start - part.start, stop - part.start), *box[1:])
                    others = torch.where(winner[here] == output, second[here], best[here])
                    margin = (slab[output][here] - others).clamp_(-_MARGIN, _MARGIN)
                    values[start - box[0].start : stop - box[0].start] = margin.numpy()
        return [
            None if box is None or values is None else (values, [s.start for s in box])
            for box, values in zip(boxes, found, strict=True)
        ]


def box_of(mask: Tensor, rim: int = 0) -> Box | None:
    """Around what is true, ``rim`` voxels wider where there is room; None if nothing is."""
    parts: list[slice] = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        at = torch.nonzero(mask.any(dim=others[1]).any(dim=others[0])).flatten()
        if not len(at):
            return None
        parts.append(slice(max(int(at[0]) - rim, 0), min(int(at[-1]) + 1 + rim, mask.shape[axis])))
    return parts[0], parts[1], parts[2]
