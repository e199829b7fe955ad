"""What a synthetic planning CT shows: how far it reaches, what is cut off, on which grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.chance import Chance
from models.volume import FloatArray, Grid

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """The box that a scan shows, in mm from the midpoint of the femoral heads.

    Attributes:
        low_mm: right, anterior, caudal corner (x, y, z).
        high_mm: left, posterior, cranial corner.
        circle_mm: radius beyond which the reconstruction shows nothing, None if it fills the box.
    """

    low_mm: Triple = (-240.0, -175.0, -130.0)
    high_mm: Triple = (240.0, 160.0, 235.0)
    circle_mm: float | None = None

    @classmethod
    def drawn(cls, chance: Chance) -> FieldOfView:
        """A pelvis from the thighs to the lumbar spine; in some cut short below, above, or at the sides."""
        c = chance
        bottom, top = c.between(-130, -75), c.between(150, 290)
        kind = c.between(0, 1)
        if kind < 0.1:
            bottom = c.between(-60, 20)
        elif kind < 0.2:
            top = c.between(60, 140)
        half = c.between(150, 205) if c.happens(0.15) else 240.0
        front = c.between(-105, -75) if c.happens(0.1) else -175.0
        circle = c.between(190, 260) if c.happens(0.25) else None
        return cls((-half, front, bottom), (half, 160.0, top), circle)

    def size_mm(self) -> FloatArray:
        """``(3,)`` extent along x, y, z."""
        return np.subtract(self.high_mm, self.low_mm)

    def middle_mm(self) -> FloatArray:
        """``(3,)`` x, y, z of its middle."""
        return np.add(self.high_mm, self.low_mm) / 2

    def grid(self, pixel_mm: float, slice_mm: float, heads_lps_mm: FloatArray) -> Grid:
        """Axial slices, patient on the back, head first; voxels fill the box about its middle.

        Args:
            pixel_mm: pixel spacing.
            slice_mm: slice spacing.
            heads_lps_mm: ``(3,)`` midpoint of the femoral heads.
        """
        steps = np.array([pixel_mm, pixel_mm, slice_mm])
        columns, rows, slices = (max(1, round(n)) for n in self.size_mm() / steps)
        first = heads_lps_mm + self.middle_mm() - (np.array([columns, rows, slices]) - 1) / 2 * steps
        origins = first + np.outer(np.arange(slices) * slice_mm, (0.0, 0.0, 1.0))
        return Grid(origins, np.array([pixel_mm, 0, 0]), np.array([0, pixel_mm, 0]), rows, columns)

    def outside(self, grid: Grid) -> NDArray[np.bool_]:
        """``(rows, columns)`` True where a slice of ``grid`` shows nothing: beyond the circle."""
        if self.circle_mm is None:
            return np.zeros((grid.rows, grid.columns), np.bool_)
        y = (np.arange(grid.rows) - (grid.rows - 1) / 2) * grid.row_spacing_mm
        x = (np.arange(grid.columns) - (grid.columns - 1) / 2) * grid.column_spacing_mm
        return np.asarray(np.hypot(y[:, None], x[None]) > self.circle_mm)
