"""A whole synthetic planning CT of one patient, with every structure that is known in it.

The voxels are those that were asked for. A phantom is sampled on them, its edges one voxel soft; a tissue map
is deformed and painted on finer ones, which are then averaged. Scanner and protocol work on both alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.chance import Chance
from models.synthetic_ct.field_of_view import FieldOfView
from models.synthetic_ct.phantoms.devices import Devices, Side
from models.synthetic_ct.phantoms.phantom import pelvic_phantom
from models.synthetic_ct.scanner import AIR_HU, laid_on_couch, scanned
from models.synthetic_ct.tissues.deformation import AnatomyMap, see
from models.synthetic_ct.tissues.tissue_maps import CLASSES, COMPOSED, TissueMap
from models.synthetic_ct.tissues.tissue_painting import paint
from models.volume import CtVolume, FloatArray, Grid

HEADS_IN_MAP_ZYX_MM = (130.0, 200.0, 220.0)
_FINEST_MM = 1.5  # the maps have 2 mm
_COUCH_SHARE, _PACKING_SHARE, _PROSTHESIS_SHARE = 0.75, 0.12, 0.07
STRUCTURE_TISSUES = dict(CLASSES.values()) | COMPOSED
"""Structures that a tissue map can know, and the tissues they are made of."""

Scan = tuple[CtVolume, dict[str, NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True)
class Voxels:
    """The grid that is asked for.

    Attributes:
        pixel_mm: pixel spacing.
        slice_mm: slice spacing.
        device: where the scan is made; the same seed gives the same scan on the same kind of device.
    """

    pixel_mm: float
    slice_mm: float
    device: str = "cpu"


def scan_of_phantom(seed: int, voxels: Voxels, chance: Chance) -> Scan:
    """A CT of the phantom ``seed`` and all that is known of it."""
    side: Side = "L" if chance.happens(0.5) else "R"
    devices = Devices(chance.happens(_PACKING_SHARE), side if chance.happens(_PROSTHESIS_SHARE) else None)
    patient = pelvic_phantom(seed, couch=chance.happens(_COUCH_SHARE), devices=devices)
    view = FieldOfView.drawn(chance)
    grid = view.grid(voxels.pixel_mm, voxels.slice_mm, patient.origin_lps_mm)
    sample = patient.sample(grid, noise=False)
    hu = torch.from_numpy(sample.hu).to(voxels.device).float()
    return _finished(hu, grid, sample.known(), view, voxels, chance)


def scan_of_map(tissue_map: TissueMap, voxels: Voxels, chance: Chance) -> Scan:
    """A CT of a deformed tissue map; structures whose tissues the map does not have are unknown."""
    view = FieldOfView.drawn(chance)
    grid = view.grid(voxels.pixel_mm, voxels.slice_mm, _somewhere(chance))
    smallest_mm = min(voxels.pixel_mm, voxels.slice_mm)
    fine_mm = min(max(_FINEST_MM, smallest_mm / 2), smallest_mm)
    patch = [int(np.ceil(n / (2 * fine_mm))) for n in view.size_mm()[::-1]]
    middle = view.middle_mm()[::-1] + HEADS_IN_MAP_ZYX_MM
    centre = (float(middle[0]), float(middle[1]) + chance.between(-10, 10), float(middle[2]))
    anatomy = AnatomyMap.of(torch.from_numpy(tissue_map.codes).to(voxels.device))
    seen = see(anatomy, (patch[0], patch[1], patch[2]), 2 * fine_mm, chance, centre)
    hu = paint(seen.fine, fine_mm, chance, _PACKING_SHARE)
    hu = laid_on_couch(hu, seen.fine == 0, fine_mm, chance)
    shares = [
        _shares(n, fine_mm, m, step).to(hu)
        for n, m, step in zip(
            hu.shape, grid.shape_zyx, (voxels.slice_mm, voxels.pixel_mm, voxels.pixel_mm), strict=True
        )
    ]
    present = set(np.unique(tissue_map.codes).tolist())
    masks = {
        name: (_averaged(_any_of(seen.fine, tissues), shares) > 0.5).cpu().numpy()
        for name, tissues in STRUCTURE_TISSUES.items()
        if present & set(tissues)
    }
    shown = (shares[0] @ seen.fine_known.float().mean((1, 2)) > 0.99).cpu().numpy()
    made, grid, masks = _cut(_averaged(hu, shares), grid, masks, shown)
    return _finished(made, grid, masks, view, voxels, chance)


def _somewhere(chance: Chance) -> FloatArray:
    """Where the femoral heads lie in the scanner's frame."""
    return np.array([chance.between(-12, 12), chance.between(-12, 12), chance.between(-420, -380)]).round(1)


def _any_of(codes: Tensor, tissues: tuple[int, ...]) -> Tensor:
    table = torch.zeros(256, device=codes.device)
    table[[int(t) for t in tissues]] = 1
    return table[codes.int()]


def _shares(n: int, width_mm: float, m: int, step_mm: float) -> Tensor:
    """``(m, n)`` share of each voxel ``step_mm`` wide that each of the ``n`` finer ones fills."""
    fine = (torch.arange(n) - (n - 1) / 2)[None] * width_mm
    wanted = (torch.arange(m) - (m - 1) / 2)[:, None] * step_mm
    low = torch.maximum(fine - width_mm / 2, wanted - step_mm / 2)
    high = torch.minimum(fine + width_mm / 2, wanted + step_mm / 2)
    overlap = (high - low).clamp(min=0)
    return overlap / overlap.sum(1, keepdim=True).clamp(min=1e-6)


def _averaged(volume: Tensor, shares: list[Tensor]) -> Tensor:
    """``(z, y, x)`` fine to the voxels asked for, the mean of what each covers."""
    by_slice, by_row, by_column = shares
    volume = torch.matmul(volume, by_column.T)  # (z, y, x')
    volume = torch.matmul(by_row, volume)  # (z, y', x')
    return torch.einsum("kz,zyx->kyx", by_slice, volume)  # (z', y', x')


def _cut(
    hu: Tensor, grid: Grid, masks: dict[str, NDArray[np.bool_]], shown: NDArray[np.bool_]
) -> tuple[Tensor, Grid, dict[str, NDArray[np.bool_]]]:
    """Only the slices that the map reaches all over."""
    at = np.flatnonzero(shown)
    kept = slice(int(at[0]), int(at[-1]) + 1)
    smaller = Grid(
        grid.slice_origins_lps_mm[kept],
        grid.column_step_lps_mm,
        grid.row_step_lps_mm,
        grid.rows,
        grid.columns,
    )
    return hu[kept], smaller, {name: mask[kept] for name, mask in masks.items()}


def _finished(
    hu: Tensor,
    grid: Grid,
    masks: dict[str, NDArray[np.bool_]],
    view: FieldOfView,
    voxels: Voxels,
    chance: Chance,
) -> Scan:
    """Slices, sharpness, noise and calibration of a scanner; nothing beyond the field of view."""
    seen = scanned(hu, voxels.slice_mm, chance)
    if chance.happens(0.05):
        seen = seen.clamp(max=chance.between(900, 1100))
    outside = view.outside(grid)
    seen = torch.where(torch.from_numpy(outside).to(seen.device), torch.full_like(seen, AIR_HU), seen)
    whole = seen.round().clamp(-1024, 3071).to(torch.int16).cpu().numpy()
    return CtVolume(whole, grid), {name: mask & ~outside for name, mask in masks.items()}
