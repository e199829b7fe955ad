"""How far voxels are from a structure's surface, to fractions of a voxel, whatever the spacing of the slices.

The surface is where the field changes sign on the lines that join neighbouring voxels: the points that
contours are made of. From each voxel the nearest of these points is looked for: along its line of voxels
first, then over the lines beside it, then over those beside these. That is exact, because the square of a
distance is the sum of three. Between slices that lie further apart than pixels do, the field is interpolated,
so that the points lie as near to one another there. The edge of the CT is no surface: nobody saw the
structure end there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray, Grid, StructureField

Floats = NDArray[np.float32]
Box = tuple[slice, slice, slice]

_LARGEST_FIELD: Final = np.float32(1e6)
_FAR: Final = np.float32(np.inf)
_THREADS: Final = min(2, os.cpu_count() or 1)
_VOXELS_AT_A_TIME: Final = 65_536
_COARSEST: Final = 1.6
"""Times the pixel spacing that points of the surface may be apart between slices."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where the voxels of a CT are along the axes of its array.

    Attributes:
        places_mm: by axis, of every voxel; ascending, evenly or not.
    """

    places_mm: tuple[FloatArray, FloatArray, FloatArray]

    @classmethod
    def of(cls, grid: Grid) -> Lattice:
        """That of a CT's grid."""
        rows: FloatArray = np.arange(grid.rows) * np.float64(grid.row_spacing_mm)
        columns: FloatArray = np.arange(grid.columns) * np.float64(grid.column_spacing_mm)
        return cls((grid.slice_offsets_mm, rows, columns))

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        z, y, x = (len(places) for places in self.places_mm)
        return z, y, x

    @property
    def largest_step_mm(self) -> float:
        """Between neighbouring voxels along any axis."""
        return max(float(np.diff(places).max(initial=0)) for places in self.places_mm)

    def widened(self, box: Box, lower_mm: Sequence[float], higher_mm: Sequence[float]) -> Box:
        """The box with so many millimetres and one voxel more at its ends, where the CT has them."""
        ends = []
        for places, part, lower, higher in zip(self.places_mm, box, lower_mm, higher_mm, strict=True):
            first = int(np.searchsorted(places, places[part.start] - lower - 1e-6)) - 1
            last = int(np.searchsorted(places, places[part.stop - 1] + higher + 1e-6, "right"))
            ends.append(slice(max(first, 0), min(last + 1, len(places))))
        return ends[0], ends[1], ends[2]


@dataclass(frozen=True, slots=True)
class Gauge:
    """The ellipsoid, an octant at a time, that counts as one away.

    Attributes:
        lower_mm: semi-axes towards lower indices of the array's axes.
        higher_mm: those towards higher ones.
    """

    lower_mm: tuple[float, float, float]
    higher_mm: tuple[float, float, float]

    @classmethod
    def ball(cls, radius_mm: float) -> Gauge:
        """The same in all directions."""
        return cls((radius_mm,) * 3, (radius_mm,) * 3)

    @property
    def mirrored(self) -> Gauge:
        """Seen from the other end."""
        return Gauge(self.higher_mm, self.lower_mm)


def signed_distance(part: StructureField, lattice: Lattice, box: Box, reach_mm: float) -> Floats:
    """Distance from the surface in mm, positive inside, in ``box``, as far as ``reach_mm`` and a voxel.

    Further away it is that much.
    """
    away = surface_distance(part, lattice, box, Gauge.ball(reach_mm))
    limit = np.float32(reach_mm + lattice.largest_step_mm)
    np.minimum(np.multiply(away, np.float32(reach_mm), out=away), limit, out=away)
    return np.where(embedded(part, box) > 0, away, -away)


def surface_distance(part: StructureField, lattice: Lattice, box: Box, gauge: Gauge) -> Floats:
    """Distance of each voxel of ``box`` from the surface by ``gauge``, infinite beyond 1 and a voxel.

    The gauge is laid on the points of the surface.
    """
    search, inner = _search(part, lattice, box, gauge)
    return np.sqrt(np.ascontiguousarray(search.squared()[inner]))


def distance_of_neighbours(part: StructureField, lattice: Lattice, box: Box, gauge: Gauge) -> Floats:
    """The same of voxels whose neighbour along an axis lies on the other side of the surface; else infinite.

    Each counts only what crosses the lines to its own neighbours.
    """
    search, inner = _search(part, lattice, box, gauge)
    return np.sqrt(np.ascontiguousarray(search.of_neighbours()[inner]))


def _search(part: StructureField, lattice: Lattice, box: Box, gauge: Gauge) -> tuple[_Search, Box]:
    """A search wide enough to hold the surface that is near to ``box``, and where in it the box is."""
    reach = lattice.widened(box, gauge.higher_mm, gauge.lower_mm)
    padded = lattice.widened(part.slices_zyx, (0, 0, 0), (0, 0, 0))
    work = tuple(
        slice(min(wanted.start, max(near.start, own.start)), max(wanted.stop, min(near.stop, own.stop)))
        for wanted, near, own in zip(box, reach, padded, strict=True)
    )
    field = embedded(part, (work[0], work[1], work[2]))
    z, y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, work, strict=True))
    places = [one[part_] for one, part_ in zip(lattice.places_mm, work, strict=True)]
    return _Search(field, places, gauge), (z, y, x)


def embedded(part: StructureField, box: Box, beyond: float = -1.0) -> Floats:
    """The field of a structure in ``box``, ``beyond`` where it does not say."""
    z, y, x = (of.stop - of.start for of in box)
    found = np.full((z, y, x), beyond, np.float32)
    ours, theirs = [], []
    for wanted, own in zip(box, part.slices_zyx, strict=True):
        first, last = max(wanted.start, own.start), min(wanted.stop, own.stop)
        if first >= last:
            return found
        ours.append(slice(first - wanted.start, last - wanted.start))
        theirs.append(slice(first - own.start, last - own.start))
    found[tuple(ours)] = np.clip(part.field[tuple(theirs)], -_LARGEST_FIELD, _LARGEST_FIELD)
    return found


class _Search:
    """The nearest points of one surface from every voxel of a box."""

    def __init__(self, field: Floats, places_mm: Sequence[FloatArray], gauge: Gauge) -> None:
        self._field = field
        self._places = places_mm
        self._gauge = gauge

    def squared(self) -> Floats:
        """``(z, y, x)`` the square of the distance."""
        heights, sheets = self._sheets()
        inside = sheets > 0
        crossed = np.flatnonzero(inside.any(axis=(1, 2)) & ~inside.all(axis=(1, 2)))
        costs = self._costs_of_heights(heights[crossed])
        found = np.full(self._field.shape, _FAR)
        along_z = self._line(self._field, 0, 0)

        def search(chosen: NDArray[np.intp]) -> None:
            sheets[chosen] = self._in_plane(sheets[chosen])

        def gather(k: int) -> None:
            near = np.flatnonzero(np.isfinite(costs[k]))
            for sheet, cost in zip(crossed[near], costs[k, near], strict=True):
                np.minimum(found[k], sheets[sheet] + cost, out=found[k])

        def gather_along_z(chosen: NDArray[np.intp]) -> None:
            near = self._beside(self._beside(along_z[chosen], 1), 2)
            found[chosen] = np.minimum(found[chosen], near, out=near)

        met = np.flatnonzero(np.isfinite(along_z).any(axis=(1, 2)))
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(search, self._chunks(crossed)))
            list(pool.map(gather, range(len(found))))
            list(pool.map(gather_along_z, self._chunks(met)))
        return found

    def of_neighbours(self) -> Floats:
        """``(z, y, x)`` the square of the distance of voxels next to the surface, along their own lines."""
        found = np.full(self._field.shape, _FAR)
        for axis, places in enumerate(self._places):
            step = float(np.diff(places).max(initial=0))
            np.minimum(found, self._line(self._field, axis, axis, farthest_mm=step), out=found)
        return found

    def _chunks(self, slices: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """As many slices at a time as stay in a processor's memory, and no more than there is time for."""
        each = max(_VOXELS_AT_A_TIME // max(self._field[0].size, 1), 1)
        return [slices[at : at + each] for at in range(0, len(slices), each)]

    def _sheets(self) -> tuple[FloatArray, Floats]:
        """The slices, and further ones interpolated where they lie far apart: heights and fields."""
        heights, field = self._places[0], self._field
        finest = _COARSEST * min(float(np.diff(p).min(initial=np.inf)) for p in self._places[1:])
        holds: NDArray[np.bool_] = np.any(field > 0, axis=(1, 2))
        at, sheets = [float(heights[0])], [field[0]]
        for k, gap in enumerate(np.diff(heights)):
            count = int(np.ceil(gap / finest)) if holds[k] or holds[k + 1] else 1
            for number in range(1, count):
                at.append(float(heights[k] + gap * number / count))
                sheets.append(field[k] + (field[k + 1] - field[k]) * np.float32(number / count))
            at.append(float(heights[k + 1]))
            sheets.append(field[k + 1])
        return np.array(at), np.stack(sheets)

    def _in_plane(self, sheets: Floats) -> Floats:
        """Squared distance from the points on the lines of each sheet, within it."""
        by_columns = self._beside(self._line(sheets, 2, 2), 1)
        by_rows = self._beside(self._line(sheets, 1, 1), 2)
        return np.minimum(by_columns, by_rows, out=by_columns)

    def _line(self, field: Floats, axis: int, places: int, farthest_mm: float = np.inf) -> Floats:
        """Squared distance from the nearest point on each voxel's own line along ``axis``."""
        shape = [1, 1, 1]
        shape[axis] = -1
        at = self._places[places].astype(np.float32).reshape(shape)
        first, second = _pair(axis)
        low, high = field[first], field[second]
        with np.errstate(divide="ignore", invalid="ignore"):
            point = at[first] + low / (low - high) * (at[second] - at[first])
        is_one = (low > 0) != (high > 0)
        after, before = np.full(field.shape, _FAR), np.full(field.shape, -_FAR)
        np.copyto(after[first], point, where=is_one)
        np.copyto(before[second], point, where=is_one)
        backwards = np.flip(after, axis)
        np.minimum.accumulate(backwards, axis, out=backwards)
        np.maximum.accumulate(before, axis, out=before)
        np.subtract(after, at, out=after)
        np.subtract(at, before, out=before)
        if np.isfinite(farthest_mm):
            after[after > farthest_mm] = before[before > farthest_mm] = _FAR
        np.divide(after, np.float32(self._gauge.lower_mm[places]), out=after)
        np.divide(before, np.float32(self._gauge.higher_mm[places]), out=before)
        return np.square(np.minimum(after, before, out=after), out=after)

    def _beside(self, squared: Floats, axis: int) -> Floats:
        """The least over the neighbours along an axis of the slices, as far as the gauge reaches."""
        places = self._places[axis]
        if len(places) < 2:
            return squared
        found, summed = squared.copy(), np.empty_like(squared)
        for offset, cost in self._costs(float(places[1] - places[0]), axis):
            ours, theirs = _shifted(offset, axis)
            into = found[ours]
            sum_ = summed[ours]
            np.minimum(into, np.add(squared[theirs], cost, out=sum_), out=into)
        return found

    def _costs(self, step_mm: float, axis: int) -> Iterator[tuple[int, np.float32]]:
        """Offsets from a point to a voxel along ``axis``, and what they add."""
        for sign, reach in ((1, self._gauge.higher_mm[axis]), (-1, self._gauge.lower_mm[axis])):
            for steps in range(1, int(np.ceil(reach / step_mm + 1e-9)) + 1):
                yield sign * steps, np.float32((steps * step_mm / reach) ** 2)

    def _costs_of_heights(self, heights_mm: FloatArray) -> Floats:
        """``(slices, sheets)`` what the way from a sheet to a slice adds; infinite beyond the reach."""
        offset = self._places[0][:, None] - heights_mm[None, :]
        reach = np.where(offset > 0, self._gauge.higher_mm[0], self._gauge.lower_mm[0])
        step = float(np.diff(self._places[0]).max(initial=0))
        return np.where(np.abs(offset) > reach + step, _FAR, (offset / reach) ** 2).astype(np.float32)


def _pair(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All but the last along an axis, all but the first."""
    whole = [slice(None)] * axis
    return (*whole, slice(None, -1)), (*whole, slice(1, None))


def _shifted(offset: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where voxels are that lie ``offset`` after others along an axis, and these others."""
    whole = [slice(None)] * axis
    if offset > 0:
        return (*whole, slice(offset, None)), (*whole, slice(None, -offset))
    return (*whole, slice(None, offset)), (*whole, slice(-offset, None))
