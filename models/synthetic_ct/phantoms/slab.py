"""Solids on the slices of a grid: where to evaluate them, and how they join."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.synthetic_ct.phantoms.solids import Distances, Points, Solid
from models.volume import FloatArray, Grid

Window = tuple[slice, slice, slice]
Group = Sequence[Solid]

FAR_MM = 50.0
MARGIN_MM = 6.0
"""How far outside its surface a body is still evaluated; blends and soft edges are narrower than this."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Some neighbouring slices of a grid, in the frame of the bodies.

    Attributes:
        grid: the whole grid.
        first: index of the first slice.
        points: positions of the slab's voxels.
        origins: ``(n, 3)`` origins of its slices in the frame of the bodies.
        normal: ``(3,)`` of the slices.
        to_index: ``(3, 3)`` from mm to column, row and mm along the normal.
    """

    grid: Grid
    first: int
    points: Points
    origins: FloatArray
    normal: FloatArray
    to_index: FloatArray

    @classmethod
    def of(cls, grid: Grid, first: int, last: int, frame_origin_lps_mm: FloatArray) -> Slab:
        """Slices ``first`` up to, not including, ``last``, relative to ``frame_origin_lps_mm``."""
        origins = grid.slice_origins_lps_mm[first:last] - frame_origin_lps_mm
        rows = np.arange(grid.rows)[None, :, None]
        columns = np.arange(grid.columns)[None, None, :]
        xyz = [
            (
                origins[:, i][:, None, None]
                + rows * grid.row_step_lps_mm[i]
                + columns * grid.column_step_lps_mm[i]
            ).astype(np.float32)
            for i in range(3)
        ]
        normal = grid.normal
        to_index = np.linalg.inv(np.stack([grid.column_step_lps_mm, grid.row_step_lps_mm, normal], axis=1))
        return cls(grid, first, Points(*xyz), origins, normal, to_index)

    def window(self, lo: FloatArray, hi: FloatArray) -> Window | None:
        """The slab's voxels that may lie between two corners; None if there are none."""
        corners = np.array(
            [[x, y, z] for x in (lo[0], hi[0]) for y in (lo[1], hi[1]) for z in (lo[2], hi[2])]
        )
        g = self.grid
        heights, along = corners @ self.normal, self.origins @ self.normal
        k0, k1 = np.searchsorted(along, heights.min()), np.searchsorted(along, heights.max(), side="right")
        if k0 >= k1:
            return None
        ends = self.origins[[k0, k1 - 1]]
        indices = (corners[None] - ends[:, None]) @ self.to_index.T  # column, row, mm
        low = np.floor(indices.min((0, 1))).astype(int)
        high = np.ceil(indices.max((0, 1))).astype(int) + 1
        c0, c1 = max(0, low[0]), min(g.columns, high[0])
        r0, r1 = max(0, low[1]), min(g.rows, high[1])
        if c0 >= c1 or r0 >= r1:
            return None
        return slice(int(k0), int(k1)), slice(int(r0), int(r1)), slice(int(c0), int(c1))


@dataclass(frozen=True, slots=True)
class Field:
    """Distances of one structure in a window of a slab; outside the window it is far away."""

    window: Window
    distance: Distances

    def but(self, change: Callable[[Distances], Distances]) -> Field:
        """The field with its distances changed."""
        return Field(self.window, change(self.distance))

    def within(self, limit: Distances) -> Field:
        """The part of it inside another field, given on the whole slab."""
        return Field(self.window, np.maximum(self.distance, limit[self.window]))


def union(groups: Iterable[Group], slab: Slab, blend_mm: float = 0.0) -> Field | None:
    """Distance to the union of groups of bodies; None where the slab misses them all.

    Bodies of one group meet as they are; the joints between groups are rounded over ``blend_mm``.
    """
    present = [
        [(b, w) for b in group if (w := slab.window(b.lo - MARGIN_MM, b.hi + MARGIN_MM))] for group in groups
    ]
    windows = [w for group in present for _, w in group]
    if not windows:
        return None
    low = [min(w[i].start for w in windows) for i in range(3)]
    high = [max(w[i].stop for w in windows) for i in range(3)]
    whole: Window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    values: Distances | None = None
    for group in present:
        if group:
            one = _hard_union(group, slab, whole)
            values = one if values is None else _soft_minimum(values, one, blend_mm)
    return None if values is None else Field(whole, values)


def _hard_union(group: Sequence[tuple[Solid, Window]], slab: Slab, whole: Window) -> Distances:
    values = np.full([s.stop - s.start for s in whole], FAR_MM, np.float32)
    for body, w in group:
        inner = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(w, whole, strict=True))
        d = body.distance(slab.points[w])
        here = values[inner]
        values[inner] = np.where(d < MARGIN_MM, np.minimum(here, d), here)
    return values


def _soft_minimum(a: Distances, b: Distances, width_mm: float) -> Distances:
    low = np.minimum(a, b)
    if width_mm <= 0:
        return low
    near = np.maximum(np.float32(width_mm) - np.abs(a - b), 0)
    out: Distances = low - near * near / np.float32(4 * width_mm)
    return out
