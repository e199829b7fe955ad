"""``attention-unet``: a 2D U-Net whose skips pass additive attention gates.

Liu X. 2024 compares with it (Table 1, Figure 6) and says no more of it than its two references: Oktay 2018
(its 30) and Schlemper 2019 (its 31). The gate is Oktay's Figure 2 and equations 1 and 2: the skip ``x`` is
brought to the resolution of the gating signal ``g``, both are mapped linearly and added, and one
coefficient a pixel comes back to the size of ``x``.

Silent or in conflict, and what was chosen:

- Oktay's network is 3D and begins with few channels; Liu's comparison is on slices, beside U-Net. So: U-Net's
  channels, 64 to 1024, batch norm after each convolution, transposed convolutions up.
- Oktay draws a gate on every skip and writes that the finest skip is left out of the gating, being too near
  to the image. The text rules: three gates, the finest skip is plain.
- ``g`` is the decoder's feature one level coarser, before it is upsampled (Oktay, Figure 2).
- The gate's inner channels are not given: half of the skip's. ``x`` comes to the size of ``g`` by a 2x2
  convolution with stride 2 and without bias (equation 1 has one bias, that of ``g``).
- Oktay's deep supervision is left out: Liu names none.

Parameters, one input channel and five outputs (background and four structures), counted by hand. Two 3x3
convolutions with batch norm from a to b channels have 9 ab + 9 b² + 4 b; a gate on a skip of c channels with
g of 2c and c/2 inside has 4 c c/2 + 2 c c/2 + c/2 + c/2 + 1 = 3 c² + c + 1:

=====================================================  ============
encoder 1, 64, 128, 256, 512, 1024                       18,846,016
transposed convolutions, 2c to c: 8 c² + c                2,786,240
gates on c = 128, 256, 512                                1,033,091
decoder, from 2c to c: 27 c² + 4 c                        9,404,160
head 64 * 5 + 5                                                 325
total                                                    32,069,832
=====================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.sizes import cropped_to, padded_to_multiple, scaled
from models.networks.unet import TwoConvolutions

_CHANNELS: Final = (64, 128, 256, 512, 1024)


class AttentionGate(nn.Module):
    """Weighs each pixel of a skip by what a coarser feature makes of it (Oktay 2018, equations 1 and 2).

    Args:
        skip_channels: of ``x``.
        gating_channels: of ``g``, which is at half the resolution of ``x``.
        inner_channels: of the space in which the two are added.
    """

    def __init__(self, skip_channels: int, gating_channels: int, inner_channels: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(skip_channels, inner_channels, 2, 2, bias=False)
        self.of_gating = nn.Conv2d(gating_channels, inner_channels, 1)
        self.psi = nn.Conv2d(inner_channels, 1, 1)

    def coefficients(self, x: Tensor, g: Tensor) -> Tensor:
        """The attention of every pixel of ``x``, 0 to 1."""
        inner = torch.relu(self.of_skip(x) + self.of_gating(g))  # (n, inner, y/2, x/2)
        alpha = torch.sigmoid(self.psi(inner))  # (n, 1, y/2, x/2)
        return functional.interpolate(alpha, x.shape[2:], mode="bilinear")  # (n, 1, y, x)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """``x`` ``(n, skip, y, x)`` times its attention."""
        return x * self.coefficients(x, g)  # (n, skip, y, x)


class AttentionUnet(nn.Module):
    """U-Net with attention gates.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every level.
    """

    dimensions = 2
    stride = 16

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c = scaled(width, *_CHANNELS)
        self.encoder = nn.ModuleList(
            TwoConvolutions(a, b) for a, b in zip((in_channels, *c), c, strict=False)
        )
        self.gates = nn.ModuleList(AttentionGate(c[i], c[i + 1], max(1, c[i] // 2)) for i in (3, 2, 1))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(c[i + 1], c[i], 2, 2) for i in (3, 2, 1, 0))
        self.decoder = nn.ModuleList(TwoConvolutions(2 * c[i], c[i]) for i in (3, 2, 1, 0))
        self.head = nn.Conv2d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 16."""
        x, size = padded_to_multiple(x, self.stride)
        skips: list[Tensor] = []
        for depth, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if depth else x)  # (n, 64 * 2^depth, y/2^depth, x/2^depth)
            skips.append(x)
        x = skips.pop()  # (n, 1024, y/16, x/16)
        for level, (up, block) in enumerate(zip(self.upsample, self.decoder, strict=True)):
            skip = skips.pop()  # (n, 512, y/8, x/8) and finer
            if level < len(self.gates):
                skip = self.gates[level](skip, x)
            x = block(torch.cat([skip, up(x)], dim=1))  # (n, 512, y/8, x/8) and finer
        return cropped_to(self.head(x), size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Liu X. 2024 names no further output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "attention-unet": NetworkEntry(
        build=AttentionUnet,
        dimensions=2,
        paper="liu-x-2024",
        in_channels=1,
        classes=5,
        parameters=32_069_832,
        counted="by hand",
        test_width=0.125,
    ),
}
