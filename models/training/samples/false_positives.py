"""Where the network was wrong when the training cases were last looked at (Sartor 2020, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.chance import Chance
from models.training.samples.prepared_cases import PreparedCase

REMEMBERED: Final = 1000
"""At most so many voxels of a case are remembered, evenly spread among those that were wrong."""

Voxel: TypeAlias = NDArray[np.int16]


class FalsePositives:
    """Voxels that were called a structure which is known in the case and is not there.

    Args:
        cases: that can be drawn from.
    """

    def __init__(self, cases: Sequence[PreparedCase]) -> None:
        self._cases = {case.name: case for case in cases}
        self._voxels: dict[str, Tensor] = {}

    def remember(self, name: str, predicted: Tensor) -> int:
        """Take note of one case's, in place of what was noted of it.

        Args:
            name: of the case.
            predicted: ``(structures, z, y, x)`` bool on the case's prepared grid.

        Returns:
            how many voxels were wrong.
        """
        case = self._cases[name]
        said = predicted.cpu().numpy()
        wrong = np.zeros(said.shape[1:], bool)
        for s in np.flatnonzero(case.known).tolist():
            wrong[case.box] |= said[s][case.box] & ~case.mask(s)[case.box]
        flat = np.flatnonzero(wrong)
        some = flat[np.linspace(0, len(flat) - 1, min(len(flat), REMEMBERED)).astype(np.int64)]
        voxels = np.stack(np.unravel_index(some, wrong.shape), axis=1)
        self.load_state(self._voxels | {name: torch.from_numpy(voxels.astype(np.int16))})
        return len(flat)

    def drawn(self, chance: Chance) -> tuple[PreparedCase, Voxel] | None:
        """One of all those noted, each as likely as the other; None if there is none."""
        held = [(case, self._voxels[name]) for name, case in self._cases.items() if name in self._voxels]
        ends = np.cumsum([len(voxels) for _, voxels in held])
        if not len(ends) or not ends[-1]:
            return None
        pick = chance.below(int(ends[-1]))
        at = int(np.searchsorted(ends, pick, side="right"))
        case, voxels = held[at]
        return case, voxels[pick - int(ends[at])].numpy()

    def state(self) -> dict[str, Tensor]:
        """``(k, 3)`` int16 voxels by case."""
        return dict(self._voxels)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """As ``state`` gave it; cases that are not here are kept for the next state, and not drawn from."""
        self._voxels = {name: state[name] for name in sorted(state)}
