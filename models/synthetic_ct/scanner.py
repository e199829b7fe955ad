"""What scanner and protocol do to a CT: couch, slices, sharpness, noise, calibration, field of view."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.chance import Chance

AIR_HU = -1000.0
_SLICES_MM = (1, 2, 2.5, 3, 3, 3, 5, 5)


def laid_on_couch(hu: Tensor, air: Tensor, voxel_mm: float, chance: Chance) -> Tensor:
    """A couch, flat or hollow, sometimes with a mattress, painted into the air behind the patient.

    Args:
        hu: ``(z, y, x)``, y to posterior.
        air: True outside the patient.
        voxel_mm: width of the voxels.
        chance: of this sample.
    """
    c = chance
    rows = (~air).any(2).any(0).nonzero()
    if not c.happens(0.75) or not len(rows):
        return hu
    x_mm = (torch.arange(hu.shape[2], device=hu.device) - hu.shape[2] / 2) * voxel_mm
    top = torch.full_like(x_mm, float(rows.max()) + 1 + c.between(-3, 10) / voxel_mm)
    if c.happens(0.5):
        top = top - (x_mm / c.between(200, 420)) ** 2 * c.between(0, 80) / voxel_mm
    below_mm = (torch.arange(hu.shape[1], device=hu.device)[:, None] - top[None]) * voxel_mm
    thickness_mm = c.between(15, 70)
    width = (x_mm.abs() < c.between(180, 270))[None]
    couch = (below_mm > 0) & (below_mm < thickness_mm) & width
    shell = couch & ((below_mm < c.between(1.5, 4)) | (below_mm > thickness_mm - c.between(1.5, 4)))
    foam = torch.full_like(below_mm, c.between(-960, -780))
    couch_hu = torch.where(shell, torch.full_like(below_mm, c.between(-500, 150)), foam)
    hu = torch.where(air & couch[None], couch_hu[None], hu)
    if c.happens(0.4):
        mattress = (below_mm > -c.between(5, 25)) & (below_mm <= 0) & width
        hu = torch.where(air & mattress[None], torch.full_like(hu, c.between(-970, -850)), hu)
    return hu


def scanned(hu: Tensor, voxel_mm: float, chance: Chance) -> Tensor:
    """``(z, y, x)`` CT as a scanner gives it on the same voxels: slices, sharpness, noise, calibration."""
    c = chance
    x = hu[None, None]
    slice_mm = c.one_of(_SLICES_MM)
    if slice_mm > voxel_mm + 0.2:
        count = max(8, round(hu.shape[0] * voxel_mm / slice_mm))
        x = functional.interpolate(x, size=(count, *hu.shape[1:]), mode="area")
        x = functional.interpolate(x, size=hu.shape, mode="trilinear", align_corners=False)
    kernel = c.between(0, 1)
    if kernel < 0.45:
        x = blurred(x, c.between(0.35, 0.8))
    elif kernel < 0.7:
        x = x + c.between(0.2, 0.9) * (x - blurred(x, c.between(0.5, 0.9)))
    x = x + _noise(x, chance)
    x = x + c.smooth(hu.shape, c.between(25, 60)) * c.between(0, 7)  # cupping and scatter
    return x[0, 0] * c.between(0.975, 1.025) + c.between(-8, 8)


def _noise(x: Tensor, c: Chance) -> Tensor:
    deviation = c.geometric(3, 42)
    noise = c.normal(*x.shape)
    if c.happens(0.6):
        noise = blurred(noise, c.between(0.4, 1.0))
        noise = noise / noise.std()
    less_in_air = 1.0 if c.happens(0.5) else (x > -700).to(x.dtype) * 0.75 + 0.25
    return noise * deviation * less_in_air


def blurred(x: Tensor, sigma: float) -> Tensor:
    """``(1, 1, z, y, x)`` smoothed by a Gaussian of ``sigma`` voxels."""
    reach = 2 if sigma < 0.8 else 3
    weights = torch.exp(-(torch.arange(-reach, reach + 1, device=x.device).to(x.dtype) ** 2) / (2 * sigma**2))
    weights = weights / weights.sum()
    for axis in range(3):
        shape = [1] * 5
        shape[2 + axis] = -1
        pad = [0] * 6
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = reach
        x = functional.conv3d(functional.pad(x, pad, mode="replicate"), weights.view(shape))
    return x


def field_of_view_cut(shape: tuple[int, int, int], voxel_mm: float, chance: Chance) -> Tensor:
    """True where the scan shows nothing: beyond a circle, a first or last slice, or an edge."""
    c = chance
    nz, ny, nx = shape
    cut = torch.zeros(shape, dtype=torch.bool, device=c.device)
    if c.happens(0.25):
        y = (torch.arange(ny, device=c.device) - ny / 2 + c.between(-10, 10))[:, None] * voxel_mm
        x = (torch.arange(nx, device=c.device) - nx / 2 + c.between(-8, 8))[None] * voxel_mm
        cut |= ((y**2 + x**2) > c.between(165, 260) ** 2)[None]
    if c.happens(0.3):
        cut[: c.below(int(nz * 0.45) + 1)] = True
    if c.happens(0.3):
        cut[nz - c.below(int(nz * 0.45) + 1) :] = True
    if c.happens(0.25):
        cut[:, :, : c.below(nx // 6 + 1)] = True
        cut[:, :, nx - c.below(nx // 6 + 1) :] = True
    if c.happens(0.25):
        cut[:, : c.below(ny // 8 + 1)] = True
    return cut
