"""``External``: the body outline on any CT, by threshold and shape, without weights.

In words: on a grid of about 2 mm, everything denser than :data:`SKIN_HU` is opened by a small ball, so that
the thin shells of a couch fall away while the chest wall stays; lungs and gas are filled; then only what
holds a ball of :data:`BODY_RADIUS_MM` is a body (or an arm, or a leg), and what is thinner than twice
:data:`PLATE_RADIUS_MM` and reaches far is couch. The side on which the couch lies is not assumed. Then the
surface is taken from the CT numbers themselves at full resolution, between pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from models.body_shape import (
    Mask,
    Spacing,
    cavities,
    dilate,
    erode,
    opened,
    parts_holding,
    parts_of_at_least,
)
from models.volume import CtVolume, OutsideTrainedRegion, StructureField

SKIN_HU: Final = -400.0  # between fat and air; above half way, because cloth and foam are darker than skin
SHELL_RADIUS_MM: Final = 4.0  # thinner than 8 mm and alone: shell of a couch, tube, cloth
PLATE_RADIUS_MM: Final = 9.0  # thinner than 18 mm and far-reaching: couch top, board, rail
BODY_RADIUS_MM: Final = 14.0  # a wrist holds a ball of this radius; couch parts do not
PART_CM3: Final = 50.0  # smaller separate parts are not of the body, unless there is nothing larger
FRINGE_MM: Final = 80.0  # thin parts reaching less far in the slice belong to the body: nose, ear, skin fold
FRINGE_CM3: Final = 100.0
PASSAGE_MM: Final = 12.0  # air that a wider passage joins to the outside is not inside the body
COARSE_MM: Final = (2.6, 2.0)  # wanted voxel of the coarse grid: between slices, in the slice

_FIELD_HU: Final = 100.0  # HU for one unit of the field
_FIELD_LIMIT: Final = 4.0

Image = NDArray[np.float32]


def segment(volume: CtVolume) -> Mapping[str, StructureField]:
    """``External`` as a field: smoothed HU above :data:`SKIN_HU` near the skin, clipped to +-4 hundreds.

    Raises:
        OutsideTrainedRegion: ``external.no-body``, nothing here has the size of a body.
    """
    factors = _factors(volume)
    coarse, spacing = _block_mean(volume, factors)
    body, couch = body_and_couch(coarse, spacing)
    if not body.any():
        sentence = "No body was found on this CT: nothing in it is as thick as a wrist and denser than air."
        raise OutsideTrainedRegion("external.no-body", sentence)
    return {"External": _field(volume, body, couch, factors, spacing)}


def body_and_couch(coarse_hu: Image, spacing_zyx_mm: Spacing) -> tuple[Mask, Mask]:
    """What is body, cavities included, and what is dense but not body, on a coarse grid."""
    dense = coarse_hu > SKIN_HU
    thick = parts_of_at_least(opened(dense, SHELL_RADIUS_MM, spacing_zyx_mm), PART_CM3, spacing_zyx_mm)
    thick |= cavities(thick, PASSAGE_MM, spacing_zyx_mm)
    seeds = erode(thick, BODY_RADIUS_MM, spacing_zyx_mm)
    thick = parts_holding(thick, seeds)
    body = parts_holding(opened(thick, PLATE_RADIUS_MM, spacing_zyx_mm), seeds)
    body |= _fringe((dense | thick) & ~body, body, spacing_zyx_mm)
    body |= cavities(body, PASSAGE_MM, spacing_zyx_mm)
    return body, dense & ~body


def _fringe(thin: Mask, body: Mask, spacing_zyx_mm: Spacing) -> Mask:
    """Those thin parts that touch the body and do not reach far."""
    labels, count = cc3d.connected_components(thin, connectivity=6, return_N=True)
    touching = np.zeros(count + 1, dtype=bool)
    touching[np.unique(labels[dilate(body, 1.01 * max(spacing_zyx_mm), spacing_zyx_mm)])] = True
    touching[0] = False
    found = cc3d.statistics(labels)
    voxel_cm3 = float(np.prod(spacing_zyx_mm)) / 1000
    boxes = found["bounding_boxes"]
    for i in np.flatnonzero(touching):
        reach = max((boxes[i][a].stop - boxes[i][a].start) * spacing_zyx_mm[a] for a in (1, 2))
        touching[i] = reach < FRINGE_MM and found["voxel_counts"][i] * voxel_cm3 < FRINGE_CM3
    return touching[labels]


def _factors(volume: CtVolume) -> tuple[int, int, int]:
    """How many voxels, z y x, are averaged to one of the coarse grid."""
    grid = volume.grid
    between = float(np.median(np.diff(grid.slice_offsets_mm))) if len(volume.hu) > 1 else COARSE_MM[0]
    pairs = zip(
        (between, grid.row_spacing_mm, grid.column_spacing_mm), (*COARSE_MM, COARSE_MM[1]), strict=True
    )
    return tuple(max(1, round(wanted / have)) for have, wanted in pairs)  # type: ignore[return-value]


def _block_mean(volume: CtVolume, factors: tuple[int, int, int]) -> tuple[Image, Spacing]:
    """CT numbers averaged over blocks, an axis's last block as far as there are voxels; mm of a block."""
    fz, fy, fx = factors
    slices, rows, columns = volume.hu.shape
    starts_y, starts_x = np.arange(0, rows, fy), np.arange(0, columns, fx)
    counts = np.diff(np.append(starts_y, rows))[:, None] * np.diff(np.append(starts_x, columns))[None, :]
    coarse = np.empty((-(-slices // fz), len(starts_y), len(starts_x)), dtype=np.float32)
    for k in range(len(coarse)):
        slab = np.maximum(volume.hu[k * fz : (k + 1) * fz], -1024).sum(axis=0, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(slab, starts_y, axis=0), starts_x, axis=1)
        coarse[k] = sums / (counts * min(fz, slices - k * fz))
    grid = volume.grid
    between = float(np.median(np.diff(grid.slice_offsets_mm))) if slices > 1 else COARSE_MM[0]
    return coarse, (between * fz, grid.row_spacing_mm * fy, grid.column_spacing_mm * fx)


def _field(
    volume: CtVolume, body: Mask, couch: Mask, factors: tuple[int, int, int], spacing: Spacing
) -> StructureField:
    """The field at full resolution, cropped to the body and one voxel more."""
    step = 1.01 * max(spacing[1:])
    flat = (1e6, spacing[1], spacing[2])  # in the slice: nothing is borrowed from other slices
    near = dilate(body, step, flat) & ~couch
    box = _box(near, factors, volume.hu.shape)
    rows, columns = (_Between(box[a], factors[a], body.shape[a]) for a in (1, 2))
    # +-1 at voxel centres that are in or out: zero is half way
    least = erode(body, step, flat).astype(np.float32) * 2 - 1
    most = near.astype(np.float32) * 2 - 1
    field = np.empty(tuple(part.stop - part.start for part in box), dtype=np.float32)
    for i, k in enumerate(range(box[0].start, box[0].stop)):
        at = k // factors[0]
        inner, outer = (rows.along(columns.along(part[at], 1), 0) * _FIELD_LIMIT for part in (least, most))
        edge = np.maximum(_edge(volume.hu[k, box[1], box[2]]), inner)
        field[i] = _without_specks(np.minimum(edge, outer), inner > 0, outer < 0)
    return StructureField(field, (box[0].start, box[1].start, box[2].start))


def _box(near: Mask, factors: tuple[int, int, int], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """Full-resolution index box around the coarse mask with one voxel to spare."""
    parts: list[slice] = []
    for axis in range(3):
        at = np.flatnonzero(near.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = int(at[0]) * factors[axis], (int(at[-1]) + 1) * factors[axis]
        parts.append(slice(max(first - 1, 0), min(last + 1, shape[axis])))
    return parts[0], parts[1], parts[2]


class _Between:
    """Linear interpolation along one axis, from the centres of blocks to the voxels of ``part``."""

    def __init__(self, part: slice, factor: int, count: int) -> None:
        at = np.clip((np.arange(part.start, part.stop) + 0.5) / factor - 0.5, 0, count - 1)
        self._lower = at.astype(int)
        self._upper = np.minimum(self._lower + 1, count - 1)
        self._weight = (at - self._lower).astype(np.float32)

    def along(self, image: Image, axis: int) -> Image:
        """``image`` with as many values along ``axis`` as the part has voxels."""
        weight = self._weight[:, None] if axis == 0 else self._weight
        lower, upper = image.take(self._lower, axis), image.take(self._upper, axis)
        return lower + (upper - lower) * weight  # type: ignore[no-any-return]


def _edge(hu: NDArray[np.int16] | Image) -> Image:
    """One slice's smoothed CT numbers relative to the skin's, in units of the field."""
    padded = np.pad(np.clip(hu, -1024, 1000).astype(np.float32), 1, mode="edge")
    down = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    smooth = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 4
    edge: Image = np.clip((smooth - SKIN_HU) / _FIELD_HU, -_FIELD_LIMIT, _FIELD_LIMIT)
    return edge


def _without_specks(field: Image, sure: Mask, outside: Mask) -> Image:
    """One slice without the noise at the skin: islands with nothing sure, holes with nothing outside."""
    inside = _parts_in_slice(field > 0, sure)
    field[(field > 0) & ~inside] = -1.0
    outside = outside.copy()
    outside[[0, -1], :] = outside[:, [0, -1]] = True
    air = _parts_in_slice(~inside, outside & ~inside)
    field[~inside & ~air] = 1.0
    return field


def _parts_in_slice(mask: Mask, seeds: Mask) -> Mask:
    labels, count = cc3d.connected_components(mask, connectivity=4, return_N=True)
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.unique(labels[seeds])] = True
    keep[0] = False
    return keep[labels]
