"""Added path length: how much outline a person had to draw that was not there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.metrics.surface_distances import surface
from models.volume import Grid

Mask = NDArray[np.bool_]


def added_path_mm(truth: Mask, answer: Mask, grid: Grid) -> NDArray[np.float64]:
    """APL of each slice, mm: the outline pixels of the truth that are no outline pixels of the answer.

    Vaassen 2020 (doi 10.1016/j.phro.2019.12.001), who counts pixels, without tolerance: an *outline pixel* is
    one inside of which one of the four neighbours in the slice is outside. Each counts as long as a pixel is
    wide, for pixels that are not square the square root of their area. What was only taken away costs
    nothing: a slice that the answer alone shows counts 0, one that the truth alone shows its whole outline.
    """
    drawn, given = (surface(mask, axes=(1, 2)) for mask in (truth, answer))
    pixel_mm = np.sqrt(grid.row_spacing_mm * grid.column_spacing_mm)
    found: NDArray[np.float64] = (drawn & ~given).sum(axis=(1, 2)) * pixel_mm
    return found
