"""Seven structures whose surface is known on every slice, as masks and as fields, on a CT of any size.

Every cross-section is a set of ellipses, added or cut out. Two structures have what writers stumble over: a hole
through all slices, two parts; one is thin, and one is drawn on a single slice. Patient (LPS) mm, the middle of
the stack at z = 0; heights are given for a stack of 450 mm and stretch with its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray, Grid
from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import patient_grid

FIELD_OF_VIEW_MM = 500.0
_LENGTH_MM = 450.0
_MARGIN_MM = 12.0


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Part of a cross-section.

    Attributes:
        x_mm, y_mm: its middle.
        a_mm, b_mm: its semi-axes.
        angle: of the first axis from x, radians.
        cut_out: a hole rather than a part.
    """

    x_mm: float
    y_mm: float
    a_mm: float
    b_mm: float
    angle: float = 0.0
    cut_out: bool = False

    def depth_mm(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """How deep points lie inside; zero just on the curve, the distance from it to first order."""
        u, v = self._own_axes(x, y)
        radius = np.hypot(u / self.a_mm, v / self.b_mm)
        slope = np.hypot(u / self.a_mm**2, v / self.b_mm**2) / np.maximum(radius, 1e-9)
        return (1 - radius) / np.maximum(slope, 1e-9)

    def curve(self, step_mm: float) -> FloatArray:
        """``(n, 2)`` points on it, never farther apart than a step."""
        t = np.arange(0, 2 * np.pi, step_mm / max(self.a_mm, self.b_mm))
        u, v = self.a_mm * np.cos(t), self.b_mm * np.sin(t)
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.x_mm + u * c - v * s, self.y_mm + u * s + v * c], axis=1)

    def _own_axes(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        c, s = np.cos(self.angle), np.sin(self.angle)
        return (x - self.x_mm) * c + (y - self.y_mm) * s, (y - self.y_mm) * c - (x - self.x_mm) * s


def _ball(z: float, middle: tuple[float, float, float], radii: tuple[float, float, float]) -> list[Ellipse]:
    """Cross-section of an ellipsoid; none where less than a tenth of a millimetre would be left."""
    part = 1 - ((z - middle[2]) / radii[2]) ** 2
    if part <= 1e-4:
        return []
    return [Ellipse(middle[0], middle[1], radii[0] * part**0.5, radii[1] * part**0.5)]


def _bladder(z: float) -> list[Ellipse]:
    return _ball(z, (4.1, -22.3, 58.0), (47.0, 36.0, 44.0))


def _prostate(z: float) -> list[Ellipse]:
    return _ball(z, (1.3, 14.6, -2.0), (25.0, 21.0, 24.0))


def _rectum(z: float) -> list[Ellipse]:
    if not -74 <= z <= 102:
        return []
    u = (z - 14) / 88
    return [
        Ellipse(5 * np.sin(3 * u), 61 + 13 * u * u, 16 + 3 * np.cos(4 * u), 12 + 2 * np.sin(2 * u), 0.3 * u)
    ]


def _femur_heads(z: float) -> list[Ellipse]:
    return [part for side in (-1, 1) for part in _ball(z, (side * 91.7, 4.9, 21.0), (24.0, 23.0, 25.0))]


def _spine(z: float) -> list[Ellipse]:
    """Vertebral bodies about a canal."""
    if not 30 <= z <= 200:
        return []
    width = 25 + 2.5 * np.sin(z / 6)
    return [Ellipse(1.7, 66.0, width, 21.0), Ellipse(1.9, 72.4, 9.3, 7.6, cut_out=True)]


def _urethra(z: float) -> list[Ellipse]:
    return (
        [Ellipse(1.4 + 6 * np.sin((z + 12) / 21), 12.9 + 0.18 * (z + 12), 2.0, 2.0)] if -52 <= z <= 24 else []
    )


def _penile_bulb(_: float) -> list[Ellipse]:
    """The same at any height: it is drawn on one slice alone."""
    return [Ellipse(0.6, 32.3, 12.7, 8.2, 0.2)]


SECTIONS: dict[str, Callable[[float], list[Ellipse]]] = {
    "Bladder": _bladder,
    "Rectum": _rectum,
    "Prostate": _prostate,
    "Femur_Heads": _femur_heads,
    "Spine": _spine,
    "Urethra": _urethra,
    "PenileBulb": _penile_bulb,
}
ON_ONE_SLICE = {"PenileBulb": -82.0}
"""Structures on the single slice nearest to this height."""

HOLLOW = "Spine"
"""The one that keeps its hole."""


@dataclass(frozen=True, slots=True)
class PelvisCase:
    """The structures on one grid.

    Attributes:
        slices: how many.
        pixels: rows and columns, over 500 mm.
        slice_mm: from slice to slice.
    """

    slices: int = 150
    pixels: int = 512
    slice_mm: float = 3.0

    @property
    def grid(self) -> Grid:
        """Transverse, head first, supine; no voxel centre on an axis of the phantom."""
        mm = FIELD_OF_VIEW_MM / self.pixels
        return patient_grid(
            "HFS", shape_zyx=(self.slices, self.pixels, self.pixels), spacing_zyx_mm=(self.slice_mm, mm, mm)
        )

    def sections(self, name: str) -> Iterator[tuple[int, list[Ellipse]]]:
        """Slice index and cross-section of every slice that the structure is on."""
        z_mm = self.grid.slice_origins_lps_mm[:, 2]
        middle = float(z_mm[0] + z_mm[-1]) / 2
        stretch = _LENGTH_MM / (self.slices * self.slice_mm)
        heights = (z_mm - middle) * stretch
        only = int(np.abs(heights - ON_ONE_SLICE[name]).argmin()) if name in ON_ONE_SLICE else None
        for k, z in enumerate(heights):
            section = SECTIONS[name](float(z))
            if section and only in (None, k):
                yield k, section

    def depths(self, name: str) -> Iterator[tuple[int, slice, slice, FloatArray]]:
        """Slice, rows, columns and how deep each pixel centre in them lies inside, mm; on each slice."""
        grid = self.grid
        x = grid.slice_origins_lps_mm[0, 0] + np.arange(grid.columns) * grid.column_step_lps_mm[0]
        y = grid.slice_origins_lps_mm[0, 1] + np.arange(grid.rows) * grid.row_step_lps_mm[1]
        for k, section in self.sections(name):
            reach = max(max(e.a_mm, e.b_mm) for e in section) + _MARGIN_MM
            c0, c1 = np.searchsorted(
                x, [min(e.x_mm for e in section) - reach, max(e.x_mm for e in section) + reach]
            )
            r0, r1 = np.searchsorted(
                y, [min(e.y_mm for e in section) - reach, max(e.y_mm for e in section) + reach]
            )
            depth = np.full((r1 - r0, c1 - c0), -np.inf)
            for part in section:
                own = part.depth_mm(x[None, c0:c1], y[r0:r1, None])
                depth = np.minimum(depth, -own) if part.cut_out else np.maximum(depth, own)
            yield k, slice(r0, r1), slice(c0, c1), depth

    def mask(self, name: str) -> NDArray[np.bool_]:
        """``(slices, rows, columns)``: every voxel whose centre is inside."""
        mask = np.zeros(self.grid.shape_zyx, dtype=np.bool_)
        for k, rows, columns, depth in self.depths(name):
            mask[k, rows, columns] = depth > 0
        return mask

    def write(self, folder: Path) -> None:
        """``ct/`` and ``masks/NAME.npy``, unless they are there."""
        if (folder / "complete").exists():
            return
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        hu = np.full(self.grid.shape_zyx, -1000, dtype=np.int16)
        noise = np.random.default_rng(0).normal(0, 12, self.grid.shape_zyx[1:]).astype(np.int16)
        for number, name in enumerate(SECTIONS):
            mask = self.mask(name)
            hu[mask] = 10 * number
            np.save(folder / "masks" / f"{name}.npy", mask)
        hu += noise
        write_ct(folder / "ct", hu, self.grid)
        (folder / "complete").touch()
