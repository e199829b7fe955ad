"""Grids on which a CT could lie: the eight patient positions, oblique, evenly spaced or not.

The patient frame (LPS, mm) never changes; only the direction of rows, columns and slices does, so one
anatomy written as a function of x, y, z comes out in every position.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.volume import FloatArray, Grid

Orientation = tuple[float, float, float, float, float, float]

ORIENTATIONS: Final = MappingProxyType[str, Orientation](
    {
        "HFS": (1, 0, 0, 0, 1, 0),
        "HFP": (-1, 0, 0, 0, -1, 0),
        "FFS": (-1, 0, 0, 0, 1, 0),
        "FFP": (1, 0, 0, 0, -1, 0),
        "HFDR": (0, 1, 0, -1, 0, 0),
        "HFDL": (0, -1, 0, 1, 0, 0),
        "FFDR": (0, -1, 0, -1, 0, 0),
        "FFDL": (0, 1, 0, 1, 0, 0),
    }
)
"""ImageOrientationPatient of a transverse image whose rows run down with gravity and whose normal points into
the gantry, for each PatientPosition (PS3.3 C.7.3.1.1.2: decubitus right is lying on the right side)."""

HuFunction = Callable[[FloatArray, FloatArray, FloatArray], NDArray[np.floating]]


def patient_grid(
    patient_position: str = "HFS",
    *,
    shape_zyx: tuple[int, int, int] = (12, 64, 64),
    spacing_zyx_mm: tuple[float, float, float] = (3.0, 4.0, 4.0),
    center_lps_mm: ArrayLike = (0.0, 0.0, 0.0),
) -> Grid:
    """An evenly spaced stack in one of the eight positions; its middle lies at ``center_lps_mm``.

    The image frame is fixed to the table, so rows and columns swap places in decubitus. Square images of
    square pixels have the same voxels in all eight positions, in another order.
    """
    slices, rows, columns = shape_zyx
    slice_mm, row_mm, column_mm = spacing_zyx_mm
    return stacked_grid(
        ORIENTATIONS[patient_position],
        np.arange(slices) * slice_mm,
        shape_yx=(rows, columns),
        spacing_yx_mm=(row_mm, column_mm),
        center_lps_mm=center_lps_mm,
    )


def stacked_grid(
    orientation: ArrayLike,
    slice_offsets_mm: ArrayLike,
    *,
    shape_yx: tuple[int, int],
    spacing_yx_mm: tuple[float, float],
    center_lps_mm: ArrayLike = (0.0, 0.0, 0.0),
) -> Grid:
    """A stack of any orientation (six cosines), slices at any ascending distances along its normal, mm."""
    cosines = np.asarray(orientation, dtype=np.float64)
    offsets = np.asarray(slice_offsets_mm, dtype=np.float64)
    rows, columns = shape_yx
    column_step = cosines[:3] * spacing_yx_mm[1]
    row_step = cosines[3:] * spacing_yx_mm[0]
    normal = np.cross(cosines[:3], cosines[3:])
    corner = np.asarray(center_lps_mm, dtype=np.float64)
    corner = corner - column_step * (columns - 1) / 2 - row_step * (rows - 1) / 2
    middle = (offsets[0] + offsets[-1]) / 2
    return Grid(corner + (offsets - middle)[:, None] * normal, column_step, row_step, rows, columns)


def rotated(orientation: ArrayLike, axis: ArrayLike, degrees: float) -> Orientation:
    """Six cosines turned about an axis through the patient, right-handed."""
    n = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    angle = np.radians(degrees)
    cosines = np.asarray(orientation, dtype=np.float64).reshape(2, 3)
    turned = (
        cosines * np.cos(angle)
        + np.cross(n, cosines) * np.sin(angle)
        + (cosines @ n)[:, None] * n * (1 - np.cos(angle))
    )
    a, b, c, d, e, f = (float(value) for value in turned.reshape(6))
    return a, b, c, d, e, f


def sample_hu(grid: Grid, hu: HuFunction) -> NDArray[np.int16]:
    """``(slices, rows, columns)`` int16: a function of x, y, z (LPS mm) at every voxel's centre, rounded."""
    out = np.empty(grid.shape_zyx, dtype=np.int16)
    rows, columns = np.mgrid[: grid.rows, : grid.columns].astype(np.float64)
    for k in range(len(out)):
        at = grid.positions_lps_mm(k, rows, columns)
        out[k] = np.rint(hu(at[..., 0], at[..., 1], at[..., 2]))
    return out
