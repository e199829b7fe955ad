"""``refinenet-plus-3d``: RefineNet with every 2D operation made 3D and a decoder of 3D Refine blocks.

Paper: Xiao 2022, section 2.2 and figure 2 (RefineNetPlus3D; 2b: the 3D Refine block of RCU, CRP and
fusion). See `models.networks.refinenet` for the 2D network and the papers before it.

Silent or in conflict, and what was chosen:

- "The first layer of down- and up-sampling layers was modified to a rate of 1/2": the stem halves once, by
  its convolution, and does not pool; so the stages stand at 1/2, 1/4, 1/8 and 1/16 and the last upsampling
  doubles. In 2D both have a rate of 1/4.
- "The whole RefineNet decoder part" is replaced by the block: one RCU on the encoder's feature, fusion with
  the coarser level, CRP, in this order as in Lin 2017; the text lists RCU, CRP, fusion. No units after the
  pooling: figure 2b is said to hold these three parts.
- "Many ReLU activations and batch normalization were added": batch norm after every convolution of fusion
  and CRP and before every one of the RCU, whose sum stays free of it as in pre-activated residual networks;
  ReLU before every convolution of the RCU, after the fusion's sum and at CRP's start.
- The shortcut "from the encoder to the decoder" is the four features that the blocks take from the stages;
  the sentence is the one by which Lin 2017 describes these connections.
- ResNet50's channels, 512 and 256 in the decoder, four poolings of 5x5x5, half the channels inside the RCU:
  "all 2D operations replaced with their corresponding 3D counterparts" and nothing else. That is large for
  the 11 GB card that the paper names; it says neither patch nor spacing in the plane.
- One input channel, one output (one model a structure), trilinear upsampling, fresh weights, the
  encoder's as in `models.networks.resnet`.

Parameters, one input channel and one output, counted by hand. No convolution but the last has a bias; batch
norm has 2 a channel. A bottleneck of c inside keeping 4 c has 35 c² + 12 c, one from i to 4 c 5 ic + 31 c²
+ 20 c. A reduction from a to b has ab + 2 b, an RCU of c channels c² + 27 c²/4 + 4 c, a CRP 4 (c² + 2 c), a
fusion into c from a coarser a ac + c² + 4 c:

======================================================  ============
stem 343 * 64 + 128                                           22,080
stage 1, 3 bottlenecks, c 64                                 436,992
stage 2, 4 bottlenecks, c 128                              2,399,232
stage 3, 6 bottlenecks, c 256                             14,176,256
stage 4, 3 bottlenecks, c 512                             29,120,512
1/16, c 512: from 2048, RCU, CRP                           4,135,936
1/8, c 256: from 1024, RCU, fusion from 512, CRP           1,233,408
1/4, c 256: from 512, RCU, fusion from 256, CRP            1,036,800
1/2, c 256: from 256, RCU, fusion from 256, CRP              971,264
last convolution 27 * 256 + 1                                  6,913
total                                                     53,539,393
======================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.resnet import ConvNorm, ResNet
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_CHANNELS: Final = (256, 256, 256, 512)
_POOLINGS: Final = 4


class ResidualConvUnit3d(nn.Module):
    """RCU: batch norm and ReLU before each of 1x1x1, 3x3x3 and 1x1x1, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.body = nn.Sequential(
            *self._layer(channels, inner, 1), *self._layer(inner, inner, 3), *self._layer(inner, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, z, y, x)`` to the same."""
        y: Tensor = x + self.body(x)  # (n, c, z, y, x)
        return y

    @staticmethod
    def _layer(in_channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, ...]:
        return (
            nn.BatchNorm3d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        )


def _pooled(x: Tensor) -> Tensor:
    """The maximum of 5x5x5 voxels around each voxel of ``(n, c, z, y, x)``.

    Three windows of 5 voxels, one an axis, need an eighth of the comparisons, and with the channels last
    in memory a CPU compares many at once: 28 times faster together.
    """
    x = x.contiguous(memory_format=torch.channels_last_3d)
    for window in ((5, 1, 1), (1, 5, 1), (1, 1, 5)):
        x = functional.max_pool3d(x, window, 1, [length // 2 for length in window])
    return x


class ChainedResidualPooling3d(nn.Module):
    """CRP: ReLU, then 5x5x5 max pooling, 1x1x1 convolution and batch norm again and again, all added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvNorm(channels, channels, 1, dimensions=3) for _ in range(_POOLINGS))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, z, y, x)`` to the same."""
        pooled = total = torch.relu(x)  # (n, c, z, y, x)
        for conv in self.convs:
            pooled = conv(_pooled(pooled))  # (n, c, z, y, x)
            total = total + pooled
        return total  # (n, c, z, y, x)


class Fusion3d(nn.Module):
    """A 1x1x1 convolution and batch norm of each of two inputs; the coarser is upsampled; sum, ReLU."""

    def __init__(self, channels: int, coarse_channels: int) -> None:
        super().__init__()
        self.fine = ConvNorm(channels, channels, 1, dimensions=3)
        self.coarse = ConvNorm(coarse_channels, channels, 1, dimensions=3)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """``(n, c, z, y, x)`` and ``(n, a, z/2, y/2, x/2)`` to ``(n, c, z, y, x)``."""
        risen = functional.interpolate(
            self.coarse(coarse), fine.shape[2:], mode="trilinear"
        )  # (n, c, z, y, x)
        return torch.relu(self.fine(fine) + risen)  # (n, c, z, y, x)


class RefineBlock3d(nn.Module):
    """The 3D Refine block; without ``coarse_channels`` the coarsest, which has nothing to fuse."""

    def __init__(self, skip_channels: int, channels: int, coarse_channels: int | None = None) -> None:
        super().__init__()
        self.reduce = ConvNorm(skip_channels, channels, 1, dimensions=3)
        self.unit = ResidualConvUnit3d(channels)
        self.fusion = None if coarse_channels is None else Fusion3d(channels, coarse_channels)
        self.pooling = ChainedResidualPooling3d(channels)

    def forward(self, skip: Tensor, coarse: Tensor | None = None) -> Tensor:
        """The encoder's ``(n, skip, z, y, x)`` and ``(n, a, z/2, y/2, x/2)`` to ``(n, c, z, y, x)``."""
        x = self.unit(self.reduce(skip))  # (n, c, z, y, x)
        if self.fusion is not None:
            x = self.fusion(x, coarse)  # (n, c, z, y, x)
        refined: Tensor = self.pooling(x)  # (n, c, z, y, x)
        return refined


class RefineNetPlus3d(nn.Module):
    """Xiao's RefineNetPlus3D.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every layer.
    """

    dimensions = 3
    stride = 16

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = ResNet("bottleneck", in_channels, width, dimensions=3, pooled_stem=False)
        channels = scaled(width, *_CHANNELS)
        skips = self.encoder.channels[1:]
        self.blocks = nn.ModuleList(
            RefineBlock3d(skip, c, coarse)
            for skip, c, coarse in zip(skips, channels, (*channels[1:], None), strict=True)
        )
        self.head = nn.Conv3d(channels[0], classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, z, y, x)`` to logits ``(n, classes, z, y, x)``; sizes are padded to 16."""
        x, size = padded_to_multiple(x, self.stride)
        _, *skips = self.encoder(x)  # (n, 256, z/2, y/2, x/2) to (n, 2048, z/16, y/16, x/16)
        y = None
        for block, skip in zip(reversed(self.blocks), reversed(skips), strict=True):
            y = block(skip, y)  # (n, 512, z/16, y/16, x/16), (n, 256, z/8, ...), ..., (n, 256, z/2, y/2, x/2)
        logits = functional.interpolate(self.head(y), x.shape[2:], mode="trilinear")  # (n, classes, z, y, x)
        return cropped_to(logits, size)  # (n, classes, z, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Xiao 2022 supervises one output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "refinenet-plus-3d": NetworkEntry(
        build=RefineNetPlus3d,
        dimensions=3,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=53_539_393,
        counted="by hand",
        test_width=0.0625,
    ),
}
