"""What a network is shown: the section ``input`` of a bundle's card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Channel:
    """One input channel: ``(clip(HU, *clip_hu) - subtract_hu) / divide_hu``."""

    clip_hu: tuple[float, float]
    subtract_hu: float
    divide_hu: float


@dataclass(frozen=True, slots=True)
class CropCard:
    """The one box within the axial plane that is looked at; beyond it there is background.

    Attributes:
        size_yx: voxels of the network's grid.
        centre: of mass of the whole body or of its bone, so that the patient need not lie in the middle.
    """

    size_yx: tuple[int, int]
    centre: Literal["body", "bone"]


@dataclass(frozen=True, slots=True)
class InputCard:
    """What the network is shown. Axes are z to head, y to posterior, x to the patient's left (LPS).

    Attributes:
        spacing_zyx_mm: of the network's grid; null along an axis keeps the CT's own voxels there.
        patch_zyx: size of one tile, voxels; one slice means a network of two dimensions.
        overlap: part of a tile that its neighbour repeats, 0 to below 1.
        padding_hu: beyond the CT.
        channels: computed from HU, in order.
        context_slices: an odd number of neighbouring slices that a network of two dimensions is shown, the
            middle one being predicted; channel ``slice * len(channels) + channel`` of its input.
        crop: look at one box of each slice only.
        stretch: an axis that exceeds the patch by no more than this part of it is seen in one piece. The tile
            then is larger than the patches that the network learned from, and there are half as many.
        orientation: always LPS; written down so that a reader of the card need not guess.
    """

    spacing_zyx_mm: tuple[float | None, float | None, float | None]
    patch_zyx: tuple[int, int, int]
    overlap: float
    padding_hu: float
    channels: tuple[Channel, ...]
    context_slices: int = 1
    crop: CropCard | None = None
    stretch: float = 0.0
    orientation: Literal["LPS"] = "LPS"

    @property
    def dimensions(self) -> Literal[2, 3]:
        """Of the network's convolutions."""
        return 2 if self.patch_zyx[0] == 1 else 3

    def tile_zyx(self, shape_zyx: Sequence[int]) -> tuple[int, int, int]:
        """Size of a tile for a volume of this shape: the patch, or longer where the card lets it stretch."""
        z, y, x = (
            have if patch < have <= patch * (1 + self.stretch) and patch > 1 else patch
            for have, patch in zip(shape_zyx, self.patch_zyx, strict=True)
        )
        return z, y, x

    @property
    def in_channels(self) -> int:
        """Of the network."""
        return len(self.channels) * self.context_slices
