"""A CT whose every mark has a known place and volume, so that a physicist can prove a planning system right.

Nothing in it is symmetric: the ball is on the patient's left only, the letters L, R, H and F stand where
they belong, the body narrows towards the head, and the length of the wedge tells the slice. Edges of boxes,
letters and wedge lie half way between voxels, so their volume is the same counted or calculated.

Frame: DICOM patient coordinates, LPS, mm; the phantom's middle is at the origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray, Grid, StructureField
from service.dicom.patient_grids import sample_hu
from service.dicom.phantom_shapes import FUZZ, Ball, Boxes, Shape, Wedge

VERSION: Final = "1.0"

AIR_HU, WATER_HU = -1000, 0
BODY_RADII_MM: Final = (160.0, 110.0)
BODY_HALF_LENGTH_MM: Final = 105.0
BALL_CENTRE_MM: Final = (72.0, 0.6, 0.9)
"""Off the lattice of any usual grid: counted in voxels its volume is right to 0.4 %, on it to 1.4 % only."""

BALL_RADIUS_MM: Final = 30.0
_NARROWING: Final = 0.1
_CELL_MM: Final = 5.0
_FIELD_MARGIN_VOXELS: Final = 3

_LETTERS: Final = {
    "L": ("X....", "X....", "X....", "X....", "X....", "X....", "XXXXX"),
    "R": ("X.XXX", "X...X", "X...X", "X.XXX", "X.XX.", "X..X.", "X..XX"),
    "H": ("X...X", "X...X", "X...X", "XXXXX", "X...X", "X...X", "X...X"),
    "F": ("XXXXX", "X....", "X....", "XXXX.", "X....", "X....", "X...."),
}
"""Rows from anterior to posterior, columns from the patient's right to left: upright in a transverse view
from the feet, anterior up, patient's left on the viewer's right. None encloses a hole and no cells touch by a
corner alone: systems differ in what they make of either."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A shape in the phantom.

    Attributes:
        name: ROI name, at most 16 characters.
        purpose: what it shows, for people.
        hu: CT number.
        shape: where and how large.
    """

    name: str
    purpose: str
    hu: int
    shape: Shape


def marks_on(grid: Grid) -> tuple[Mark, ...]:
    """The marks, their edges moved half way between the voxels of an upright grid."""
    at = _Lattice(grid)

    def box(x: float, y: float, z: float, edge_mm: float) -> Boxes:
        half = edge_mm / 2
        return Boxes(np.array([[at.edges(axis, c - half, c + half) for axis, c in enumerate((x, y, z))]]))

    ends = BODY_HALF_LENGTH_MM - 5
    wedge = at.wedge(x0=-60.0, y=(-85.0, -75.0), z=(-ends, ends))
    return (
        Mark("Ball_L", "on the patient's left and nowhere else", 200, Ball(BALL_CENTRE_MM, BALL_RADIUS_MM)),
        Mark("Cube_Anterior", "anterior, towards the head", 300, box(0, -45, 45, 40)),
        Mark("Cube_Small", "right, posterior, towards the feet", -300, box(-40, 50, -60, 20)),
        Mark("Wedge", "its length tells the slice", 800, wedge),
        Mark("Letter_L", "patient's left, on every slice", 1000, at.letter("L", 118.0, -ends, ends)),
        Mark("Letter_R", "patient's right, on every slice", 1000, at.letter("R", -118.0, -ends, ends)),
        Mark("Letter_H", "the end towards the head", 1000, at.letter("H", 0.0, ends - 25, ends)),
        Mark("Letter_F", "the end towards the feet", 1000, at.letter("F", 0.0, -ends, 25 - ends)),
    )


def phantom_hu(grid: Grid, marks: Sequence[Mark]) -> NDArray[np.int16]:
    """``(slices, rows, columns)`` CT numbers: marks in a body of water in air, each voxel by its centre."""

    def hu(x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        narrower = 1 - _NARROWING * (z + BODY_HALF_LENGTH_MM) / (2 * BODY_HALF_LENGTH_MM)
        a, b = BODY_RADII_MM[0] * narrower, BODY_RADII_MM[1] * narrower
        body = ((x / a) ** 2 + (y / b) ** 2 < 1) & (np.abs(z) < BODY_HALF_LENGTH_MM)
        return np.where(body, float(WATER_HU), float(AIR_HU))

    out = sample_hu(grid, hu)
    for mark in marks:
        field = mark_field(grid, mark)
        out[field.slices_zyx][field.field > 0] = mark.hu
    return out


def mark_field(grid: Grid, mark: Mark) -> StructureField:
    """A mark as a field that is zero on its surface, on the part of the grid that it needs."""
    corners = np.stack(np.meshgrid(*mark.shape.extent_lps_mm, indexing="ij"), axis=-1).reshape(-1, 3)
    from_first = corners - grid.slice_origins_lps_mm[0]
    steps = np.stack([grid.normal, grid.row_step_lps_mm, grid.column_step_lps_mm])
    index = from_first @ steps.T / (steps**2).sum(axis=1)
    index[:, 0] = np.interp(
        from_first @ grid.normal, grid.slice_offsets_mm, np.arange(len(grid.slice_offsets_mm))
    )
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - _FIELD_MARGIN_VOXELS, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + _FIELD_MARGIN_VOXELS + 1, grid.shape_zyx)
    rows, columns = np.mgrid[low[1] : high[1], low[2] : high[2]].astype(np.float64)
    places = np.stack([grid.positions_lps_mm(k, rows, columns) for k in range(low[0], high[0])])
    depth = mark.shape.depth_mm(places[..., 0], places[..., 1], places[..., 2])
    return StructureField(depth.astype(np.float32), (int(low[0]), int(low[1]), int(low[2])))


class _Lattice:
    """Where the edges between voxels lie along each patient axis of an upright grid."""

    def __init__(self, grid: Grid) -> None:
        steps = np.abs(np.stack([grid.column_step_lps_mm, grid.row_step_lps_mm]))
        slice_mm = float(np.diff(grid.slice_offsets_mm[:2])[0])
        self._spacing_mm = steps.sum(axis=0) + slice_mm * np.abs(grid.normal)
        self._slice_mm = slice_mm
        self._edge_mm = grid.slice_origins_lps_mm[0] + self._spacing_mm / 2

    def edge(self, axis: int, value_mm: float) -> float:
        spacing, one = self._spacing_mm[axis], self._edge_mm[axis] % self._spacing_mm[axis]
        return float(one + spacing * np.floor((value_mm - one) / spacing + 0.5 + FUZZ))

    def edges(self, axis: int, low_mm: float, high_mm: float) -> tuple[float, float]:
        return self.edge(axis, low_mm), self.edge(axis, high_mm)

    def wedge(self, x0: float, y: tuple[float, float], z: tuple[float, float]) -> Wedge:
        return Wedge(
            self.edge(0, x0), self.edges(1, *y), self.edges(2, *z), float(self._spacing_mm[0]), self._slice_mm
        )

    def letter(self, letter: str, x_mm: float, z_low_mm: float, z_high_mm: float) -> Boxes:
        """A letter drawn in the transverse plane about ``x_mm``, between two heights."""
        cells = _LETTERS[letter]
        width, height = len(cells[0]) * _CELL_MM, len(cells) * _CELL_MM
        z = self.edges(2, z_low_mm, z_high_mm)
        boxes = []
        for row, line in enumerate(cells):
            y = -height / 2 + row * _CELL_MM
            for column, cell in enumerate(line):
                x = x_mm - width / 2 + column * _CELL_MM
                if cell == "X":
                    boxes.append((self.edges(0, x, x + _CELL_MM), self.edges(1, y, y + _CELL_MM), z))
        return Boxes(np.array(boxes))
