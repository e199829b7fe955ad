"""``unet-3d`` and ``resunet-3d``: the 3D baselines of Xiao 2022.

Paper: Xiao 2022, section 2.2 (references 27 and 28). ``unet-3d`` is Çiçek 2016, 3D U-Net: section 2 and
figure 2. Four levels, two 3x3x3 convolutions each with batch norm and ReLU, the channels doubled before the
pooling; 2x2x2 transposed convolutions that keep their channels; skips concatenated.

``resunet-3d``: reference 28 (Song 2020) names a 2D ResUNet and no layers, and Xiao none for 3D. It is Zhang
2018, Road Extraction by Deep Residual U-Net (section II, figure 2, table 1) with every operation made 3D:
the same four levels, 64 to 512; a residual unit a level, pre-activated; halving by stride 2 in a unit's
first convolution; upsampling without weights, here trilinear.

Silent or in conflict, and what was chosen:

- Çiçek's convolutions are unpadded; here they are padded, so that the output has the CT's size. His count,
  19,069,955 for three input channels and three outputs, fits biases in all convolutions but the transposed
  ones and leaves batch norm out; here batch norm stands in place of the biases, which is 0.02 % more.
- Zhang's shortcut is called identity and changes channels and size: a 1x1x1 convolution with batch norm.
- One input channel and one output: one model a structure. Fresh weights, PyTorch's default.

Parameters, one input channel and one output, counted by hand. Of ``unet-3d``, a convolution from a to b
channels with batch norm has 27 ab + 2 b, a transposed one 8 c² + c:

==========================================================  ============
down: 1, 32, 64; 64, 64, 128; 128, 128, 256                    3,486,368
bottom: 256, 256, 512                                          5,309,952
up: 512; 768, 256, 256                                         9,176,576
up: 256; 384, 128, 128                                         2,294,528
up: 128; 192, 64, 64                                             573,824
head 64 + 1                                                           65
total                                                         19,071,329
==========================================================  ============

Of ``resunet-3d``, a unit from a to b has 28 ab + 27 b² + 2 a + 4 b, and the first 2 a less because nothing
comes before its first convolution:

==========================================================  ============
down: 1 to 64, 64 to 128, 128 to 256                           3,473,280
bottom: 256 to 512                                            10,750,464
up: 768 to 256, 384 to 128, 192 to 64                          9,552,256
head 64 + 1                                                           65
total                                                         23,776,065
==========================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.resnet import ConvNorm
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_CHANNELS: Final = (64, 128, 256, 512)


def two_convolutions(in_channels: int, inner: int, out_channels: int) -> nn.Sequential:
    """Twice a 3x3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        ConvNorm(in_channels, inner, 3, dimensions=3),
        nn.ReLU(inplace=True),
        ConvNorm(inner, out_channels, 3, dimensions=3),
        nn.ReLU(inplace=True),
    )


class Unet3d(nn.Module):
    """3D U-Net.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every level.
    """

    dimensions = 3
    stride = 8

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c = scaled(width, *_CHANNELS)
        first = scaled(width / 2, *_CHANNELS)
        self.encoder = nn.ModuleList(
            two_convolutions(seen, inner, out)
            for seen, inner, out in zip((in_channels, *c[:-1]), first, c, strict=True)
        )
        self.upsample = nn.ModuleList(nn.ConvTranspose3d(c[i + 1], c[i + 1], 2, 2) for i in (2, 1, 0))
        self.decoder = nn.ModuleList(two_convolutions(c[i] + c[i + 1], c[i], c[i]) for i in (2, 1, 0))
        self.head = nn.Conv3d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, z, y, x)`` to logits ``(n, classes, z, y, x)``; below, sizes are padded to 8."""
        x, size = padded_to_multiple(x, self.stride)
        skips: list[Tensor] = []
        for depth, block in enumerate(self.encoder):
            x = block(functional.max_pool3d(x, 2) if depth else x)  # (n, 64, z, y, x) to (n, 512, z/8, ...)
            skips.append(x)
        x = skips.pop()  # (n, 512, z/8, y/8, x/8)
        for up, block in zip(self.upsample, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))  # (n, 256, z/4, ...) to (n, 64, z, y, x)
        return cropped_to(self.head(x), size)  # (n, classes, z, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Xiao 2022 supervises one output."""
        return (self.forward(x),)


class ResidualUnit3d(nn.Module):
    """Batch norm, ReLU and 3x3x3 convolution, twice, added to a 1x1x1 convolution of the input.

    Args:
        in_channels, out_channels: of input and output.
        stride: of the first convolution and of the shortcut.
        preactivated: False for the network's first unit, where nothing stands before the first convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, preactivated: bool = True
    ) -> None:
        super().__init__()
        before = (nn.BatchNorm3d(in_channels), nn.ReLU(inplace=True)) if preactivated else ()
        self.body = nn.Sequential(
            *before,
            ConvNorm(in_channels, out_channels, 3, stride, dimensions=3),
            nn.ReLU(inplace=True),
            nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        self.shortcut = ConvNorm(in_channels, out_channels, 1, stride, dimensions=3)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, z, y, x)`` to ``(n, out, z/stride, y/stride, x/stride)``."""
        y: Tensor = self.shortcut(x) + self.body(x)  # (n, out, z/stride, y/stride, x/stride)
        return y


class ResUnet3d(nn.Module):
    """3D U-Net of residual units.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every level.
    """

    dimensions = 3
    stride = 8

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c = scaled(width, *_CHANNELS)
        self.encoder = nn.ModuleList([ResidualUnit3d(in_channels, c[0], preactivated=False)])
        self.encoder.extend(ResidualUnit3d(c[i - 1], c[i], 2) for i in (1, 2, 3))
        self.decoder = nn.ModuleList(ResidualUnit3d(c[i] + c[i + 1], c[i]) for i in (2, 1, 0))
        self.head = nn.Conv3d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, z, y, x)`` to logits ``(n, classes, z, y, x)``; below, sizes are padded to 8."""
        x, size = padded_to_multiple(x, self.stride)
        skips: list[Tensor] = []
        for unit in self.encoder:
            x = unit(x)  # (n, 64, z, y, x), (n, 128, z/2, ...), (n, 256, z/4, ...), (n, 512, z/8, y/8, x/8)
            skips.append(x)
        x = skips.pop()  # (n, 512, z/8, y/8, x/8)
        for unit in self.decoder:
            risen = functional.interpolate(x, scale_factor=2.0, mode="trilinear")  # (n, 512, z/4, y/4, x/4)
            x = unit(torch.cat([skips.pop(), risen], dim=1))  # (n, 256, z/4, ...) to (n, 64, z, y, x)
        return cropped_to(self.head(x), size)  # (n, classes, z, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Xiao 2022 supervises one output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "unet-3d": NetworkEntry(
        build=Unet3d,
        dimensions=3,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=19_071_329,
        counted="by hand",
        test_width=0.09375,
    ),
    "resunet-3d": NetworkEntry(
        build=ResUnet3d,
        dimensions=3,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=23_776_065,
        counted="by hand",
        test_width=0.0625,
    ),
}
