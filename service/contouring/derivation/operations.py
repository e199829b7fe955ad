"""What can be done with structures: each a function of fields on the CT's grid, None where nothing is left.

Of fields in different units the largest and the least have the same zero level as their regions' union and
intersection. What needs millimetres makes a distance of the field first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from models.volume import Grid, StructureField
from service.contouring.derivation.distance import (
    Box,
    Floats,
    Gauge,
    Lattice,
    distance_of_neighbours,
    embedded,
    signed_distance,
    surface_distance,
)

_LEAST_REACH_MM: Final = 0.01
"""A margin of nothing in one direction counts as this, so that the surface there keeps its place."""

_FARTHEST: Final = np.float32(1e5)
_WELL_BEYOND: Final = np.float32(2)
_FAINT: Final = np.float32(1e-3)
_WIDEST: Final = 3.0
"""Standard deviations of a Gaussian beyond which it counts as nothing."""


def tight(field: Floats, box: Box) -> StructureField | None:
    """The part of ``field`` about what is positive, a voxel wider where there is room; None if nothing is."""
    inside = field > 0
    on_slices = np.flatnonzero(inside.any(axis=(1, 2)))
    if not len(on_slices):
        return None
    flat: NDArray[np.bool_] = np.any(inside[on_slices[0] : on_slices[-1] + 1], axis=0)
    places = (on_slices, np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0)))
    part = tuple(slice(max(int(at[0]) - 1, 0), int(at[-1]) + 2) for at in places)
    z, y, x = (of.start + within.start for of, within in zip(box, part, strict=True))
    return StructureField(np.ascontiguousarray(field[part], np.float32), (z, y, x))


def union(parts: Sequence[StructureField]) -> StructureField | None:
    """What lies in any of them."""
    boxes = [part.slices_zyx for part in parts]
    box = _box(
        [slice(min(b[axis].start for b in boxes), max(b[axis].stop for b in boxes)) for axis in range(3)]
    )
    found = embedded(parts[0], box)
    for part in parts[1:]:
        np.maximum(found, embedded(part, box), out=found)
    return tight(found, box)


def intersection(parts: Sequence[StructureField]) -> StructureField | None:
    """What lies in all of them."""
    boxes = [part.slices_zyx for part in parts]
    box = _box(
        [slice(max(b[axis].start for b in boxes), min(b[axis].stop for b in boxes)) for axis in range(3)]
    )
    if any(one.start >= one.stop for one in box):
        return None
    found = embedded(parts[0], box)
    for part in parts[1:]:
        np.minimum(found, embedded(part, box), out=found)
    return tight(found, box)


def inside(
    part: StructureField, around: StructureField, mm: float, lattice: Lattice
) -> StructureField | None:
    """What of ``part`` lies in ``around`` and no nearer than ``mm`` to its surface."""
    box = part.slices_zyx
    limit = signed_distance(around, lattice, box, mm) - np.float32(mm) if mm > 0 else embedded(around, box)
    return tight(np.minimum(embedded(part, box), limit), box)


def away_from(
    part: StructureField, others: Sequence[StructureField], mm: float, lattice: Lattice
) -> StructureField | None:
    """What of ``part`` lies outside ``others`` and no nearer than ``mm`` to any; 0: their difference."""
    box = part.slices_zyx
    found = embedded(part, box)
    for other in others:
        if _meet(box, lattice.widened(other.slices_zyx, (mm,) * 3, (mm,) * 3)):
            near = (
                signed_distance(other, lattice, box, mm) + np.float32(mm) if mm > 0 else embedded(other, box)
            )
            np.minimum(found, np.negative(near, out=near), out=found)
    return tight(found, box)


def margin(part: StructureField, mm: float, lattice: Lattice) -> StructureField | None:
    """The surface moved outwards by ``mm``, inwards if negative."""
    if mm == 0:
        return part
    grown = max(mm, 0.0)
    box = lattice.widened(part.slices_zyx, (grown,) * 3, (grown,) * 3) if grown else part.slices_zyx
    return tight(signed_distance(part, lattice, box, abs(mm)) + np.float32(mm), box)


def directed_margin(
    part: StructureField, lower_mm: Sequence[float], higher_mm: Sequence[float], lattice: Lattice
) -> StructureField | None:
    """Margins that differ by direction: the structure with an ellipsoid, an octant at a time, at each point.

    Args:
        part: the structure.
        lower_mm: by axis of the array, towards lower indices.
        higher_mm: towards higher ones; none of all six is of another sign than the others.
        lattice: of the CT.
    """
    grows = min(*lower_mm, *higher_mm) >= 0
    low, high = ([max(abs(mm), _LEAST_REACH_MM) for mm in ends] for ends in (lower_mm, higher_mm))
    box = lattice.widened(part.slices_zyx, low, high) if grows else part.slices_zyx
    gauge = Gauge((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    # Where the surface hardly moves, the two voxels that it stays between say where it is, by the measure of
    # that direction; further surfaces, measured by other directions, would speak of another place.
    sides = []
    for of, is_behind in ((gauge, not grows), (gauge.mirrored, grows)):
        near = distance_of_neighbours(part, lattice, box, of)
        if not is_behind:
            away = surface_distance(part, lattice, box, of)
            near = np.where(np.isfinite(near) & (away > _WELL_BEYOND), near, away)
        sides.append(near)
    found = np.where(embedded(part, box) > 0, sides[1], -sides[0]) + np.float32(1 if grows else -1)
    return tight(np.clip(found, -_FARTHEST, _FARTHEST, out=found), box)


def ring(part: StructureField, inner_mm: float, outer_mm: float, lattice: Lattice) -> StructureField | None:
    """What lies further than ``inner_mm`` outside the structure and no further than ``outer_mm``."""
    box = lattice.widened(part.slices_zyx, (outer_mm,) * 3, (outer_mm,) * 3)
    distance = signed_distance(part, lattice, box, outer_mm)
    return tight(np.minimum(distance + np.float32(outer_mm), -(distance + np.float32(inner_mm))), box)


def filled(part: StructureField, what: Literal["cavities", "slices"]) -> StructureField:
    """Without holes: ``cavities`` are closed on all sides, ``slices`` also what is closed on its slice."""
    field = part.field.copy()
    hole = ~(field > 0)
    if what == "cavities":
        hole &= ~_reaching_out(hole, 6)
    else:
        for k, on_slice in enumerate(hole):
            hole[k] &= ~_reaching_out(on_slice, 4)
    field[hole] = np.maximum(-field[hole], _FAINT)
    return StructureField(field, part.corner_zyx, part.from_mask)


def largest(part: StructureField, grid: Grid) -> StructureField | None:
    """The largest of the pieces that touch nowhere, not even at corners."""
    labels, count = cc3d.connected_components(part.field > 0, connectivity=26, return_N=True)
    if count < 2:
        return part
    weights = grid.voxel_volumes_mm3()[part.slices_zyx[0]]
    volumes = np.zeros(count + 1)
    for on_slice, weight in zip(labels, weights, strict=True):
        volumes += np.bincount(on_slice.ravel(), minlength=count + 1) * weight
    keep = int(volumes[1:].argmax()) + 1
    dropped = (labels != 0) & (labels != keep)
    field = part.field.copy()
    field[dropped] = -np.abs(field[dropped])
    return tight(field, part.slices_zyx)


def smoothed(part: StructureField, mm: float, lattice: Lattice) -> StructureField | None:
    """The surface without detail smaller than ``mm``: a Gaussian over the distance; the volume stays.

    ``mm`` is the standard deviation. A plane stays where it is.
    """
    wide = _WIDEST * mm
    box = lattice.widened(part.slices_zyx, (wide,) * 3, (wide,) * 3)
    distance = signed_distance(part, lattice, box, wide)
    blurred = distance
    for axis in (2, 1, 0):
        blurred = _blurred(blurred, axis, lattice.places_mm[axis][box[axis]], mm)
    weights = _widths(lattice.places_mm[0])[box[0]]
    level = _level_of_same_volume(distance, blurred, weights, lattice.largest_step_mm)
    return tight(blurred - np.float32(level), box)


def _blurred(field: Floats, axis: int, places_mm: NDArray[np.float64], mm: float) -> Floats:
    """A Gaussian along one axis whose voxels need not lie evenly."""
    widths = _widths(places_mm)
    weights = np.exp(-0.5 * ((places_mm[:, None] - places_mm[None, :]) / mm) ** 2) * widths[None, :]
    weights[np.abs(places_mm[:, None] - places_mm[None, :]) > _WIDEST * mm] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = weights.astype(np.float32)
    if axis == 0:
        return (matrix @ field.reshape(len(field), -1)).reshape(field.shape)
    return matrix @ field if axis == 1 else field @ matrix.T


def _level_of_same_volume(
    before: Floats, after: Floats, weights: NDArray[np.float64], step_mm: float
) -> float:
    """The level at which ``after`` encloses as much as ``before`` does at 0, parts of voxels counted."""
    near = np.abs(after) < 4 * step_mm
    share = np.broadcast_to(weights[:, None, None], after.shape)[near].astype(np.float32)
    values, before = after[near], before[near]

    def enclosed(field: Floats, level: float) -> float:
        return float(np.clip((field - np.float32(level)) / np.float32(step_mm) + 0.5, 0, 1) @ share)

    wanted = enclosed(before, 0.0)
    low, high = -2.0 * step_mm, 2.0 * step_mm
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if enclosed(values, middle) > wanted else (low, middle)
    return (low + high) / 2


def _widths(places_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    gaps = np.diff(places_mm)
    if not len(gaps):
        return np.ones(1)
    return np.concatenate([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])


def _reaching_out(background: NDArray[np.bool_], connectivity: Literal[4, 6]) -> NDArray[np.bool_]:
    """Background that is joined to what lies around the array."""
    around = np.pad(background, 1, constant_values=True)
    labels = cc3d.connected_components(around, connectivity=connectivity)
    outer = labels == labels[(0,) * labels.ndim]
    found: NDArray[np.bool_] = outer[(slice(1, -1),) * labels.ndim]
    return found


def _box(parts: Sequence[slice]) -> Box:
    return parts[0], parts[1], parts[2]


def _meet(a: Box, b: Box) -> bool:
    return all(one.start < other.stop and other.start < one.stop for one, other in zip(a, b, strict=True))
