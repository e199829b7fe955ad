"""CT numbers for a tissue map: every tissue's mean and texture drawn anew, so that no one look is learned.

The ranges were gathered from planning CT with and without intravenous contrast; they are wide on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.chance import Chance
from models.synthetic_ct.tissues.hollow_organs import paint_hollow_organs
from models.synthetic_ct.tissues.packing import paint_packing
from models.synthetic_ct.tissues.painting import Painting
from models.synthetic_ct.tissues.tissue_maps import MIRRORED, Tissue

MEAN_HU: dict[Tissue, tuple[float, float]] = {
    Tissue.AIR: (-1000, -1000),
    Tissue.SKIN: (-40, 40),
    Tissue.FAT: (-118, -82),
    Tissue.MUSCLE: (35, 68),
    Tissue.SOFT: (5, 55),
    Tissue.BLADDER: (-2, 18),
    Tissue.RECTUM: (20, 50),
    Tissue.BOWEL: (10, 50),
    Tissue.COLON: (10, 50),
    Tissue.FEMUR_HEAD_L: (80, 320),
    Tissue.FEMUR_HEAD_R: (80, 320),
    Tissue.FEMUR_SHAFT_L: (-90, 60),
    Tissue.FEMUR_SHAFT_R: (-90, 60),
    Tissue.HIP_L: (60, 330),
    Tissue.HIP_R: (60, 330),
    Tissue.SACRUM: (20, 280),
    Tissue.VERTEBRA: (60, 330),
    Tissue.CANAL: (10, 45),
    Tissue.ARTERY: (32, 52),
    Tissue.VEIN: (32, 52),
    Tissue.UTERUS: (35, 65),
    Tissue.PROSTATE: (25, 52),
    Tissue.LIVER: (35, 68),
    Tissue.KIDNEY_L: (25, 42),
    Tissue.KIDNEY_R: (25, 42),
    Tissue.SPLEEN: (38, 58),
    Tissue.STOMACH: (5, 50),
    Tissue.PANCREAS: (20, 48),
    Tissue.GALLBLADDER: (-5, 22),
    Tissue.BONE: (80, 350),
    Tissue.LUNG: (-880, -650),
    Tissue.DISC: (60, 115),
    Tissue.HEART: (30, 52),
    Tissue.OVARY: (10, 45),
}
"""Range from which a tissue's mean is drawn, HU, without intravenous contrast."""

MEAN_HU_WITH_CONTRAST: dict[Tissue, tuple[float, float]] = {
    Tissue.MUSCLE: (48, 75),
    Tissue.ARTERY: (110, 330),
    Tissue.VEIN: (80, 200),
    Tissue.UTERUS: (60, 130),
    Tissue.PROSTATE: (45, 85),
    Tissue.LIVER: (80, 125),
    Tissue.KIDNEY_L: (120, 230),
    Tissue.KIDNEY_R: (120, 230),
    Tissue.SPLEEN: (90, 140),
    Tissue.PANCREAS: (70, 120),
    Tissue.HEART: (90, 200),
}

_FEMORA = (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R, Tissue.FEMUR_SHAFT_L, Tissue.FEMUR_SHAFT_R)
_SPONGY = (
    Tissue.HIP_L,
    Tissue.HIP_R,
    Tissue.SACRUM,
    Tissue.VERTEBRA,
    Tissue.BONE,
    Tissue.FEMUR_HEAD_L,
    Tissue.FEMUR_HEAD_R,
)
_SOLID_ORGANS = (
    Tissue.SKIN,
    Tissue.SOFT,
    Tissue.CANAL,
    Tissue.ARTERY,
    Tissue.VEIN,
    Tissue.UTERUS,
    Tissue.PROSTATE,
    Tissue.LIVER,
    Tissue.KIDNEY_L,
    Tissue.KIDNEY_R,
    Tissue.SPLEEN,
    Tissue.PANCREAS,
    Tissue.GALLBLADDER,
    Tissue.DISC,
    Tissue.HEART,
    Tissue.OVARY,
)


def paint(codes: Tensor, voxel_mm: float, chance: Chance, packing_share: float = 0.0) -> Tensor:
    """``(z, y, x)`` float HU of tissue ``codes``, without scanner or couch.

    ``packing_share`` of the pictures that show a cervix get vaginal packing. It is drawn apart, so that a
    picture without it is the same whatever the share.
    """
    contrast = chance.happens(0.45)
    means = _means(chance, contrast)
    codes = codes.int()
    shape = codes.shape
    picture = Painting(
        hu=torch.tensor(means, device=codes.device)[codes],
        codes=codes,
        voxel_mm=voxel_mm,
        chance=chance,
        contrast=contrast,
        fat_hu=means[Tissue.FAT],
        coarse=chance.smooth(shape, 9 / voxel_mm * chance.between(0.7, 1.5), 4),
        grain=chance.smooth(shape, 4 / voxel_mm * chance.between(0.7, 1.3), 2),
    )
    _paint_bones(picture)
    paint_hollow_organs(picture)
    _paint_muscle_and_fat(picture)
    _paint_solid_organs(picture)
    _paint_prosthesis(picture)
    apart = chance.apart()
    if apart.happens(packing_share):
        paint_packing(picture, apart)
    return picture.hu


def _means(chance: Chance, contrast: bool) -> list[float]:
    means = [0.0] * 256
    for tissue, usual in MEAN_HU.items():
        enhanced = contrast and tissue in MEAN_HU_WITH_CONTRAST and chance.happens(0.9)
        means[tissue] = chance.between(*(MEAN_HU_WITH_CONTRAST[tissue] if enhanced else usual))
    for left, right in MIRRORED:
        means[right] = means[left] + chance.between(-8, 8)
    means[Tissue.HIP_R] = means[Tissue.HIP_L]
    density = chance.between(60, 300)  # one patient's bones are dense or thin together
    for bone in _SPONGY:
        means[bone] = 0.5 * means[bone] + 0.5 * density
    return means


def _paint_bones(p: Painting) -> None:
    """Marrow inside a cortex; the shafts of the femora have the thickest one."""
    c = p.chance
    thick: Sequence[Tissue] = (*_FEMORA, Tissue.VERTEBRA)
    thin: Sequence[Tissue] = (Tissue.HIP_L, Tissue.HIP_R, Tissue.SACRUM, Tissue.BONE)
    for bones, cortex_range, cortex_mm in (
        (thick, (450.0, 1100.0), c.between(2.2, 4.2)),
        (thin, (350.0, 1000.0), c.between(2.0, 3.6)),
    ):
        mask = p.where(*bones)
        inner = p.depth(mask, cortex_mm, 0.55, 0.95)
        marrow = p.hu + p.coarse[0] * c.between(10, 50) + p.grain[0] * c.between(5, 45)
        cortex = c.between(*cortex_range) + p.coarse[1] * c.between(20, 120)
        p.put(mask, inner * marrow + (1 - inner) * cortex)
    shaft = p.where(Tissue.FEMUR_SHAFT_L, Tissue.FEMUR_SHAFT_R)
    p.put(shaft & (p.hu > 250), p.hu * c.between(1.2, 1.7))


def _paint_muscle_and_fat(p: Painting) -> None:
    """Fat between muscle bundles; strands, small vessels and nodes in fat."""
    c = p.chance
    marbling = c.between(0, 45) if c.happens(0.6) else c.between(30, 90)
    fatty = (p.grain[0] + 0.6 * p.coarse[2] - c.between(0.3, 1.3)).clamp(0, 1.5)
    p.put(p.where(Tissue.MUSCLE), p.hu + p.coarse[1] * c.between(1, 7) - marbling * fatty)
    fat = p.hu + p.coarse[2] * c.between(2, 10) + p.grain[1] * c.between(1, 10)
    strand = (p.grain[0] + 0.3 * p.coarse[0]) > c.between(1.5, 2.6)
    strand_hu = c.between(-20, 60) + p.enhancement(0, 100)
    p.put(p.where(Tissue.FAT), torch.where(strand, torch.full_like(fat, strand_hu), fat))


def _paint_solid_organs(p: Painting) -> None:
    c = p.chance
    mottled = p.hu + p.coarse[3] * c.between(1, 8) + p.grain[0] * c.between(0, 6)
    p.put(p.where(*_SOLID_ORGANS), mottled)
    if c.happens(0.3):
        plaque = p.where(Tissue.ARTERY) & (p.grain[0] > c.between(1.6, 2.2))
        p.put(plaque, torch.full_like(p.hu, c.between(250, 900)))


def _paint_prosthesis(p: Painting) -> None:
    """A hip prosthesis with its streaks, in a few."""
    c = p.chance
    if not c.happens(0.07):
        return
    left = c.happens(0.5)
    bones = (
        (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_SHAFT_L) if left else (Tissue.FEMUR_HEAD_R, Tissue.FEMUR_SHAFT_R)
    )
    femur = p.where(*bones)
    at = femur.nonzero().float()
    if len(at) * p.voxel_mm**3 < 78_000:
        return
    metal = p.depth(femur, c.between(4, 9), 0.75, 0.8) > 0
    p.put(metal, torch.full_like(p.hu, c.between(2200, 6000)))
    centre = at.mean(0)
    y = torch.arange(p.hu.shape[1], device=p.hu.device)[:, None] - centre[1]
    x = torch.arange(p.hu.shape[2], device=p.hu.device)[None] - centre[2]
    angle, radius_mm = torch.atan2(y, x), torch.sqrt(y**2 + x**2) * p.voxel_mm
    rays = torch.zeros_like(angle)
    for _ in range(9):
        rays = rays + c.between(0.3, 1) / 2 * torch.cos((2 + c.below(29)) * angle + c.between(0, 6.3))
    streaks = rays * torch.exp(-radius_mm / c.between(60, 200)) * c.between(60, 350)
    on = metal.any(2).any(1).float()[:, None, None]
    p.hu = p.hu + streaks[None] * on * (0.7 + 0.3 * c.normal(p.hu.shape[0], 1, 1))
