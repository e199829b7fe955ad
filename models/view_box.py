"""Which part of a volume a network looks at: the body, or one box of each slice if its card asks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.body_shape import opened, parts_of_at_least
from models.cards.input_card import CropCard, InputCard
from models.parts_by_runs import parts_by_runs
from models.volume import OutsideTrainedRegion

Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]
Bounds = NDArray[np.integer]  # first and last voxel along each of three axes
Spacing = tuple[float, float, float]

_BODY_HU: Final = -300.0
_BONE_HU: Final = 200.0
_THICK_MM: Final = 10.0  # what is thinner than twice this is couch, or sticks out of the body
_PART_CM3: Final = 50.0
_RIM_MM: Final = 20.0  # around what is thick: skin, fingers, some air
_COARSE_MM: Final = 3.5  # the body is looked for on every n-th voxel, about so far apart


def view_box(hu: Tensor, card: InputCard, spacing_zyx_mm: Spacing) -> Box:
    """The part of ``hu`` ``(z, y, x)`` that is looked at.

    Without a crop it is the body and a rim, at least a patch where there is room. With one, it is every slice
    and in the plane the card's box about the centre of the body or of its bone, pushed inwards where it would
    leave the volume, and the whole plane where that is smaller.

    Raises:
        OutsideTrainedRegion: ``region.only-air``.
    """
    steps = [max(1, int(_COARSE_MM / mm)) for mm in spacing_zyx_mm]
    coarse = hu[:: steps[0], :: steps[1], :: steps[2]]
    z, y, x = (step * mm for step, mm in zip(steps, spacing_zyx_mm, strict=True))
    body, bounds, within = _body(coarse > _BODY_HU, (z, y, x))
    if card.crop is not None:
        of_body = body.cpu().numpy(), coarse[within].cpu().numpy()
        return _crop(card.crop, *of_body, within, steps, hu.shape)
    parts: list[slice] = []
    for axis in range(3):
        first, last = (int(at + within[axis].start) * steps[axis] for at in bounds[axis])
        rim = math.ceil(_RIM_MM / spacing_zyx_mm[axis])
        low, high, count = first - rim, last + steps[axis] + rim, hu.shape[axis]
        short = max(card.patch_zyx[axis] - (high - low), 0)
        low, high = low - short // 2, high + short - short // 2
        low, high = low - max(high - count, 0), high - min(low, 0)  # use the room on the other side
        parts.append(slice(max(low, 0), min(high, count)))
    return parts[0], parts[1], parts[2]


def _body(dense: Tensor, spacing_zyx_mm: Spacing) -> tuple[Tensor, Bounds, Box]:
    """The body within a box around all that might be of it, its bounds there, and that box.

    On a GPU only the bounds leave it.
    """
    thick = opened(dense, _THICK_MM, spacing_zyx_mm)
    within = _box_around(thick)
    if within is not None:
        on_cpu = dense.device.type == "cpu"
        return *(_large if on_cpu else _large_by_runs)(thick[within], spacing_zyx_mm), within
    within = _box_around(dense)
    if within is None:
        sentence = "This CT shows nothing denser than air; there is nothing to contour."
        raise OutsideTrainedRegion("region.only-air", sentence)
    body = dense[within]
    return body, np.array([(0, n - 1) for n in body.shape]), within


def _large(thick: Tensor, spacing_zyx_mm: Spacing) -> tuple[Tensor, Bounds]:
    """The parts that are large enough to be of a body, or the largest, and the bounds of them all."""
    body = parts_of_at_least(thick.numpy(), _PART_CM3, spacing_zyx_mm)
    lines = (np.flatnonzero(body.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return torch.from_numpy(body), np.array([(at[0], at[-1]) for at in lines])


def _large_by_runs(thick: Tensor, spacing_zyx_mm: Spacing) -> tuple[Tensor, Bounds]:
    """The same without leaving the device."""
    parts = parts_by_runs(thick, 6)
    volumes_cm3 = parts.voxels * np.prod(spacing_zyx_mm) / 1000
    keep = volumes_cm3 >= min(_PART_CM3, volumes_cm3.max())
    bounds = parts.bounds[keep]
    lookup = torch.from_numpy(np.concatenate([[False], keep])).to(thick.device)
    body = thick if keep.all() else lookup[parts.labels]
    return body, np.stack([bounds[..., 0].min(axis=0), bounds[..., 1].max(axis=0)], axis=1)


def _box_around(mask: Tensor) -> Box | None:
    planes = mask.any(dim=2), mask.any(dim=1)  # (z, y), (z, x)
    lines = torch.cat([planes[0].any(dim=1), planes[0].any(dim=0), planes[1].any(dim=0)]).cpu().numpy()
    parts: list[slice] = []
    for line in np.split(lines, np.cumsum(mask.shape)[:2]):
        at = np.flatnonzero(line)
        if not len(at):
            return None
        parts.append(slice(int(at[0]), int(at[-1]) + 1))
    return parts[0], parts[1], parts[2]


def _crop(
    card: CropCard,
    body: Mask,
    hu: NDArray[np.float32],
    within: Box,
    steps: Sequence[int],
    shape: Sequence[int],
) -> Box:
    bone = body & (hu > _BONE_HU)
    of = bone if card.centre == "bone" and bone.any() else body
    parts = [slice(0, shape[0])]
    for axis, size in zip((1, 2), card.size_yx, strict=True):
        profile = of.sum(axis=tuple(a for a in range(3) if a != axis))
        places = np.arange(len(profile)) + within[axis].start
        centre = float(profile @ places / profile.sum()) * steps[axis]
        low = round(centre - (size - 1) / 2)
        low = max(0, min(low, shape[axis] - size))
        parts.append(slice(low, min(low + size, shape[axis])))
    return parts[0], parts[1], parts[2]
