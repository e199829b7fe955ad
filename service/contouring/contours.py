"""Contours of structures: closed polygons on the CT's own slices, cut from scalar fields at their zero level.

Coordinates are (column, row) in pixels with whole numbers at pixel centres, which the grid turns into patient
millimetres. Vertices lie on the lines that join neighbouring pixel centres, where the field changes sign.
None comes nearer than ``CLEARANCE_MM`` to a centre: a reader that asks whether a pixel centre is inside
answers as ``field > 0`` does, even after the decimals of the file have been rounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Final, cast

import numpy as np
from contourpy import FillType, LineType, SerialContourGenerator, ZInterp
from numpy.typing import NDArray

from models.volume import FloatArray, Grid, Segmentation, StructureField
from service.contouring.polygons import area, contains, simplified, without_collinear_points
from service.errors import StructureSetInvalid

CLEARANCE_MM: Final = 0.004
"""Least distance of a vertex from a pixel centre: several times what three decimals round away."""

_ON_CENTRE: Final = 1e-9
"""Pixels from a centre within which the direction of a vertex from it is arithmetic noise."""

_LARGEST_FIELD: Final = 1e6
"""Infinite values count as this, so that they can be interpolated."""

_SMALLEST_AREA_PIXELS: Final = 1e-9
"""Smaller polygons enclose nothing that a file could express."""


@dataclass(frozen=True, slots=True, repr=False)
class Contour:
    """One closed polygon on one slice; the last point is joined to the first.

    Attributes:
        slice_index: slice of the grid.
        pixels: ``(n, 2)`` (column, row), whole numbers at pixel centres.
        points_lps_mm: ``(n, 3)`` the same points in the patient.
        hole_of: index, among the structure's contours, of the outer contour that this one is a hole in; None
            for an outer contour.
    """

    slice_index: int
    pixels: FloatArray
    points_lps_mm: FloatArray
    hole_of: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ContourSet:
    """The contours of all structures of one CT.

    Attributes:
        grid: the CT's own slices.
        structures: contours by TG-263 name, ascending by slice; a hole follows the contour it is in.
        dropped: by name, how many polygons were left out because they enclose nothing.
    """

    grid: Grid
    structures: Mapping[str, tuple[Contour, ...]]
    dropped: Mapping[str, int] = field(default_factory=dict)


def contours_of(
    segmentation: Segmentation,
    grid: Grid,
    *,
    keep_holes: Collection[str] = (),
    tolerance_mm: float = 0.0,
) -> ContourSet:
    """Cut every structure of a segmentation at the zero level of its field.

    Args:
        segmentation: fields on the CT's own grid.
        grid: that grid.
        keep_holes: structures whose holes are kept; those of all others are filled.
        tolerance_mm: how far a contour may move to save points; 0 keeps every point that is not on a straight
            line between its neighbours.

    Raises:
        StructureSetInvalid: a field holds a value that is not a number, or lies outside the grid.
    """
    structures: dict[str, tuple[Contour, ...]] = {}
    dropped: dict[str, int] = {}
    for name, structure in segmentation.structures.items():
        contours, lost = structure_contours(
            structure, grid, keep_holes=name in keep_holes, tolerance_mm=tolerance_mm
        )
        if contours:
            structures[name] = contours
        if lost:
            dropped[name] = lost
    return ContourSet(grid, structures, dropped)


def structure_contours(
    structure: StructureField, grid: Grid, *, keep_holes: bool = False, tolerance_mm: float = 0.0
) -> tuple[tuple[Contour, ...], int]:
    """Contours of one structure, and how many polygons were dropped because they enclose nothing."""
    _check_place(structure, grid)
    spacing_mm = np.array([grid.column_spacing_mm, grid.row_spacing_mm])
    clearance = CLEARANCE_MM / float(spacing_mm.min())
    contours: list[Contour] = []
    dropped = 0
    for k, corner, margin in _slices_with_margin(structure):
        polygons = _polygons_of_slice(margin, clearance)
        for rings in polygons if keep_holes else _filled(polygons):
            outer_index = len(contours)
            for number, ring in enumerate(rings):
                kept = without_collinear_points(ring)
                if tolerance_mm > 0:
                    kept = simplified(kept, spacing_mm, tolerance_mm)
                if len(kept) < 3 or abs(area(kept)) < _SMALLEST_AREA_PIXELS:
                    dropped += 1
                    if number == 0:
                        break
                    continue
                pixels = kept + corner
                points = grid.positions_lps_mm(k, pixels[:, 1], pixels[:, 0])
                contours.append(Contour(k, pixels, points, None if number == 0 else outer_index))
    return tuple(contours), dropped


def _check_place(structure: StructureField, grid: Grid) -> None:
    corner = np.array(structure.corner_zyx)
    if (corner < 0).any() or (corner + structure.field.shape > grid.shape_zyx).any():
        raise StructureSetInvalid(
            "contours.outside-grid", "The model answered outside the CT. Report this as a fault of the model."
        )


def _slices_with_margin(structure: StructureField) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """Each slice with something inside: its index in the CT, where a crop about the structure begins (column,
    row), and the field there with at least one pixel of negative margin all round.
    """
    inside = structure.field > 0
    rows: NDArray[np.bool_] = np.any(inside, axis=2)
    c = np.flatnonzero(np.any(inside, axis=(0, 1)))
    z, y, x = structure.corner_zyx
    for k in np.flatnonzero(np.any(rows, axis=1)):
        r = np.flatnonzero(rows[k])
        r0, c0 = int(r[0]) - 1, int(c[0]) - 1
        crop = _cropped(structure.field[k], slice(r0, int(r[-1]) + 2), slice(c0, int(c[-1]) + 2))
        yield z + int(k), np.array([x + c0, y + r0], dtype=np.float64), crop


def _cropped(field: NDArray[np.float32], rows: slice, columns: slice) -> FloatArray:
    """Part of one slice of the box, as float64.

    Where the box ends, the margin is the outermost value made negative: the polygon closes on the outer edge
    of the outermost pixel, half a pixel beyond its centre.
    """
    dy, dx = field.shape
    crop = field[max(rows.start, 0) : min(rows.stop, dy), max(columns.start, 0) : min(columns.stop, dx)]
    z = crop.astype(np.float64)
    if not np.isfinite(z.max() - z.min()):
        if np.isnan(z).any():
            raise StructureSetInvalid(
                "contours.not-a-number",
                "The model's answer holds values that are not numbers. Report this as a fault of the model.",
            )
        z = np.clip(z, -_LARGEST_FIELD, _LARGEST_FIELD)
    beyond = (
        (int(rows.start < 0), int(rows.stop > dy)),
        (int(columns.start < 0), int(columns.stop > dx)),
    )
    if not np.any(beyond):
        return z
    z = np.pad(z, beyond, mode="edge")
    for edge, added in zip((z[0], z[-1], z[:, 0], z[:, -1]), np.ravel(beyond), strict=True):
        if added:
            edge[:] = -np.abs(edge)
    return z


def _polygons_of_slice(z: FloatArray, clearance: float) -> list[list[FloatArray]]:
    """``[[outer, hole, ...], ...]`` of a field with negative margin, in pixels from its corner."""
    polygons = _iso_contours(z)
    if any(_meets_a_centre(ring) for rings in polygons for ring in rings):
        polygons = _iso_contours(_without_zeros(z, clearance))
    return [[_cleared(ring, clearance) for ring in rings] for rings in polygons]


def _meets_a_centre(ring: FloatArray) -> bool:
    """Whether a vertex lies so exactly on a pixel centre that it does not say on which line it came there."""
    return bool((np.abs(ring - np.rint(ring)).max(axis=1) < _ON_CENTRE).any())


def _cleared(ring: FloatArray, clearance: float) -> FloatArray:
    """The ring with vertices too near to a pixel centre pushed along their grid line, away from it."""
    centre = np.rint(ring)
    offset = ring - centre
    distance = np.abs(offset).max(axis=1)
    near = distance < clearance
    if not near.any():
        return ring
    pushed = ring.copy()
    pushed[near] = centre[near] + offset[near] * (clearance / distance[near])[:, None]
    return pushed


def _without_zeros(z: FloatArray, clearance: float) -> FloatArray:
    """The field with values near zero moved away from it, each keeping its side; zero counts as outside.

    Between ``a`` and a neighbour ``b`` of the other sign the contour crosses at ``|a| / (|a| + |b|)`` of the
    way: at least ``clearance`` if ``|a|`` is at least that part of ``|b|``, with a little to spare.
    """
    size = np.abs(z)
    around = np.pad(size, 1)
    neighbour = np.max([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]], axis=0)
    least: FloatArray = neighbour * (clearance / (1 - clearance) * 1.001)
    return np.where(z > 0, 1.0, -1.0) * np.maximum(size, least)


def _iso_contours(z: FloatArray) -> list[list[FloatArray]]:
    x, y = _pixel_centres(-(-len(z) // 64) * 64, z.shape[1])
    # The generator itself, not contour_generator(): its checks for masked arrays cost more than the contour.
    generator = SerialContourGenerator(
        x[: len(z)],
        y[: len(z)],
        z,
        None,  # type: ignore[arg-type]  # no mask
        corner_mask=False,
        line_type=LineType.Separate,
        fill_type=FillType.OuterOffset,
        quad_as_tri=False,
        z_interp=ZInterp.Linear,
    )
    polygons, offsets = cast(
        "tuple[list[FloatArray], list[NDArray[np.uint32]]]", generator.filled(0.0, np.inf)
    )
    return [
        [ring[first : last - 1] for first, last in pairwise(starts)]
        for ring, starts in zip(polygons, offsets, strict=True)
    ]


@lru_cache(maxsize=4)
def _pixel_centres(rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
    x, y = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
    return x, y


def _filled(polygons: list[list[FloatArray]]) -> list[list[FloatArray]]:
    """Outer rings only, without those in a hole of another: even-odd readers would take them for holes."""
    hollow = [rings[0] for rings in polygons if len(rings) > 1]
    return [
        [rings[0]]
        for rings in polygons
        if not any(outer is not rings[0] and contains(outer, rings[0][0]) for outer in hollow)
    ]
