"""``ce-net``: context encoder network, a 2D U-shape on a ResNet34 with DAC and RMP blocks at its bottom.

Paper: Xiao 2022, section 2.2 and figure 1d; Gu 2019, CE-Net (its reference 26): sections II-A to II-C,
figure 2 (network), figure 3 (dense atrous convolution, DAC), figure 4 (residual multi-kernel pooling, RMP).

Silent or in conflict, and what was chosen:

- Gu draws each branch of DAC with convolutions of its own. In the authors' released program branches share
  them: one 3x3 for each of the rates 1, 3 and 5 and one 1x1. The program is followed, since its results are
  what is known as CE-Net; with branches of their own DAC alone would have 15.0 M parameters in place of 7.3
  M.
- The same holds for the 1x1 convolution to one channel after RMP's four poolings: one, shared.
- RMP pools windows of 2, 3, 5 and 6. The paper's 14x14 is not a multiple of 3 or 5: a window at the far
  border that is not full pools what there is, so that nothing is left out and features of any size will do.
- Skips are added, not concatenated, and come from the stages at 1/4, 1/8 and 1/16 (the program).
- The last step is a 4x4 transposed convolution to 32 channels and two 3x3 convolutions (the program).
- Fresh weights, the encoder's as in `models.networks.resnet`; Gu's had seen ImageNet.

Parameters, one input channel and one output, counted by hand. A decoder block from i to o channels with q =
i/4 inside (convolutions with bias, each with batch norm) has iq + 9 q² + qo + 6 q + 3 o:

==========================================================  ============
ResNet34, one input channel: 21,284,672 - 2 * 49 * 64         21,278,400
DAC 3 * (9 * 512² + 512) + 512² + 512                          7,342,080
RMP 512 + 1                                                          513
blocks 516 to 256, 256 to 128, 128 to 64, 64 to 64               333,491
last: 16 * 64 * 32 + 32, 9 * 32² + 32, 9 * 32 + 1                 42,337
total                                                         28,996,821
==========================================================  ============
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

_WINDOWS: Final = (2, 3, 5, 6)


class DenseAtrousConvolution(nn.Module):
    """DAC: four branches of growing reach (3, 7, 9 and 19 pixels), added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rate1, self.rate3, self.rate5 = (
            nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate) for rate in (1, 3, 5)
        )
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, y, x)`` to the same."""
        one = self.rate1(x)  # (n, c, y, x)
        one_three = self.rate3(one)  # (n, c, y, x)
        branches = (
            one,
            self.pointwise(self.rate3(x)),
            self.pointwise(one_three),
            self.pointwise(self.rate5(one_three)),
        )
        for branch in branches:
            x = x + torch.relu(branch)  # (n, c, y, x)
        return x


class ResidualMultiKernelPooling(nn.Module):
    """RMP: the input and, ahead of it, one channel from each of four max poolings, upsampled bilinearly."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = len(_WINDOWS) + channels
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, y, x)`` to ``(n, 4 + c, y, x)``."""
        pooled = [
            self.conv(functional.max_pool2d(x, window, ceil_mode=True))  # (n, 1, y/window, x/window)
            for window in _WINDOWS
        ]
        risen = [functional.interpolate(each, x.shape[2:], mode="bilinear") for each in pooled]
        return torch.cat([*risen, x], dim=1)  # (n, 4 + c, y, x)


class DecoderBlock(nn.Sequential):
    """1x1 convolution to a quarter of the channels, 3x3 transposed one to twice the size, 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        inner = max(1, in_channels // 4)
        super().__init__(
            nn.Conv2d(in_channels, inner, 1),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inner, inner, 3, 2, padding=1, output_padding=1),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, out_channels, 1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class CeNet(nn.Module):
    """Context encoder network.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every layer.
    """

    dimensions = 2
    stride = 32

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = ResNet("basic", in_channels, width)
        stem, c1, c2, c3, c4 = self.encoder.channels
        (last,) = scaled(width, 32)
        self.atrous = DenseAtrousConvolution(c4)
        self.pooling = ResidualMultiKernelPooling(c4)
        self.decoder = nn.ModuleList(
            DecoderBlock(a, b) for a, b in ((self.pooling.out_channels, c3), (c3, c2), (c2, c1), (c1, stem))
        )
        self.last = nn.Sequential(
            nn.ConvTranspose2d(stem, last, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(last, last, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(last, classes, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 32."""
        x, size = padded_to_multiple(x, self.stride)
        _, *skips = self.encoder(x)  # (n, 64, y/4, x/4) to (n, 512, y/32, x/32)
        y = self.pooling(self.atrous(skips.pop()))  # (n, 516, y/32, x/32)
        for block in self.decoder:
            y = block(y)  # (n, 256, y/16, x/16), (n, 128, y/8, x/8), (n, 64, y/4, x/4), (n, 64, y/2, x/2)
            if skips:
                y = y + skips.pop()
        return cropped_to(self.last(y), size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Xiao 2022 supervises one output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "ce-net": NetworkEntry(
        build=CeNet,
        dimensions=2,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=28_996_821,
        counted="by hand",
        test_width=0.5,
    ),
}
