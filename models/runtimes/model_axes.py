"""How a CT's array lies along the axes that a model from elsewhere was trained along, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.cards.patient_axes import AGAINST, AXIS_OF
from models.preprocess import network_grid
from models.volume import Grid, OutsideTrainedRegion, StructureField

_UNEVEN_MM: Final = 0.05


@dataclass(frozen=True, slots=True)
class ModelAxes:
    """For each axis of the model: which array axis of the CT it is, and if that runs the other way."""

    order: tuple[int, int, int]
    reversed_: tuple[bool, bool, bool]

    @classmethod
    def of(cls, grid: Grid, letters: Sequence[str]) -> ModelAxes:
        """Of a CT's grid and a model whose axes run to ``letters``, e.g. ``RAS``.

        Raises:
            OutsideTrainedRegion: ``model.oblique``.
        """
        ours = network_grid(grid, (None, None, None))
        a, b, c = (ours.order[AXIS_OF[letter]] for letter in letters)
        back = [ours.reversed_[AXIS_OF[letter]] != (letter in AGAINST) for letter in letters]
        return cls((a, b, c), (back[0], back[1], back[2]))

    def to_model(self, array: Tensor) -> Tensor:
        """``array`` of the CT along the model's axes; a view where none runs the other way."""
        return array.permute(*self.order).flip([i for i, back in enumerate(self.reversed_) if back])

    def to_ct(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """A view along the CT's axes of ``array`` along the model's."""
        turned = array[tuple(slice(None, None, -1 if back else 1) for back in self.reversed_)]
        return turned.transpose(np.argsort(self.order))

    def field(
        self, values: NDArray[np.float32], corner: Sequence[int], shape: Sequence[int]
    ) -> StructureField:
        """A field on the CT of ``values`` that begin at ``corner`` of a model's array of ``shape``."""
        at = [0, 0, 0]
        for i, axis in enumerate(self.order):
            at[axis] = shape[i] - corner[i] - values.shape[i] if self.reversed_[i] else corner[i]
        array = np.ascontiguousarray(self.to_ct(values), dtype=np.float32)
        return StructureField(array, (at[0], at[1], at[2]))

    def spacing_mm(self, grid: Grid) -> tuple[float, ...]:
        """Spacing along the model's axes.

        Raises:
            OutsideTrainedRegion: ``model.uneven-slices``.
        """
        gaps = np.diff(grid.slice_offsets_mm)
        if len(gaps) and float(gaps.max() - gaps.min()) > _UNEVEN_MM:
            sentence = (
                "The slices are not evenly spaced, which this model's resampling does not know. Send a "
                "reconstruction with one spacing, or contour this CT with another model."
            )
            raise OutsideTrainedRegion("model.uneven-slices", sentence)
        of_array = (float(gaps.mean()) if len(gaps) else 1.0, grid.row_spacing_mm, grid.column_spacing_mm)
        return tuple(round(of_array[axis], 6) for axis in self.order)
