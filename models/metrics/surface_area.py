"""Surface Dice and surface overlap: how much of the surfaces' area lies within a tolerance of one another.

Every cube between eight voxel centres through which a surface passes holds one *surface element*: it stands
at the cube's middle, and its area is that of the polygons through the middles of the cube's edges that lead
from inside to outside (marching cubes). Two rules make the area unique. Corners of the kind that is in the
minority (inside when it is even) are held apart where they meet across a face's diagonal. A polygon that is
not flat is cut into those triangles that have the greatest area where all spacings are equal. Beyond the
volume is outside.

This is what Nikolov et al. 2018 (arXiv 1809.04430) define and their library ``surface-distance`` computes.
Huang 2023 names ASD, HD95, surface overlap, surface Dice and volumetric Dice, which are the five that this
library offers, and defines none: we take these definitions for SO and SD.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.nearest import nearest_mm
from models.metrics.surface_distances import box_of
from models.volume import Grid

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Corner = tuple[int, int, int]
Edge = frozenset[Corner]
Triangle = NDArray[np.float64]  # (3 points, zyx)

ROUNDING_MM: Final = 1e-6
"""A distance that is larger than the tolerance by no more than this is within it."""

_CORNERS: Final[tuple[Corner, ...]] = tuple((z, y, x) for z, y, x in product((0, 1), repeat=3))
_RING: Final = ((0, 0), (0, 1), (1, 1), (1, 0))


@dataclass(frozen=True, slots=True)
class SurfaceElements:
    """Areas of the truth's and the answer's surface elements, and distances to those of the other."""

    truth_mm2: Values
    truth_mm: Values
    answer_mm2: Values
    answer_mm: Values

    def surface_dice(self, tolerance_mm: float) -> float:
        """SD: the part of both surfaces together that is within the tolerance of the other, 0 to 1."""
        within = self._within(self.truth_mm2, self.truth_mm, tolerance_mm)
        within += self._within(self.answer_mm2, self.answer_mm, tolerance_mm)
        return within / float(self.truth_mm2.sum() + self.answer_mm2.sum())

    def overlap_of_answer(self, tolerance_mm: float) -> float:
        """SO: the part of the answer's surface within the tolerance of the truth's: what may stay."""
        return self._within(self.answer_mm2, self.answer_mm, tolerance_mm) / float(self.answer_mm2.sum())

    def overlap_of_truth(self, tolerance_mm: float) -> float:
        """SO: the part of the truth's surface within the tolerance of the answer's: what was found."""
        return self._within(self.truth_mm2, self.truth_mm, tolerance_mm) / float(self.truth_mm2.sum())

    @staticmethod
    def _within(areas_mm2: Values, distances_mm: Values, tolerance_mm: float) -> float:
        return float(areas_mm2[distances_mm <= tolerance_mm + ROUNDING_MM].sum())


def surface_elements(truth: Mask, answer: Mask, grid: Grid) -> SurfaceElements:
    """The surface elements of two masks on any grid.

    Raises:
        ValueError: a mask is empty, so that there is no distance.
    """
    if not truth.any() or not answer.any():
        message = "there is no distance to an empty structure"
        raise ValueError(message)
    box = box_of(truth | answer)
    offsets = grid.slice_offsets_mm
    gaps = np.diff(offsets, prepend=offsets[0], append=offsets[-1])  # between the slices, and beyond the ends
    gaps[[0, -1]] = (gaps[1], gaps[-2]) if len(gaps) > 2 else 1.0
    gaps = gaps[box[0].start : box[0].stop + 1]
    middles = np.cumsum(gaps) - gaps / 2
    in_slice = grid.row_spacing_mm, grid.column_spacing_mm
    codes = [_codes(mask[box]) for mask in (truth, answer)]
    at = [(code > 0) & (code < 255) for code in codes]
    areas = np.stack([_areas_mm2(float(gap), *in_slice) for gap in gaps])
    layer = np.arange(len(gaps))[:, None, None]
    areas_mm2 = [
        areas[np.broadcast_to(layer, here.shape)[here], code[here]]
        for code, here in zip(codes, at, strict=True)
    ]
    there, back = nearest_mm(at[0], at[1], middles, *in_slice), nearest_mm(at[1], at[0], middles, *in_slice)
    return SurfaceElements(areas_mm2[0], there, areas_mm2[1], back)


def _codes(mask: Mask) -> NDArray[np.uint8]:
    """Of each cube between voxel centres, one bit for each corner that is inside; one cube more each way."""
    wide = np.pad(mask, 1)
    shape = tuple(n + 1 for n in mask.shape)
    found = np.zeros(shape, np.uint8)
    for bit, corner in enumerate(_CORNERS):
        part = tuple(slice(start, start + n) for start, n in zip(corner, shape, strict=True))
        found |= wide[part].astype(np.uint8) << np.uint8(bit)
    return found


@cache
def _areas_mm2(*spacing_zyx_mm: float) -> Values:
    """``(256,)`` area of the surface in a cube of these edges, by code."""
    return np.array(
        [sum(_area(triangle * spacing_zyx_mm) for triangle in triangles) for triangles in _triangles()]
    )


@cache
def _triangles() -> tuple[tuple[Triangle, ...], ...]:
    """By code, the triangles in a cube of edges 1."""
    return tuple(
        tuple(np.array(triangle) for polygon in _polygons(code) for triangle in _largest(polygon))
        for code in range(256)
    )


def _polygons(code: int) -> Iterator[list[Corner]]:
    """The polygons of a cube; their corners are middles of edges, doubled to be whole numbers."""
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(_CORNERS)}
    minority = sum(inside.values()) <= 4
    beside: dict[Edge, list[Edge]] = {}
    for axis, side in product(range(3), (0, 1)):
        ring = [tuple(np.insert(pair, axis, side).tolist()) for pair in _RING]
        for start in range(4):  # a run of the minority around the face is cut off by one line
            if inside[ring[start]] == minority and inside[ring[start - 1]] != minority:
                end = start
                while inside[ring[(end + 1) % 4]] == minority:
                    end += 1
                first = frozenset((ring[start - 1], ring[start]))
                last = frozenset((ring[end % 4], ring[(end + 1) % 4]))
                beside.setdefault(first, []).append(last)
                beside.setdefault(last, []).append(first)
    while beside:
        edge, polygon = next(iter(beside)), []
        while edge in beside:
            polygon.append(tuple(sum(each) for each in zip(*edge, strict=True)))
            edge = next((each for each in beside.pop(edge) if each in beside), edge)
        yield polygon


def _largest(polygon: list[Corner]) -> list[list[tuple[float, ...]]]:
    """The cut into triangles with the greatest area, in a cube of edges 1."""
    if len(polygon) < 3:
        return []
    cuts: list[list[list[tuple[float, ...]]]] = []
    for k in range(1, len(polygon) - 1):
        triangle = [tuple(v / 2 for v in polygon[i]) for i in (0, k, -1)]
        cuts.append([triangle, *_largest(polygon[: k + 1]), *_largest(polygon[k:])])
    return max(cuts, key=lambda cut: sum(_area(np.array(each)) for each in cut))


def _area(triangle: Triangle) -> float:
    a, b, c = triangle
    return float(np.linalg.norm(np.cross(b - a, c - a))) / 2
