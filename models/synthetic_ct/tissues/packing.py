"""Vaginal packing and a brachytherapy applicator in a synthetic CT that shows a uterus.

Gauze packed against the cervix looks like stool or gas beside it and is mistaken for rectum or for target
(Liu Z. 2020); tissue maps come from patients without it, so it is painted into the tissues around the cervix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.chance import Chance
from models.synthetic_ct.tissues.painting import Painting
from models.synthetic_ct.tissues.tissue_maps import Tissue

_GIVES_WAY = (Tissue.FAT, Tissue.MUSCLE, Tissue.SOFT)  # what lies where the vagina does in a tissue map
_SMALLEST_UTERUS_MM3 = 10_000.0


@dataclass(frozen=True, slots=True)
class _Cervix:
    """Where the packing is pushed against.

    Attributes:
        at_mm: ``(3,)`` z, y, x, from the corner of the volume.
        axis: ``(3,)`` unit vector from there to the middle of the uterus.
        to_middle_mm: how far that is.
    """

    at_mm: Tensor
    axis: Tensor
    to_middle_mm: float


def paint_packing(p: Painting, chance: Chance) -> None:
    """Gauze below and beside the cervix, mostly with an applicator; nothing where no cervix is shown.

    Bladder, rectum, bowel and bones stay as they are: what is packed is fat, muscle and what has no name. The
    uterus keeps its CT numbers but for the tandem in it.
    """
    cervix = _cervix(p, chance)
    if cervix is None:
        return
    _paint_gauze(p, chance, cervix)
    if chance.happens(0.6):
        _paint_applicator(p, chance, cervix)


def _cervix(p: Painting, c: Chance) -> _Cervix | None:
    """In the lower part of what the map calls uterus: some maps count the vagina in."""
    uterus = p.where(Tissue.UTERUS)
    found = uterus.nonzero()
    if len(found) * p.voxel_mm**3 < _SMALLEST_UTERUS_MM3:
        return None
    lowest = int(found[:, 0].min())
    if lowest == 0:  # cut off by the edge of the volume: nobody knows where the cervix is
        return None
    z_mm = found[:, 0] * p.voxel_mm
    lower = found[z_mm < lowest * p.voxel_mm + 12.0].float().mean(0) * p.voxel_mm
    away = found.float().mean(0) * p.voxel_mm - lower
    length = float(away.norm())
    higher = c.between(0, 0.6) * length
    axis = away / max(length, 1e-6)
    return _Cervix(lower + higher * axis, axis, length - higher)


def _offsets_mm(p: Painting, centre_mm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distances of all voxels from a point along z, y and x, each shaped to be broadcast."""
    z, y, x = (
        torch.arange(n, device=p.hu.device) * p.voxel_mm - centre_mm[axis]
        for axis, n in enumerate(p.hu.shape)
    )
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _paint_gauze(p: Painting, c: Chance, cervix: _Cervix) -> None:
    high, deep, wide = c.between(14, 30), c.between(8, 16), c.between(15, 32)
    centre = cervix.at_mm - torch.tensor([0.7 * high, 0.0, 0.0], device=p.hu.device)
    z, y, x = _offsets_mm(p, centre)
    inside = (z / high) ** 2 + (y / deep) ** 2 + (x / wide) ** 2 < 1
    threads = c.between(-200, 60) + p.grain[0] * c.between(30, 120) + p.coarse[0] * c.between(0, 40)
    if c.happens(0.3):  # soaked with contrast medium, to be seen
        threads = threads + c.between(100, 500)
    air = p.grain[1] + 0.5 * p.coarse[2] > c.between(0.2, 1.5)
    gauze = torch.where(air, torch.full_like(p.hu, c.between(-900, -400)), threads)
    p.put(inside & p.where(*_GIVES_WAY), gauze)


def _paint_applicator(p: Painting, c: Chance, cervix: _Cervix) -> None:
    """A tandem through the cervix and two ovoids beside it, of metal or of plastic with a hollow."""
    metal = c.happens(0.4)
    hu = c.between(2000, 6000) if metal else c.between(100, 700)
    core = hu if metal else c.between(-950, -700)
    top = cervix.at_mm + cervix.axis * cervix.to_middle_mm * c.between(0.8, 1.6)
    bottom = cervix.at_mm - cervix.axis * c.between(40, 80)
    radius = c.between(1.6, 3.5)
    away = _from_bar_mm(p, bottom, top)
    solid = p.where(*_GIVES_WAY, Tissue.UTERUS)
    for limit, value in ((radius, hu), (0.5 * radius, core)):
        p.put(solid & (away < limit), torch.full_like(p.hu, value))
    apart, size = c.between(10, 17), c.between(6, 11)
    for side in (-1, 1):
        z, y, x = _offsets_mm(p, cervix.at_mm + torch.tensor([-8.0, 0.0, side * apart], device=p.hu.device))
        away = (z**2 + y**2 + x**2).sqrt()
        for limit, value in ((size, c.between(60, 300)), (0.3 * size, core)):
            p.put(solid & (away < limit), torch.full_like(p.hu, value))


def _from_bar_mm(p: Painting, start_mm: Tensor, end_mm: Tensor) -> Tensor:
    """Distance of all voxels from a straight line between two points."""
    z, y, x = _offsets_mm(p, start_mm)
    dz, dy, dx = (end_mm - start_mm).tolist()
    along = ((z * dz + y * dy + x * dx) / max(dz**2 + dy**2 + dx**2, 1e-6)).clamp(0, 1)
    squared: Tensor = (z - along * dz) ** 2 + (y - along * dy) ** 2 + (x - along * dx) ** 2
    return squared.sqrt()
