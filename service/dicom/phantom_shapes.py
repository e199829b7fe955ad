"""Shapes whose volume, centre and cross-sections are known without counting; patient (LPS) mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from models.volume import FloatArray

WEDGE_START_MM: Final = 20.0
WEDGE_SLOPE: Final = 0.5

FUZZ: Final = 1e-6
"""Arithmetic that ends this near to an edge between voxels is on it."""

_OUTSIDE_MM: Final = -100.0
"""Depth above and below a shape whose ends are flat."""


class Shape(Protocol):
    """Something whose volume is known without counting."""

    @property
    def volume_cm3(self) -> float:
        """Exact volume."""

    @property
    def centre_lps_mm(self) -> FloatArray:
        """``(3,)`` centre of mass."""

    @property
    def extent_lps_mm(self) -> FloatArray:
        """``(3, 2)`` lowest and highest x, y, z."""

    def depth_mm(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """How deep a point lies inside its slice's cross-section, negative outside, zero on the surface."""


@dataclass(frozen=True, slots=True)
class Ball:
    """A sphere."""

    centre: tuple[float, float, float]
    radius_mm: float

    @property
    def volume_cm3(self) -> float:
        """4/3 pi r3."""
        return 4 / 3 * float(np.pi) * self.radius_mm**3 / 1000

    @property
    def centre_lps_mm(self) -> FloatArray:
        """Its middle."""
        return np.array(self.centre)

    @property
    def extent_lps_mm(self) -> FloatArray:
        """Its bounding box."""
        low, high = self.centre_lps_mm - self.radius_mm, self.centre_lps_mm + self.radius_mm
        return np.stack([low, high], axis=1)

    def depth_mm(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Distance from the surface."""
        a, b, c = self.centre
        return self.radius_mm - np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2)


@dataclass(frozen=True, slots=True, repr=False)
class Boxes:
    """Boxes that touch and do not overlap.

    Attributes:
        limits_lps_mm: ``(n, 3, 2)`` lowest and highest x, y, z of each; all have the same z.
    """

    limits_lps_mm: FloatArray

    @property
    def volume_cm3(self) -> float:
        """Sum of the products of their edges."""
        return float(np.diff(self.limits_lps_mm, axis=2).prod(axis=(1, 2)).sum()) / 1000

    @property
    def centre_lps_mm(self) -> FloatArray:
        """Mean of their middles, weighted by volume."""
        weights = np.diff(self.limits_lps_mm, axis=2).prod(axis=(1, 2))
        middles = self.limits_lps_mm.mean(axis=2)
        return np.asarray(np.average(middles, axis=0, weights=weights), dtype=np.float64)

    @property
    def extent_lps_mm(self) -> FloatArray:
        """Bounding box of all."""
        return np.stack(
            [self.limits_lps_mm[..., 0].min(axis=0), self.limits_lps_mm[..., 1].max(axis=0)], axis=1
        )

    def depth_mm(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Distance from the nearest side in the plane, above and below the boxes negative."""
        deepest = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), -np.inf)
        for (x0, x1), (y0, y1), (z0, z1) in self.limits_lps_mm:
            inside = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
            np.maximum(deepest, inside, out=deepest, where=(z > z0) & (z < z1))
        return np.where(np.isfinite(deepest), deepest, _OUTSIDE_MM)


@dataclass(frozen=True, slots=True)
class Wedge:
    """A bar whose length tells the slice: half a millimetre more with each millimetre of z, in whole pixels.

    Attributes:
        x0_mm: its right end, the same on every slice.
        y_mm: anterior and posterior side.
        z_mm: lower and upper end, on edges between slices.
        pixel_mm, slice_mm: spacing of the grid.
    """

    x0_mm: float
    y_mm: tuple[float, float]
    z_mm: tuple[float, float]
    pixel_mm: float
    slice_mm: float

    def length_mm(self, z: FloatArray | float) -> FloatArray:
        """Length of the bar on the slice that ``z`` lies in."""
        slices = np.floor((np.asarray(z) - self.z_mm[0]) / self.slice_mm + FUZZ) + 0.5
        wanted = WEDGE_START_MM + WEDGE_SLOPE * self.slice_mm * slices
        pixels = np.floor(wanted / self.pixel_mm + 0.5 + FUZZ)
        return np.asarray(pixels * self.pixel_mm, dtype=np.float64)

    def _slices(self) -> FloatArray:
        count = round((self.z_mm[1] - self.z_mm[0]) / self.slice_mm)
        return self.z_mm[0] + (np.arange(count, dtype=np.float64) + 0.5) * self.slice_mm

    @property
    def volume_cm3(self) -> float:
        """Depth times height of a slice times the sum of all lengths."""
        depth = self.y_mm[1] - self.y_mm[0]
        return depth * self.slice_mm * float(self.length_mm(self._slices()).sum()) / 1000

    @property
    def centre_lps_mm(self) -> FloatArray:
        """Mean of the slices' middles, weighted by length."""
        z = self._slices()
        lengths = self.length_mm(z)
        x = self.x0_mm + float((lengths**2).sum() / lengths.sum()) / 2
        return np.array([x, sum(self.y_mm) / 2, float(lengths @ z / lengths.sum())])

    @property
    def extent_lps_mm(self) -> FloatArray:
        """Bounding box."""
        longest = float(self.length_mm(self._slices()[-1]))
        return np.array([(self.x0_mm, self.x0_mm + longest), self.y_mm, self.z_mm])

    def depth_mm(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Distance from the nearest side in the plane, above and below the wedge negative."""
        (y0, y1), (z0, z1) = self.y_mm, self.z_mm
        along = np.minimum(x - self.x0_mm, self.x0_mm + self.length_mm(z) - x)
        inside = np.minimum(along, np.minimum(y - y0, y1 - y))
        return np.where((z > z0) & (z < z1), inside, _OUTSIDE_MM)
