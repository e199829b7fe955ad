"""``unet``: the 2D U-Net, a baseline in four of the five papers.

Paper: Ronneberger 2015, U-Net: section 2 and figure 1. Xiao 2022, section 2.2 and figure 1c; Huang 2023,
section "U-Net and Its Variants"; Liu X. 2024, table 1; Liu Z. 2020. Channels 64 to 1024 over five levels,
two 3x3 convolutions a level, max pooling down, 2x2 transposed convolutions up, skips concatenated.

Where it differs from Ronneberger, and what was chosen; no paper says more than "U-Net":

- Convolutions are padded, so that the output has the image's size. His are not: 572 pixels come out as 388,
  and border tiles are mirrored.
- Batch norm follows every 3x3 convolution, in place of its bias, as in every U-Net here; so the compared
  networks differ in nothing else. His has none: batch norm was published in the same year.
- No dropout at the end of the contracting path: his is there to teach from thirty images.
- PyTorch's default initialisation, where a recipe names no other.
- One input channel and one output are counted (Xiao 2022); Huang gives five slices as channels.

Parameters, one input channel and one output, counted by hand. Two convolutions from a to b channels with
their batch norms have 9 ab + 9 b² + 4 b, a transposed one from 2c to c 8 c² + c:

=====================================================  ============
encoder 1, 64, 128, 256, 512, 1024                       18,846,016
transposed convolutions, c 512, 256, 128, 64              2,786,240
decoder, from 2c to c: 27 c² + 4 c                        9,404,160
head 64 + 1                                                      65
total                                                    31,036,481
=====================================================  ============

Ronneberger's own, with biases in place of batch norm, has 31,030,593 for the same input and output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_CHANNELS: Final = (64, 128, 256, 512, 1024)


class TwoConvolutions(nn.Sequential):
    """U-Net's stage: twice a 3x3 convolution, batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Unet(nn.Module):
    """U-Net.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every level.
        channels: of the five levels at ``width`` 1, finest first.
    """

    dimensions = 2
    stride = 16

    def __init__(
        self, in_channels: int, classes: int, width: float = 1.0, *, channels: Sequence[int] = _CHANNELS
    ) -> None:
        super().__init__()
        c = scaled(width, *channels)
        fine_first = range(len(c) - 1)
        self.encoder = nn.ModuleList(
            TwoConvolutions(a, b) for a, b in zip([in_channels, *c[:-1]], c, strict=True)
        )
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(c[i + 1], c[i], 2, 2) for i in reversed(fine_first))
        self.decoder = nn.ModuleList(TwoConvolutions(2 * c[i], c[i]) for i in reversed(fine_first))
        self.head = nn.Conv2d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 16."""
        x, size = padded_to_multiple(x, self.stride)
        skips: list[Tensor] = []
        for depth, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if depth else x)  # (n, 64 * 2^depth, y/2^depth, x/2^depth)
            skips.append(x)
        x = skips.pop()  # (n, 1024, y/16, x/16)
        for up, block in zip(self.upsample, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))  # (n, 512, y/8, x/8) to (n, 64, y, x)
        return cropped_to(self.head(x), size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: one output is supervised."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "unet": NetworkEntry(
        build=Unet,
        dimensions=2,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=31_036_481,
        counted="by hand",
        test_width=0.125,
    ),
}
