"""Of a network's answer each structure that is wanted: its parts, and its field on the CT's own grid.

On a processor one structure after the other. On a GPU all of them together as far as memory allows, so that
the device is asked a few times for all and not many times for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.cards.card import Card
from models.left_right import Sides
from models.native_field import field_on_ct, fields_on_ct
from models.network_answer import Box, NetworkAnswer, parts_of
from models.postprocess import kept, postprocess
from models.postprocess_together import filled, with_parts_only
from models.volume import StructureField

_VOXELS_TOGETHER: Final = (
    32_000_000  # of fields on the CT's grid, or of arrays that are searched for cavities
)


@dataclass(frozen=True, slots=True)
class Found:
    """A structure: volumes of its parts before any was dropped, the largest first, and its field."""

    parts_cm3: tuple[float, ...] = ()
    field: StructureField | None = None
    side_unknown: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A structure that is there: the numbers of its parts that stay, whether these are all, and their box."""

    name: str
    parts_cm3: tuple[float, ...]
    numbers: NDArray[np.integer]
    all_stay: bool
    box: Box


class FoundStructures:
    """The structures of one answer."""

    def __init__(self, card: Card, answer: NetworkAnswer) -> None:
        self._card = card
        self._answer = answer
        self._sides: dict[str, Sides | None] = {}

    def of(self, names: Sequence[str]) -> Iterator[tuple[str, Found]]:
        """Each of ``names`` once, as it is found."""
        alone = {name for sides in self._card.left_right.values() for name in sides}
        if not self._answer.stays_on_gpu:
            alone = set(names)
        yield from ((name, self._one(name)) for name in names if name in alone)
        group: list[_Wanted] = []
        for name in names:
            if name in alone:
                continue
            one = self._wanted(name)
            if isinstance(one, Found):
                yield name, one
                continue
            if group and self._too_many([*group, one]):
                yield from self._together(group)
                group = []
            group.append(one)
        if group:
            yield from self._together(group)

    def _one(self, name: str) -> Found:
        answer, steps = self._answer, self._card.structures[name].postprocess
        both = next((output for output, sides in self._card.left_right.items() if name in sides), None)
        margin = None if both is None else self._side(both, name)
        if both is not None and margin is None:
            return Found(side_unknown=True)
        parts = answer.parts(name) if margin is None else parts_of(margin > 0)
        volumes_cm3 = parts.voxels * answer.voxel_cm3
        said = _sorted(volumes_cm3)
        box = parts.box_of(kept(volumes_cm3, steps)) if said else None
        if box is None:
            return Found(said)
        part, _ = postprocess(
            answer.margin(name, box) if margin is None else margin[box].copy(), steps, answer.voxel_cm3
        )
        return Found(said, field_on_ct(part, self._corner(box), answer.grid))

    def _side(self, both: str, name: str) -> NDArray[np.float32] | None:
        """The margin of one side of an output that holds both; None if its side is not certain."""
        if both not in self._sides:
            self._sides[both] = self._answer.sides(both)
        sides = self._sides[both]
        if sides is None:
            return None
        return sides.left if name == self._card.left_right[both][0] else sides.right

    def _corner(self, box: Box) -> tuple[int, int, int]:
        z, y, x = (first + one.start for first, one in zip(self._answer.corner, box, strict=True))
        return z, y, x

    def _wanted(self, name: str) -> _Wanted | Found:
        parts = self._answer.parts(name)
        volumes_cm3 = parts.voxels * self._answer.voxel_cm3
        said = _sorted(volumes_cm3)
        stay = kept(volumes_cm3, self._card.structures[name].postprocess) if said else np.zeros(0, bool)
        box = parts.box_of(stay)
        if box is None:
            return Found(said)
        return _Wanted(name, said, parts.numbers[stay], bool(stay.all()), box)

    def _too_many(self, group: Sequence[_Wanted]) -> bool:
        """Whether they need more memory together than they may."""
        sizes = np.array([[one.stop - one.start for one in each.box] for each in group])
        finer = float(np.prod([len(axis.centers_mm) / axis.count for axis in self._answer.grid.axes]))
        searched = (sizes[:, 0] + 1).sum() * (sizes[:, 1].max() + 2) * (sizes[:, 2].max() + 2)
        return bool(max(sizes.prod(axis=1).sum() * finer, searched) > _VOXELS_TOGETHER)

    def _together(self, group: Sequence[_Wanted]) -> Iterator[tuple[str, Found]]:
        margins = []
        for one in group:
            margin = self._answer.margin_there(one.name, one.box)
            if not one.all_stay:
                labels = torch.as_tensor(self._answer.parts(one.name).labels[one.box])
                margin = with_parts_only(margin, labels, one.numbers)
            margins.append(margin)
        steps = [self._card.structures[one.name].postprocess for one in group]
        for connectivity in (6, 26):
            at = [i for i, s in enumerate(steps) if s.fill_holes and s.hole_connectivity == connectivity]
            for i, margin in zip(
                at, filled([margins[i] for i in at], connectivity) if at else (), strict=True
            ):
                margins[i] = margin
        fields = fields_on_ct(margins, [self._corner(one.box) for one in group], self._answer.grid)
        for one, field in zip(group, fields, strict=True):
            yield one.name, Found(one.parts_cm3, field)


def _sorted(volumes_cm3: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(sorted((float(v) for v in volumes_cm3), reverse=True))
