"""What is measured of a structure and of a CT: the same for training cases and for the CT of a patient.

Only the box of a structure is looked at. Where pixels are finer than :data:`_PIXEL_MM`, shape and CT numbers
are taken of every second one, or third, so that a large CT takes no longer than a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from models.cards.statistics_card import BODY_PERCENTILES
from models.volume import CtVolume, FloatArray, Grid, StructureField

PIECE_CM3: Final = 1.0  # smaller pieces are specks
PIECE_SHARE: Final = 0.02  # of the structure; smaller pieces are specks too
BODY_HU: Final = -250.0  # fat is denser, lung and air are not
METAL_HU: Final = 2500.0  # the densest bone is below

_PIXEL_MM: Final = 1.5
_BODY_PIXEL_MM: Final = 4.0
_BODY_SLICE_MM: Final = 6.0
_EDGE_MM: Final = 40.0  # so much of the body along an edge of the image is no couch and no cloth
_MAD_TO_SD: Final = 1.4826
_PER_CM3: Final = 1000.0

Mask = NDArray[np.bool_]
Differences = NDArray[np.int32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StructureLook:
    """One structure on one CT; amounts as :class:`models.cards.statistics_card.StructureStatistics` has them.

    Attributes:
        center_lps_mm: ``(3,)`` centre of mass in the patient frame.
        ends_cut: whether it reaches the lowest and the highest slice of the CT.
        mean_hu, std_hu: None without a CT.
        certainty: None of a mask.
    """

    volume_cm3: float
    height_mm: float
    pieces: int
    cavities_cm3: float
    gap_slices: int
    end_shares: tuple[float, float]
    center_lps_mm: FloatArray
    ends_cut: tuple[bool, bool]
    mean_hu: float | None = None
    std_hu: float | None = None
    certainty: float | None = None

    @property
    def whole(self) -> bool:
        """Neither end is at an end of the CT."""
        return not any(self.ends_cut)


@dataclass(frozen=True, slots=True)
class CtLook:
    """A CT; amounts as :class:`models.cards.statistics_card.CtStatistics` has them.

    Attributes:
        edge_slices: part of the slices on which the body reaches the left, right or front edge of the image.
    """

    slice_spacing_mm: float
    pixel_mm: float
    height_mm: float
    body_diameter_mm: float
    body_hu: tuple[float, ...]
    noise_hu: float
    edge_slices: float


def look_at_structure(
    field: StructureField, grid: Grid, hu: NDArray[np.generic] | None
) -> StructureLook | None:
    """Measure one structure; None if it holds no voxel.

    Args:
        field: of the structure.
        grid: of the CT.
        hu: ``(slices, rows, columns)`` CT numbers of the whole volume, or None.
    """
    slices = field.slices_zyx[0]
    voxels = np.array([np.count_nonzero(image > 0) for image in field.field])  # (dz,)
    on = np.flatnonzero(voxels)
    if not len(on):
        return None
    first, last = int(on[0]), int(on[-1])
    mm3 = grid.voxel_volumes_mm3()[slices]
    volume_cm3 = float(voxels @ mm3) / _PER_CM3
    thin = _thinning(grid)
    part = field.field[first : last + 1, :: thin[0], :: thin[1]]
    inside = part > 0
    voxel_cm3 = float(mm3.mean()) * thin[0] * thin[1] / _PER_CM3
    widths_mm = grid.slice_widths_mm[slices]
    offsets_mm = grid.slice_offsets_mm[slices]
    upside_down = grid.normal[2] < 0
    ends = (float(voxels[first] / voxels.max()), float(voxels[last] / voxels.max()))
    cut = (slices.start + first == 0, slices.start + last == grid.shape_zyx[0] - 1)
    mean_hu, std_hu = (None, None) if hu is None else _hu_within(inside, hu, field, first, thin)
    return StructureLook(
        volume_cm3=volume_cm3,
        height_mm=float(offsets_mm[last] - offsets_mm[first] + (widths_mm[first] + widths_mm[last]) / 2),
        pieces=_pieces(inside, voxel_cm3, volume_cm3),
        cavities_cm3=_cavity_voxels(inside) * voxel_cm3,
        gap_slices=int((voxels[first : last + 1] == 0).sum()),
        end_shares=(ends[1], ends[0]) if upside_down else ends,
        center_lps_mm=_center_lps_mm(inside, field, first, thin, grid),
        ends_cut=(cut[1], cut[0]) if upside_down else cut,
        mean_hu=mean_hu,
        std_hu=std_hu,
        certainty=None
        if field.from_mask
        else float((1 / (1 + np.exp(-part[inside]))).mean())
        if inside.any()
        else 0.0,
    )


def look_at_ct(volume: CtVolume) -> CtLook | None:
    """Measure a CT; None if there is no body on it."""
    grid = volume.grid
    between = float(np.median(np.diff(grid.slice_offsets_mm))) if len(volume.hu) > 1 else 1.0
    skip = max(1, round(_BODY_SLICE_MM / between))
    rows, columns = (
        max(1, round(_BODY_PIXEL_MM / mm)) for mm in (grid.row_spacing_mm, grid.column_spacing_mm)
    )
    coarse = volume.hu[::skip, ::rows, ::columns]
    body = coarse > BODY_HU
    if not body.any():
        return None
    neighbours = _neighbours(volume.hu[::skip, ::rows])
    areas_mm2 = body.sum(axis=(1, 2)) * (grid.row_spacing_mm * rows * grid.column_spacing_mm * columns)
    percentiles = np.percentile(coarse[body], BODY_PERCENTILES)
    return CtLook(
        slice_spacing_mm=between,
        pixel_mm=max(grid.row_spacing_mm, grid.column_spacing_mm),
        height_mm=float(grid.slice_offsets_mm[-1]),
        body_diameter_mm=float(np.sqrt(4 * np.median(areas_mm2) / np.pi)),
        body_hu=tuple(float(each) for each in percentiles),
        noise_hu=_noise_hu(neighbours),
        edge_slices=_edge_slices(body, grid.row_spacing_mm * rows, grid.column_spacing_mm * columns),
    )


def metal_points_lps_mm(volume: CtVolume, most: int = 4000) -> tuple[FloatArray, float]:
    """Positions ``(n, 3)`` of at most ``most`` voxels of metal, and how many cm3 of it there are."""
    grid = volume.grid
    thin = _thinning(grid)
    # Most CT has none, and the largest of a slice is found five times as fast as every second of its pixels.
    slices = np.flatnonzero([image.max() > METAL_HU for image in volume.hu])
    found = np.argwhere(volume.hu[slices, :: thin[0], :: thin[1]] > METAL_HU) * (1, *thin)
    found[:, 0] = slices[found[:, 0]]
    cm3 = float(grid.voxel_volumes_mm3()[found[:, 0]].sum()) * thin[0] * thin[1] / _PER_CM3
    return positions_lps_mm(found[:: max(1, -(-len(found) // most))], grid), cm3


def positions_lps_mm(indices_zyx: NDArray[np.integer], grid: Grid) -> FloatArray:
    """Positions ``(n, 3)`` of voxels ``(n, 3)``."""
    z, y, x = indices_zyx.T
    found: FloatArray = (
        grid.slice_origins_lps_mm[z]
        + y[:, None] * grid.row_step_lps_mm
        + x[:, None] * grid.column_step_lps_mm
    )
    return found


def surface_points_lps_mm(field: StructureField, grid: Grid, most: int = 4000) -> FloatArray:
    """Positions ``(n, 3)`` of at most ``most`` voxels within that have a neighbour without on their slice."""
    thin = _thinning(grid)
    inside = np.pad(field.field[:, :: thin[0], :: thin[1]] > 0, ((0, 0), (1, 1), (1, 1)))
    core = inside[:, :-2, 1:-1] & inside[:, 2:, 1:-1] & inside[:, 1:-1, :-2] & inside[:, 1:-1, 2:]
    found = np.argwhere(inside[:, 1:-1, 1:-1] & ~core) * (1, *thin) + field.corner_zyx
    return positions_lps_mm(found[:: max(1, -(-len(found) // most))], grid)


def _thinning(grid: Grid) -> tuple[int, int]:
    """Of rows and of columns, every how many-th is looked at."""
    return tuple(max(1, int(_PIXEL_MM / mm + 0.6)) for mm in (grid.row_spacing_mm, grid.column_spacing_mm))  # type: ignore[return-value]


def _pieces(inside: Mask, voxel_cm3: float, volume_cm3: float) -> int:
    labels, count = cc3d.connected_components(inside, connectivity=26, return_N=True)
    if count <= 1:
        return int(count)
    sizes_cm3 = np.asarray(cc3d.statistics(labels)["voxel_counts"])[1:] * voxel_cm3
    return max(1, int((sizes_cm3 >= max(PIECE_CM3, PIECE_SHARE * volume_cm3)).sum()))


def _cavity_voxels(inside: Mask) -> int:
    """Voxels outside that no path over faces joins to the sides of the box; its ends are no way out."""
    labels, count = cc3d.connected_components(
        np.pad(~inside, ((0, 0), (1, 1), (1, 1)), constant_values=True), connectivity=6, return_N=True
    )
    if count <= 1:
        return 0
    sizes = np.asarray(cc3d.statistics(labels)["voxel_counts"])
    outside = np.unique(labels[:, 0, 0])
    return int(sizes[1:].sum() - sizes[outside].sum())


def _hu_within(
    inside: Mask, hu: NDArray[np.generic], field: StructureField, first: int, thin: tuple[int, int]
) -> tuple[float, float]:
    z, y, x = field.slices_zyx
    here = hu[z, y, x][first : first + len(inside), :: thin[0], :: thin[1]][inside]
    if not here.size:
        return 0.0, 0.0
    return float(here.mean(dtype=np.float64)), float(here.std(dtype=np.float64))


def _center_lps_mm(
    inside: Mask, field: StructureField, first: int, thin: tuple[int, int], grid: Grid
) -> FloatArray:
    by_slice = np.count_nonzero(inside, axis=(1, 2))
    if not by_slice.any():
        middle = [at + n // 2 for at, n in zip(field.corner_zyx, field.field.shape, strict=True)]
        nowhere: FloatArray = positions_lps_mm(np.array([middle]), grid)[0]
        return nowhere
    start = field.corner_zyx[0] + first
    weights = by_slice * grid.slice_widths_mm[start : start + len(inside)]
    each = by_slice.clip(1)
    row = (np.count_nonzero(inside, axis=2) @ np.arange(inside.shape[1])) / each * thin[0] + field.corner_zyx[
        1
    ]
    column = (np.count_nonzero(inside, axis=1) @ np.arange(inside.shape[2])) / each * thin[
        1
    ] + field.corner_zyx[2]
    points = (
        grid.slice_origins_lps_mm[start : start + len(inside)]
        + row[:, None] * grid.row_step_lps_mm
        + column[:, None] * grid.column_step_lps_mm
    )
    center: FloatArray = (weights[:, None] * points).sum(axis=0) / weights.sum()
    return center


def _neighbours(hu: NDArray[np.int16] | NDArray[np.float32]) -> Differences:
    """Differences of neighbouring pixels of the body, HU."""
    body = hu > BODY_HU
    exact = np.int32 if hu.dtype == np.int16 else np.float64
    differences: Differences = np.subtract(hu[:, :, 1:], hu[:, :, :-1], dtype=exact)
    return differences[body[:, :, 1:] & body[:, :, :-1]]


def _noise_hu(differences: Differences) -> float:
    """A difference of two has twice the variance of one; edges are few and the median does not see them."""
    if not differences.size:
        return 0.0
    return float(np.median(np.abs(differences)) * _MAD_TO_SD / np.sqrt(2))


def _edge_slices(body: Mask, row_mm: float, column_mm: float) -> float:
    """The bottom edge is left out: that is where a couch lies, and it is wide."""
    sides = np.maximum(body[:, :, 0].sum(axis=1), body[:, :, -1].sum(axis=1)) * row_mm
    front = body[:, 0, :].sum(axis=1) * column_mm
    return float((np.maximum(sides, front) > _EDGE_MM).mean())
