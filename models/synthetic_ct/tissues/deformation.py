"""One tissue map seen in a new body: turned, scaled, bent, mirrored, bladder and rectum filled or emptied."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.chance import Chance
from models.synthetic_ct.tissues.tissue_maps import Tissue, mirror_table

MAP_SPACING_MM = 2.0
_TURN_DEGREES = (12.0, 7.0, 7.0)  # about x (pelvic tilt), y, z
_FILLING = (  # organ, range of the change, width of its bell in mm, how much of it acts along z, y, x
    (Tissue.BLADDER, (-0.5, 0.9), (28.0, 55.0), (1.0, 1.0, 1.0)),
    (Tissue.RECTUM, (-0.5, 0.6), (18.0, 30.0), (0.3, 1.0, 1.0)),
)


@dataclass(frozen=True, slots=True, repr=False)
class AnatomyMap:
    """A tissue map on the device that samples are made on.

    Attributes:
        codes: ``(z, y, x)`` uint8 at 2 mm, femoral heads near z 130, y 200, x 220 mm.
        centres_mm: centre ``(3,)`` z, y, x of bladder and rectum, None where the map has none.
    """

    codes: Tensor
    centres_mm: tuple[Tensor | None, ...]

    @classmethod
    def of(cls, codes: Tensor) -> AnatomyMap:
        """Find the organs that can be filled."""
        return cls(codes, tuple(_centre_mm(codes, organ) for organ, *_ in _FILLING))


@dataclass(frozen=True, slots=True, repr=False)
class SeenAnatomy:
    """What lies in a patch.

    Attributes:
        fine: ``(2z, 2y, 2x)`` tissue codes at twice the resolution, from which CT numbers are painted.
        coarse: ``(z, y, x)`` tissue codes at the centres of the patch's voxels, from which labels are taken.
        fine_known: True where the map reaches along z; beyond it nothing is known.
        coarse_known: the same at the patch's voxels.
    """

    fine: Tensor
    coarse: Tensor
    fine_known: Tensor
    coarse_known: Tensor


def _centre_mm(codes: Tensor, organ: Tissue) -> Tensor | None:
    where = (codes == int(organ)).nonzero().float()
    return where.mean(0) * MAP_SPACING_MM if len(where) > 20 else None


def see(
    anatomy: AnatomyMap,
    patch_zyx: tuple[int, int, int],
    spacing_mm: float,
    chance: Chance,
    centre_mm: tuple[float, float, float] | None = None,
) -> SeenAnatomy:
    """A random view of ``anatomy`` in a patch of voxels ``spacing_mm`` wide.

    ``centre_mm`` (z, y, x in the map) is where its middle lies; drawn if it is not given.
    """
    fine_shape = tuple(2 * n for n in patch_zyx)
    knots_mm = _knots_mm(patch_zyx, spacing_mm, chance, centre_mm)
    knots_mm = _bent(knots_mm, patch_zyx, spacing_mm, chance)
    knots_mm = _filled(knots_mm, anatomy, chance)
    fine_mm = functional.interpolate(knots_mm[None], size=fine_shape, mode="trilinear", align_corners=True)[0]
    coarse_mm = functional.avg_pool3d(fine_mm[None], 2)[0]
    fine, fine_known = _looked_up(anatomy.codes, fine_mm)
    coarse, coarse_known = _looked_up(anatomy.codes, coarse_mm)
    if chance.happens(0.5):
        table = torch.from_numpy(mirror_table()).to(fine.device)
        fine, coarse = table[fine.int()].flip(2), table[coarse.int()].flip(2)
        fine_known, coarse_known = fine_known.flip(2), coarse_known.flip(2)
    return SeenAnatomy(fine, coarse, fine_known, coarse_known)


def _knots_mm(
    patch_zyx: tuple[int, int, int],
    spacing_mm: float,
    chance: Chance,
    centre_mm: tuple[float, float, float] | None,
) -> Tensor:
    """``(3, k, k, k)`` positions in the map (z, y, x, mm) of knots four voxels apart: turned and scaled."""
    ends = [(n / 2 - 0.25) * spacing_mm for n in patch_zyx]
    axes = [
        torch.linspace(-e, e, max(4, n // 4), device=chance.device)
        for e, n in zip(ends, patch_zyx, strict=True)
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    fatness = chance.between(-0.10, 0.12)
    wider = 1 + fatness * ((y**2 + x**2) / 150.0**2).clamp(max=1.5)
    at = torch.stack([z, y * wider, x * wider])
    low_or_high = chance.happens(0.35)
    drawn = (
        chance.between(50, 410) if low_or_high else chance.between(105, 300),
        chance.between(155, 205),
        220 + chance.between(-25, 25),
    )
    matrix = _turn([math.radians(chance.between(-d, d)) for d in _TURN_DEGREES])
    size = chance.between(0.86, 1.16)
    matrix = (matrix @ torch.diag(torch.tensor([size * chance.between(0.92, 1.08) for _ in range(3)]))).to(at)
    centre = torch.tensor(centre_mm or drawn).to(at)
    return torch.einsum("ij,jzyx->izyx", matrix, at) + centre[:, None, None, None]


def _turn(radians_xyz: list[float]) -> Tensor:
    """Rotation of (z, y, x) vectors about x, then y, then z."""
    (ca, sa), (cb, sb), (cc, sc) = ((math.cos(r), math.sin(r)) for r in radians_xyz)
    about_x = torch.tensor([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
    about_y = torch.tensor([[cb, 0, -sb], [0, 1, 0], [sb, 0, cb]])
    about_z = torch.tensor([[1, 0, 0], [0, cc, -sc], [0, sc, cc]])
    return about_x @ about_y @ about_z


def _bent(knots_mm: Tensor, patch_zyx: tuple[int, int, int], spacing_mm: float, chance: Chance) -> Tensor:
    """Displaced by smooth random fields at two scales."""
    size = tuple(knots_mm.shape[1:])
    for scale_mm, low, high in ((75.0, 2.0, 9.0), (32.0, 0.5, 3.2)):
        count = [max(3, int(n * spacing_mm / scale_mm) + 2) for n in patch_zyx]
        push = chance.normal(1, 3, *count) * chance.between(low, high)
        knots_mm = knots_mm + functional.interpolate(push, size=size, mode="trilinear", align_corners=True)[0]
    return knots_mm


def _filled(knots_mm: Tensor, anatomy: AnatomyMap, chance: Chance) -> Tensor:
    """Bladder and rectum swollen or shrunk about their centres, their surroundings giving way."""
    for (_, change, width, along), centre in zip(_FILLING, anatomy.centres_mm, strict=True):
        if centre is None or not chance.happens(0.7):
            continue
        away = knots_mm - centre[:, None, None, None]
        sigma = chance.between(*width)
        bell = torch.exp(-(away**2).sum(0) / (2 * sigma * sigma)) * chance.between(*change)
        knots_mm = knots_mm + away * bell * torch.tensor(along).to(away)[:, None, None, None]
    return knots_mm


def _looked_up(codes: Tensor, at_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Codes at positions ``(3, z, y, x)`` in the map, air beside it, and where the map reaches along z."""
    index = (at_mm / MAP_SPACING_MM).round().int()
    inside = [(index[i] >= 0) & (index[i] < codes.shape[i]) for i in range(3)]
    z, y, x = (index[i].clamp(0, codes.shape[i] - 1) for i in range(3))
    found = codes.view(-1)[(z * codes.shape[1] + y) * codes.shape[2] + x]
    return found * (inside[0] & inside[1] & inside[2]), inside[0]
