"""``refinenet``: light-weight RefineNet in 2D on a ResNet50; RCU, CRP and fusion blocks in its decoder.

Paper: Xiao 2022, section 2.2 and figure 1a, after Nekrasov 2018, Light-Weight RefineNet (its reference 22:
figure 2, table 1) and Lin 2017, RefineNet (its reference 23: sections 3.1 and 3.2, figure 3). The encoder's
last features are 32 times smaller than the image; the decoder goes up through four levels:

    coarsest:  reduce -> 2 RCU ->                                      CRP -> 3 RCU
    others:    reduce -> 2 RCU -> fusion with the next coarser level -> CRP -> 3 RCU

Silent or in conflict, and what was chosen:

- Xiao names RCU, CRP and fusion without numbers or channels, while Nekrasov's best-known variant drops the
  RCU. So it is his variant with RCU: bottlenecks (1x1, 3x3, 1x1), everything else 1x1.
- Nekrasov gives no inner channels of that bottleneck. Half of its outer ones, with 2 units before the
  fusion and 3 after the pooling as in Lin, make the 8 M by which his table tells RefineNet-101-LW-with-RCU
  (54 M parameters) from RefineNet-101-LW (46 M): 5 * (851,968 + 3 * 212,992) = 7.5 M.
- Channels: 512 at the coarsest level, 256 at the others; CRP of four poolings, 5x5 (Nekrasov).
- No batch norm in the decoder (Lin: removed from the RCU; Xiao adds it in 3D only). No convolution but the
  last has a bias. No dropout: Xiao names none.
- One input channel, the CT slice, and one output: one model a structure. The sum is upsampled four times,
  bilinearly, "with the same shape as in the original images".
- Fresh weights, the encoder's as in `models.networks.resnet`; Xiao does not say that it had seen photographs.

Parameters, one input channel and one output, counted by hand. A reduction from a to b channels has ab, an
RCU of c channels c²/2 + 9 c²/4 + c²/2 = 13 c²/4, a CRP 4 c², a fusion into c from a coarser a has ac + c²:

====================================================================  ============
ResNet50, one input channel: 23,508,032 - 2 * 49 * 64                  23,501,760
1/32, c 512: from 2048, five RCU, CRP                                   6,356,992
1/16, c 256: from 1024, fusion from 512, five RCU, CRP                  1,785,856
1/8, c 256: from 512, fusion from 256, five RCU, CRP                    1,589,248
1/4, c 256: from 256, fusion from 256, five RCU, CRP                    1,523,712
last convolution 9 * 256 + 1                                                2,305
total                                                                  34,759,873
====================================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.resnet import ResNet
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_CHANNELS: Final = (256, 256, 256, 512)
_POOLINGS: Final = 4
_UNITS_BEFORE: Final = 2
_UNITS_AFTER: Final = 3


class ResidualConvUnit(nn.Module):
    """RCU: ReLU before each of 1x1, 3x3 and 1x1, half the channels inside, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.reduce = nn.Conv2d(channels, inner, 1, bias=False)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.expand = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, y, x)`` to the same."""
        y: Tensor = self.reduce(torch.relu(x))  # (n, c/2, y, x)
        y = self.conv(torch.relu(y))  # (n, c/2, y, x)
        y = self.expand(torch.relu(y)) + x  # (n, c, y, x)
        return y


class ChainedResidualPooling(nn.Module):
    """CRP: ReLU, then 5x5 max pooling and 1x1 convolution again and again, every result added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(_POOLINGS))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, y, x)`` to the same."""
        pooled = total = torch.relu(x)  # (n, c, y, x)
        for conv in self.convs:
            pooled = conv(functional.max_pool2d(pooled, 5, 1, 2))  # (n, c, y, x)
            total = total + pooled
        return total  # (n, c, y, x)


class Fusion(nn.Module):
    """A 1x1 convolution of each of two inputs; the coarser is upsampled, bilinearly, and added."""

    def __init__(self, channels: int, coarse_channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels, channels, 1, bias=False)
        self.coarse = nn.Conv2d(coarse_channels, channels, 1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """``(n, c, y, x)`` and ``(n, a, y/2, x/2)`` to ``(n, c, y, x)``."""
        risen = functional.interpolate(self.coarse(coarse), fine.shape[2:], mode="bilinear")  # (n, c, y, x)
        fused: Tensor = self.fine(fine) + risen  # (n, c, y, x)
        return fused


class RefineBlock(nn.Module):
    """One level of the decoder; without ``coarse_channels`` the coarsest, which has nothing to fuse."""

    def __init__(self, skip_channels: int, channels: int, coarse_channels: int | None = None) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(skip_channels, channels, 1, bias=False)
        self.before = nn.Sequential(*(ResidualConvUnit(channels) for _ in range(_UNITS_BEFORE)))
        self.fusion = None if coarse_channels is None else Fusion(channels, coarse_channels)
        self.pooling = ChainedResidualPooling(channels)
        self.after = nn.Sequential(*(ResidualConvUnit(channels) for _ in range(_UNITS_AFTER)))

    def forward(self, skip: Tensor, coarse: Tensor | None = None) -> Tensor:
        """The encoder's ``(n, skip, y, x)`` and a coarser ``(n, a, y/2, x/2)`` to ``(n, c, y, x)``."""
        x = self.before(self.reduce(skip))  # (n, c, y, x)
        if self.fusion is not None:
            x = self.fusion(x, coarse)  # (n, c, y, x)
        refined: Tensor = self.after(self.pooling(x))  # (n, c, y, x)
        return refined


class RefineNet(nn.Module):
    """Light-weight RefineNet with RCU.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every layer.
    """

    dimensions = 2
    stride = 32

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = ResNet("bottleneck", in_channels, width)
        channels = scaled(width, *_CHANNELS)
        skips = self.encoder.channels[1:]
        self.blocks = nn.ModuleList(
            RefineBlock(skip, c, coarse)
            for skip, c, coarse in zip(skips, channels, (*channels[1:], None), strict=True)
        )
        self.head = nn.Conv2d(channels[0], classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 32."""
        x, size = padded_to_multiple(x, self.stride)
        _, *skips = self.encoder(x)  # (n, 256, y/4, x/4) to (n, 2048, y/32, x/32)
        y = None
        for block, skip in zip(reversed(self.blocks), reversed(skips), strict=True):
            y = block(skip, y)  # (n, 512, y/32, x/32), (n, 256, y/16, x/16), ..., (n, 256, y/4, x/4)
        logits = functional.interpolate(self.head(y), x.shape[2:], mode="bilinear")  # (n, classes, y, x)
        return cropped_to(logits, size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Xiao 2022 supervises one output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "refinenet": NetworkEntry(
        build=RefineNet,
        dimensions=2,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=34_759_873,
        counted="by hand",
        test_width=0.125,
    ),
}
