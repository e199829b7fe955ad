"""A synthetic CT while it is being painted, organ by organ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.chance import Chance
from models.synthetic_ct.tissues.tissue_maps import Tissue


@dataclass(slots=True)
class Painting:
    """A CT while it is being painted.

    Attributes:
        hu: ``(z, y, x)`` float, the picture.
        codes: ``(z, y, x)`` int, tissue codes.
        voxel_mm: width of its voxels.
        chance: of this sample.
        contrast: whether intravenous contrast was given.
        fat_hu: mean of the fat.
        coarse: ``(4, z, y, x)`` patterns about 9 mm across.
        grain: ``(2, z, y, x)`` patterns about 4 mm across.
    """

    hu: Tensor
    codes: Tensor
    voxel_mm: float
    chance: Chance
    contrast: bool
    fat_hu: float
    coarse: Tensor
    grain: Tensor

    def where(self, *tissues: Tissue) -> Tensor:
        """True where one of the tissues is."""
        table = torch.zeros(256, dtype=torch.bool, device=self.codes.device)
        table[[int(t) for t in tissues]] = True
        return table[self.codes]

    def depth(self, mask: Tensor, depth_mm: float, low: float, high: float) -> Tensor:
        """0 at the surface of ``mask`` rising to 1 about ``depth_mm`` below it.

        The share of the mask in a box of that size about each voxel, stretched from ``low`` to ``high``.
        """
        width = max(3, 2 * round(depth_mm / self.voxel_mm) + 1)
        share = mask[None, None].float()
        for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
            share = functional.avg_pool3d(share, kernel, 1, tuple(k // 2 for k in kernel))
        return ((share[0, 0] - low) / (high - low)).clamp(0, 1) * mask

    def put(self, mask: Tensor, value: Tensor) -> None:
        """Paint ``value`` where ``mask`` is."""
        self.hu = torch.where(mask, value, self.hu)

    def enhancement(self, low: float, high: float) -> float:
        """HU that contrast adds to a wall; none without contrast."""
        return self.chance.between(low, high) if self.contrast else 0.0
