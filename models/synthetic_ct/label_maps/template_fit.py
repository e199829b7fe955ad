"""A whole-body template fitted to a patient of whom some organs are known.

An affine map starts from the centroids of the organs that both have and is improved together with a smooth
grid of displacements, so that the blurred organs of the template lie on the patient's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.synthetic_ct.tissues.tissue_maps import Tissue

Group = tuple[Tissue, ...]

GROUPS: Final[tuple[Group, ...]] = (
    (Tissue.FEMUR_HEAD_L,),
    (Tissue.FEMUR_HEAD_R,),
    (Tissue.HIP_L,),
    (Tissue.HIP_R,),
    (Tissue.SACRUM,),
    (Tissue.VERTEBRA, Tissue.CANAL),
    (Tissue.BLADDER,),
    (Tissue.RECTUM,),
    (Tissue.COLON,),
    (Tissue.BOWEL,),
    (Tissue.UTERUS,),
    (Tissue.PROSTATE,),
    (Tissue.LIVER,),
    (Tissue.KIDNEY_L,),
    (Tissue.KIDNEY_R,),
    (Tissue.SPLEEN,),
    (Tissue.STOMACH,),
)
"""Organs that are brought together where both have them."""

_BONES = (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R, Tissue.HIP_L, Tissue.HIP_R, Tissue.SACRUM)
_COARSER = 4  # 8 mm voxels
_KNOT_VOXELS = 4  # a displacement every 32 mm
_SMALLEST_VOXELS = 1.0
_AFFINE_STEPS, _SMOOTH_STEPS = 40, 65
_BLUR_VOXELS = (2.0, 0.8)


@dataclass(frozen=True, slots=True, repr=False)
class Fit:
    """Where the template's voxels lie on the patient.

    Attributes:
        sampling: ``(1, z, y, x, 3)`` positions in the template for `torch.nn.functional.grid_sample`.
        bones_dsc: mean DSC of the bones that both have, by shares of 8 mm voxels.
    """

    sampling: Tensor
    bones_dsc: float

    def warped(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The template's codes on the patient; beside the template its border goes on."""
        volume = torch.from_numpy(codes.astype(np.float32))[None, None]  # (1, 1, z, y, x)
        found = functional.grid_sample(
            volume, self.sampling, mode="nearest", padding_mode="border", align_corners=False
        )
        return found[0, 0].round().to(torch.uint8).numpy()


def fit(
    template: NDArray[np.uint8],
    own: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    body: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
    device: str = "cpu",
) -> Fit:
    """Fit ``template`` to the organs ``own``; all arrays ``(z, y, x)`` of one shape.

    Args:
        template: complete tissue codes.
        own: tissue codes of the patient where they are known.
        seen: True where the patient's organs would have been drawn.
        body: inside of the template and of the patient, where an external contour was drawn.
        device: where it is computed.

    The loss is the sum over organs of squared differences of the blurred masks where ``seen``, small organs
    weighing more, plus the squares of the first and second differences of the displacements.
    """
    of_template, of_own, bones = _coarse_organs(template, own, body, device)
    looked_at = _coarse(torch.from_numpy(seen).to(device).float())
    at = _places(of_own.shape[1:], device)  # (3, z, y, x) in coarse voxels, x y z
    matrix, shift, centre = _from_centroids(of_template, of_own, at, bones)
    knots = [max(_KNOT_VOXELS, n // _KNOT_VOXELS) for n in of_own.shape[1:]]
    push = torch.zeros(1, 3, *knots, device=device)
    weight = 1 / (of_own.sum((1, 2, 3)) ** 0.67 + 5)
    weight = weight / weight.sum() * len(weight) * 30 / of_own[0].numel()
    for smooth, (steps, sigma) in enumerate(zip((_AFFINE_STEPS, _SMOOTH_STEPS), _BLUR_VOXELS, strict=True)):
        blurred = [_blurred(masks, sigma) for masks in (of_template, of_own)]
        moved = [matrix, shift, push] if smooth else [matrix, shift]
        for tensor in moved:
            tensor.requires_grad_()
        rates = (0.004, 0.08, 0.12)
        optimiser = torch.optim.Adam(
            [{"params": [tensor], "lr": rate} for tensor, rate in zip(moved, rates, strict=False)]
        )
        for _ in range(steps):
            where = _moved(at, matrix, shift, centre, push if smooth else None)
            there = _sampled(blurred[0], where)
            loss = (((there - blurred[1]) ** 2 * looked_at).sum((1, 2, 3)) * weight).sum()
            (loss + (_roughness(push) if smooth else 0.0)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    with torch.no_grad():
        where = _moved(at, matrix, shift, centre, push)
        dsc = _bones_dsc(_sampled(of_template, where) * looked_at, of_own * looked_at, bones)
        return Fit(_fine_sampling(where - at, own.shape).cpu(), dsc)


def _coarse_organs(
    template: NDArray[np.uint8],
    own: NDArray[np.uint8],
    body: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
    device: str,
) -> tuple[Tensor, Tensor, list[int]]:
    """``(g, z, y, x)`` masks at 8 mm of the organs that both have, and which of them are bones."""
    pairs: list[list[Tensor]] = []
    bones: list[int] = []
    for group in GROUPS:
        pair = [_coarse(_is_in(codes, group, device)) for codes in (template, own)]
        if min(float(mask.sum()) for mask in pair) > _SMALLEST_VOXELS:
            if group[0] in _BONES:
                bones.append(len(pairs))
            pairs.append(pair)
    if body is not None:
        pairs.append([_coarse(torch.from_numpy(mask).to(device).float()) for mask in body])
    return torch.stack([a for a, _ in pairs]), torch.stack([b for _, b in pairs]), bones


def _is_in(codes: NDArray[np.uint8], group: Group, device: str) -> Tensor:
    return torch.from_numpy(np.isin(codes, group)).to(device).float()


def _coarse(volume: Tensor) -> Tensor:
    """``(z, y, x)`` at 2 mm to 8 mm; what is missing to whole voxels counts as empty."""
    missing = [-n % _COARSER for n in volume.shape]
    padded = functional.pad(volume[None, None], (0, missing[2], 0, missing[1], 0, missing[0]))
    return functional.avg_pool3d(padded, _COARSER)[0, 0]


def _places(size: Sequence[int], device: str) -> Tensor:
    axes = [torch.arange(n, device=device).float() for n in size]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z])


def _from_centroids(
    of_template: Tensor, of_own: Tensor, at: Tensor, bones: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale along each axis and shift that bring the organs' centroids together; bones count three times."""

    def centroids(masks: Tensor) -> Tensor:
        return torch.einsum("gzyx,dzyx->gd", masks, at) / masks.sum((1, 2, 3))[:, None]

    template, own = centroids(of_template), centroids(of_own)
    weight = torch.ones(len(own), 1, device=at.device)
    weight[list(bones)] = 3.0
    weight = weight / weight.sum()
    middle_own, middle_template = (weight * own).sum(0), (weight * template).sum(0)
    together = (weight * (own - middle_own) * (template - middle_template)).sum(0)
    spread = (weight * (own - middle_own) ** 2).sum(0)
    scale = ((together + 3) / (spread + 3)).clamp(0.75, 1.3)
    centre = own.mean(0)
    return torch.diag(scale), middle_template + scale * (centre - middle_own), centre


def _moved(at: Tensor, matrix: Tensor, shift: Tensor, centre: Tensor, push: Tensor | None) -> Tensor:
    """``(3, z, y, x)`` where each coarse voxel of the patient lies in the template."""
    away = at - centre[:, None, None, None]
    where = torch.einsum("ij,jzyx->izyx", matrix, away) + shift[:, None, None, None]
    if push is None:
        return where
    size = tuple(at.shape[1:])
    return where + functional.interpolate(push, size=size, mode="trilinear", align_corners=True)[0]


def _sampled(masks: Tensor, where: Tensor) -> Tensor:
    size = torch.tensor(list(masks.shape[:0:-1]), device=masks.device).float()
    grid = (where.permute(1, 2, 3, 0) * 2 + 1) / size - 1  # (z, y, x, 3), -1 to 1
    return functional.grid_sample(masks[None], grid[None], align_corners=False)[0]


def _roughness(push: Tensor) -> Tensor:
    total = push.new_zeros(())
    for axis in (2, 3, 4):
        slope = push.diff(dim=axis)
        total = total + 0.03 * (slope**2).mean() + 0.05 * (slope.diff(dim=axis) ** 2).mean()
    return total


def _blurred(masks: Tensor, sigma: float) -> Tensor:
    reach = int(3 * sigma + 0.5)
    bell = torch.exp(-(torch.arange(-reach, reach + 1, device=masks.device).float() ** 2) / (2 * sigma**2))
    bell = bell / bell.sum()
    out = masks[:, None]  # (g, 1, z, y, x)
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = -1, reach
        out = functional.conv3d(out, bell.view(shape), padding=padding)
    return out[:, 0]


def _bones_dsc(template: Tensor, own: Tensor, bones: Sequence[int]) -> float:
    """Of shares of voxels: the smaller of two shares is what both have."""
    a, b = template[list(bones)], own[list(bones)]
    both = 2 * torch.minimum(a, b).sum((1, 2, 3)) / (a + b).sum((1, 2, 3)).clamp(min=1)
    return float(both.mean()) if len(bones) else 0.0


def _fine_sampling(shift: Tensor, shape: Sequence[int]) -> Tensor:
    """Coarse shifts ``(3, z, y, x)`` as a sampling grid of the fine voxels."""
    size = [n * _COARSER for n in shift.shape[1:]]
    fine = functional.interpolate(shift[None] * _COARSER, size=size, mode="trilinear", align_corners=False)[0]
    z, y, x = shape
    where = _places(shape, str(shift.device)) + fine[:, :z, :y, :x]
    extent = torch.tensor([x, y, z], device=shift.device).float()
    return ((where.permute(1, 2, 3, 0) * 2 + 1) / extent - 1)[None]
