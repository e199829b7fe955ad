"""``recomia``: a fully convolutional 3D network that keeps little in memory.

Sartor 2020, section 2.2: a standard segmentation network changed so that it needs little memory, softmax with
one channel an organ and one for background; section 2.3: trained on fifty patches of 136 x 136 x 72 voxels at
a time. The layers stand in another paper (its reference 18, Trägårdh 2020), which is not among the five; so
every figure below is a choice, made so that what Sartor does say comes true:

- An encoder and a decoder that meet at every resolution ("standard"), three halvings: 136 and 72 are
  multiples of 8 and not of 16.
- Little memory: 8 channels at full resolution, where a voxel is dear, channels and depth where the grid is
  coarse (1, 2, 3 and 4 convolutions with 8, 32, 64 and 128 channels). What comes up is reduced to the skip's
  channels before it is upsampled, by trilinear interpolation, and is added to the skip instead of
  concatenated. Training in single precision keeps about 400 bytes a voxel of the input, 27 GB for fifty
  patches.
- Halving is a 2x2x2 convolution with stride 2. Batch norm, which fifty patches at a time allow, and ReLU
  follow it and every 3x3x3 convolution; none of them has a bias.
- Left and right femoral head are two outputs of the softmax, as they are two columns of its tables.

Parameters, one input channel and six outputs (background, two femoral heads, bladder, bowel bag, CTVn),
counted by hand. A convolution from a to b channels with its norm has 27 ab + 2 b, a halving 8 ab + 2 b, a
reduction from a to b, with bias, ab + b:

==========================================================  ===========
down, 8: one convolution 1, 8                                       232
down, 32: halving 8, 32; two convolutions                        57,536
down, 64: halving 32, 64; three convolutions                    348,672
down, 128: halving 64, 128; four convolutions                 1,836,288
up, 64: reduction 128, 64; three convolutions                   340,416
up, 32: reduction 64, 32; two convolutions                       57,504
up, 8: reduction 32, 8; one convolution                           2,008
head 8 * 6 + 6                                                       54
total                                                         2,642,710
==========================================================  ===========
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_CHANNELS: Final = (8, 32, 64, 128)
_DEPTHS: Final = (1, 2, 3, 4)


class Convolution(nn.Sequential):
    """A convolution, batch norm and ReLU; ``stride`` 2 halves every axis."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        kernel = 2 if stride == 2 else 3
        super().__init__(
            nn.Conv3d(in_channels, out_channels, kernel, stride, kernel - 2, bias=False),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(inplace=True),
        )


class Recomia(nn.Module):
    """Sartor's network.

    Args:
        in_channels: channels of the input.
        classes: outputs, background included.
        width: factor on the channels of every level.
    """

    dimensions = 3
    stride = 8

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c = scaled(width, *_CHANNELS)
        levels = range(len(c))
        self.down = nn.ModuleList(
            nn.Sequential(
                Convolution(c[i - 1], c[i], 2) if i else Convolution(in_channels, c[i]),
                *(Convolution(c[i], c[i]) for _ in range(_DEPTHS[i] if i else _DEPTHS[i] - 1)),
            )
            for i in levels
        )
        self.reduce = nn.ModuleList(nn.Conv3d(c[i + 1], c[i], 1) for i in reversed(levels[:-1]))
        self.up = nn.ModuleList(
            nn.Sequential(*(Convolution(c[i], c[i]) for _ in range(_DEPTHS[i])))
            for i in reversed(levels[:-1])
        )
        self.head = nn.Conv3d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, z, y, x)`` to logits ``(n, classes, z, y, x)``; below, sizes are padded to 8."""
        x, size = padded_to_multiple(x, self.stride)
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)  # (n, 8, z, y, x) to (n, 128, z/8, y/8, x/8)
            skips.append(x)
        x = skips.pop()  # (n, 128, z/8, y/8, x/8)
        for reduce, block in zip(self.reduce, self.up, strict=True):
            x = functional.interpolate(
                reduce(x), scale_factor=2, mode="trilinear"
            )  # (n, 64, z/4, y/4, x/4) ...
            x = block(x + skips.pop())  # (n, 64, z/4, y/4, x/4) to (n, 8, z, y, x)
        return cropped_to(self.head(x), size)  # (n, classes, z, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Sartor 2020 names no further output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "recomia": NetworkEntry(
        build=Recomia,
        dimensions=3,
        paper="sartor-2020",
        in_channels=1,
        classes=6,
        parameters=2_642_710,
        counted="by hand",
        test_width=0.5,
        full_width_rate=2e-2,
    ),
}
