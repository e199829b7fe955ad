"""How large structures usually are, whether they come in parts or leave the CT: from training cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cc3d
import numpy as np
from numpy.typing import NDArray

from models.data_sets.data_set import Case
from models.plausibility import SECOND_PART_CM3
from models.volume import Grid

_SMALLER, _LARGER = 0.5, 2.0


@dataclass(slots=True)
class Habits:
    """What one structure does over the cases where it is known.

    Attributes:
        volumes_cm3: where it is present and does not reach the first or last slice; of all where it always
            does.
        known, absent, parts, cut: cases where it is known, known to be absent, in several parts, and cut by
            the first or last slice.
    """

    volumes_cm3: list[float] = field(default_factory=list)
    cut_cm3: list[float] = field(default_factory=list)
    known: int = 0
    absent: int = 0
    parts: int = 0
    cut: int = 0

    @property
    def range_cm3(self) -> tuple[float, float]:
        """Half of the smallest to twice the largest volume that was seen; anything if none was."""
        volumes = self.volumes_cm3 or self.cut_cm3
        if not volumes:
            return 0.0, 20_000.0
        return _rounded(min(volumes) * _SMALLER), _rounded(max(volumes) * _LARGER)

    @property
    def several_parts(self) -> bool:
        """In more than a fifth of the cases that show it."""
        return self.parts > 0.2 * (self.known - self.absent)

    @property
    def reaches_out(self) -> bool:
        """In more than half of the cases that show it."""
        return self.cut > 0.5 * (self.known - self.absent)

    def see(self, mask: NDArray[np.bool_], grid: Grid) -> None:
        """One more case where the structure is known."""
        self.known += 1
        if not mask.any():
            self.absent += 1
            return
        voxels_cm3 = grid.voxel_volumes_mm3() / 1000
        volume = float(mask.sum(axis=(1, 2)) @ voxels_cm3)
        cut = bool(mask[0].any() or mask[-1].any())
        (self.cut_cm3 if cut else self.volumes_cm3).append(volume)
        self.cut += cut
        second = _second_part(mask) * float(voxels_cm3.mean())
        self.parts += second >= max(SECOND_PART_CM3, volume / 10)


def habits_of(cases: Iterable[Case], structures: Sequence[str]) -> dict[str, Habits]:
    """Habits of each structure over the cases."""
    found = {name: Habits() for name in structures}
    for case in cases:
        for name in structures:
            if name in case.masks:
                found[name].see(case.masks[name], case.volume.grid)
    return found


def _second_part(mask: NDArray[np.bool_]) -> int:
    """Voxels of the second largest 26-connected part."""
    box = tuple(
        slice(int(at[0]), int(at[-1]) + 1)
        for at in (np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    )
    labels, count = cc3d.connected_components(mask[box], connectivity=26, return_N=True)
    sizes = np.sort(np.bincount(labels.ravel(), minlength=count + 1)[1:])
    return int(sizes[-2]) if count > 1 else 0


def _rounded(cm3: float) -> float:
    """To two digits, as a person would write it."""
    return float(f"{cm3:.2g}")
