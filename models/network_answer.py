"""What a network says of one CT: where each output is, in how many parts, and by how much it wins.

Only the box that the network looked at is kept. On a GPU the probabilities stay there, and so do the labels
of parts; what crosses the bus is how large each part is and where.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cc3d
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards.card import Card
from models.left_right import Sides, split_sides
from models.native_field import margin, margin_over_threshold
from models.parts_by_runs import parts_by_runs
from models.plausibility import Seen, check_region
from models.preprocess import NetworkGrid
from models.sliding_window import Blended
from models.volume import Finding

Box = tuple[slice, slice, slice]

_FEW_PARTS: Final = 2_000  # so many are looked up one by one, more of them in one pass over all voxels


@dataclass(frozen=True, slots=True)
class Parts:
    """The 26-connected parts of one output, in no order.

    Attributes:
        labels: ``(z, y, x)`` number of the part of each voxel, of this output or another, beside the
            probabilities.
        numbers: ``(n,)`` which of them are this output's.
        voxels: ``(n,)`` how large each is.
        bounds: ``(n, 3, 2)`` first and last voxel along each axis.
    """

    labels: NDArray[np.integer] | Tensor
    numbers: NDArray[np.integer]
    voxels: NDArray[np.integer]
    bounds: NDArray[np.integer]

    def box_of(self, wanted: NDArray[np.bool_]) -> Box | None:
        """Around the parts that are wanted, one voxel wider where there is room; None if none is."""
        if not wanted.any():
            return None
        low = self.bounds[wanted, :, 0].min(axis=0)
        high = self.bounds[wanted, :, 1].max(axis=0)
        z, y, x = (
            slice(max(int(a) - 1, 0), min(int(b) + 2, n))
            for a, b, n in zip(low, high, self.labels.shape, strict=True)
        )
        return z, y, x


@dataclass(frozen=True)
class NetworkAnswer:
    """What a network says of one CT, on its own grid, axes head, posterior, left.

    Attributes:
        grid: how it belongs to the CT's.
        blended: probabilities of the box that was looked at.
        hu: ``(z, y, x)`` of that box, on the same device.
        steps_down: what was given up to fit into memory, or to have numbers at all.
        device, precision, mode: what it ran on at last, and how.
    """

    card: Card
    grid: NetworkGrid
    blended: Blended
    hu: Tensor
    steps_down: tuple[str, ...]
    device: str
    precision: str
    mode: str = "eager"

    @property
    def probabilities(self) -> Tensor:
        """``(outputs, z, y, x)`` of the box that was looked at."""
        return self.blended.probabilities

    @property
    def corner(self) -> tuple[int, int, int]:
        """First voxel of that box on the network's grid."""
        z, y, x = self.blended.box
        return z.start, y.start, x.start

    @property
    def voxel_cm3(self) -> float:
        """Of one voxel of the network's grid."""
        return float(np.prod(self.grid.spacing_zyx_mm)) / 1000

    @property
    def stays_on_gpu(self) -> bool:
        """True if parts and margins are found where the probabilities are, else by the processor."""
        return self.hu.device.type != "cpu"

    @property
    def is_finite(self) -> bool:
        """False if any probability is NaN or infinite."""
        return is_finite(self.probabilities)

    @cached_property
    def _winner_parts(self) -> dict[str, Parts]:
        """Of each output of softmax but background, from one pass over all."""
        classes = self.probabilities.max(dim=0).indices.to(torch.uint8)
        if self.stays_on_gpu:
            of_all = parts_by_runs(classes, 26)
            own = {name: np.flatnonzero(of_all.classes == i) for i, name in enumerate(self.card.outputs) if i}
            return {
                name: Parts(of_all.labels, at + 1, of_all.voxels[at], of_all.bounds[at])
                for name, at in own.items()
            }
        winner = classes.numpy()
        labels = cc3d.connected_components(winner, connectivity=26)
        counts, bounds = _statistics(labels)
        output = _outputs_of(labels, winner, bounds)
        found: dict[str, Parts] = {}
        for i, name in enumerate(self.card.outputs):
            if i:
                numbers = np.flatnonzero(output == i)
                found[name] = Parts(labels, numbers, counts[numbers], bounds[numbers])
        return found

    @cached_property
    def _own_parts(self) -> dict[str, Parts]:
        return {}

    def parts(self, name: str) -> Parts:
        """The parts of one output, before any postprocessing."""
        if self.card.activation == "softmax":
            return self._winner_parts[name]
        if name not in self._own_parts:
            index = self.card.outputs.index(name)
            mask = self.probabilities[index] > self.card.thresholds.get(name, 0.5)
            if self.stays_on_gpu:
                own = parts_by_runs(mask, 26)
                numbers = np.arange(1, len(own.voxels) + 1)
                self._own_parts[name] = Parts(own.labels, numbers, own.voxels, own.bounds)
            else:
                self._own_parts[name] = parts_of(mask.numpy())
        return self._own_parts[name]

    def check_region(self) -> tuple[Finding, ...]:
        """As the card's region asks, from what the network says before any postprocessing.

        Raises:
            OutsideTrainedRegion: the CT does not show it.
        """
        region = self.card.region
        if region is None:
            return ()
        asked = {
            name for one in (*region.required, *region.supporting, *region.whole) for name in one.structures
        }
        largest = {name: self._largest(name) for name in self.card.outputs if name in asked}
        return check_region(region, {name: part for name, part in largest.items() if part is not None})

    def _largest(self, name: str) -> Seen | None:
        parts = self.parts(name)
        if not len(parts.numbers):
            return None
        at = int(parts.voxels.argmax())
        z, y, x = (slice(int(low), int(high) + 1) for low, high in parts.bounds[at])
        here = torch.as_tensor(parts.labels[z, y, x] == int(parts.numbers[at]))
        likely = self.probabilities[self.card.outputs.index(name), z, y, x]
        return Seen(
            float(parts.voxels[at]) * self.voxel_cm3,
            float(self.hu[z, y, x][here].double().mean()),
            float(likely[here].double().mean()),
        )

    def margin(self, name: str, box: Box | None = None) -> NDArray[np.float32]:
        """``(z, y, x)`` logit margin of one output: over the best of the others, or over its threshold.

        ``box``: the part that is wanted, of what was looked at.
        """
        return self.margin_there(name, box).cpu().numpy()

    def margin_there(self, name: str, box: Box | None = None) -> Tensor:
        """The same on the answer's device."""
        index = self.card.outputs.index(name)
        likely = self.probabilities if box is None else self.probabilities[(slice(None), *box)]
        if self.card.activation == "sigmoid":
            return margin_over_threshold(likely[index], self.card.thresholds.get(name, 0.5))
        others = [part.amax(dim=0) for part in (likely[:index], likely[index + 1 :]) if len(part)]
        best = others[0] if len(others) == 1 else torch.maximum(*others)
        return margin(likely[index], best)

    def sides(self, name: str) -> Sides | None:
        """The left and the right structure of an output that holds both; None if that is not certain."""
        midline = [self.margin(one) for one in self.card.midline if one in self.card.outputs]
        return split_sides(self.margin(name), midline, self.grid.spacing_zyx_mm)


def is_finite(numbers: Tensor) -> bool:
    """False if any is NaN or infinite."""
    return bool(torch.isfinite(numbers.sum())) or bool(torch.isfinite(numbers).all())


def parts_of(mask: NDArray[np.bool_]) -> Parts:
    """The 26-connected parts of a mask ``(z, y, x)``."""
    labels = cc3d.connected_components(mask, connectivity=26)
    counts, bounds = _statistics(labels)
    return Parts(labels, np.arange(1, len(counts)), counts[1:], bounds[1:])


def _outputs_of(
    labels: NDArray[np.integer], winner: NDArray[np.uint8], bounds: NDArray[np.integer]
) -> NDArray[np.uint8]:
    """The output that each part is of."""
    output = np.zeros(len(bounds), np.uint8)
    if len(bounds) > _FEW_PARTS:
        output[labels.ravel()] = winner.ravel()
        return output
    for number, (z, y, x) in enumerate(bounds[1:].tolist(), start=1):
        first = labels[z[0], y[0] : y[1] + 1, x[0] : x[1] + 1] == number
        row, column = np.unravel_index(int(first.argmax()), first.shape)
        output[number] = winner[z[0], y[0] + row, x[0] + column]
    return output


def _statistics(labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Voxels of each label, and its ``(3, 2)`` bounds."""
    found = cc3d.statistics(labels, no_slice_conversion=True)
    return np.asarray(found["voxel_counts"]), np.asarray(found["bounding_boxes"]).reshape(-1, 3, 2)
