"""``unet-res-enc``: a 3D U-Net of residual blocks with instance norm and deep supervision.

The shape of today's reference networks (residual encoder, strided convolutions down, transposed ones up);
no single paper fixes it. Choices of ours: residual blocks in the decoder too, shortcuts by average pooling
and a 1x1x1 convolution, one auxiliary head at half resolution.

Parameters, two input channels and fifteen outputs, counted by hand. A residual block from ``a`` to ``b``
channels has 27 ab + 27 b² weights, 4 b of its norms, and ab of its shortcut unless it keeps channels and
size:

===========================================  ===========
stem 27 * 2 * 24                                   1,296
encoder 24, 48, 96, 160, 224                   3,985,184
transposed convolutions, 8 ab each               455,680
decoder, blocks from 2b to b, 83 b² + 4 b      3,130,080
heads 24 * 15 + 15 and 48 * 15 + 15                1,110
total                                          7,573,350
===========================================  ===========
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_SLOPE = 0.01


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with instance norm, added to a shortcut; ``stride`` 2 halves every axis."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.InstanceNorm3d(out_channels, affine=True)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.InstanceNorm3d(out_channels, affine=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            pool = nn.AvgPool3d(stride) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv3d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, z, y, x)`` to ``(n, out, z/stride, y/stride, x/stride)``."""
        y = functional.leaky_relu(self.norm1(self.conv1(x)), _SLOPE, inplace=True)
        y = self.norm2(self.conv2(y))
        return functional.leaky_relu(y + self.shortcut(x), _SLOPE, inplace=True)


class UnetResEnc(nn.Module):
    """Residual-encoder U-Net.

    Args:
        in_channels: channels of the input, as the card's ``input.channels`` lists them.
        classes: outputs, background included.
        width: factor on the channels of every level.
        features: channels of each level at ``width`` 1, finest first; at least two levels.

    The head at half resolution always exists, so that the same weights load for training and for use.
    """

    dimensions = 3

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: float = 1.0,
        features: Sequence[int] = (24, 48, 96, 160, 224),
    ) -> None:
        super().__init__()
        if len(features) < 2:
            message = "unet-res-enc needs at least two levels of features"
            raise ValueError(message)
        features = scaled(width, *features)
        levels = range(len(features) - 1, 0, -1)
        self.stem = nn.Conv3d(in_channels, features[0], 3, 1, 1, bias=False)
        self.encoder = nn.ModuleList([ResidualBlock(features[0], features[0])])
        self.encoder.extend(ResidualBlock(features[i - 1], features[i], 2) for i in range(1, len(features)))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(features[i], features[i - 1], 2, 2, bias=False) for i in levels
        )
        self.decoder = nn.ModuleList(ResidualBlock(2 * features[i - 1], features[i - 1]) for i in levels)
        self.head = nn.Conv3d(features[0], classes, 1)
        self.half_head = nn.Conv3d(features[1], classes, 1)

    @property
    def stride(self) -> int:
        """Of the coarsest features."""
        return 1 << (len(self.encoder) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, z, y, x)`` to logits ``(n, classes, z, y, x)``."""
        return cropped_to(self.head(self._decode(x)[0]), x.shape[2:])  # (n, classes, z, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits for deep supervision: at full and at half resolution, ``(z + 1) // 2`` and so on."""
        full, half = self._decode(x)
        half_size = [(length + 1) // 2 for length in x.shape[2:]]
        return (
            cropped_to(self.head(full), x.shape[2:]),  # (n, classes, z, y, x)
            cropped_to(self.half_head(half), half_size),  # (n, classes, z/2, y/2, x/2)
        )

    def _decode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the two finest levels of the decoder, finest first, of sizes padded to the stride."""
        x, _ = padded_to_multiple(x, self.stride)
        if x.shape[2:].numel() == self.stride**3:  # one voxel at the coarsest level has no variance
            x = functional.pad(x, (0, self.stride, 0, 0, 0, 0), mode="replicate")
        x = self.stem(x)  # (n, 24, z, y, x)
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(x)  # (n, 24, z, y, x) to (n, 224, z/16, y/16, x/16)
            skips.append(x)
        half = x = skips.pop()  # (n, 224, z/16, y/16, x/16)
        for up, block in zip(self.upsample, self.decoder, strict=True):
            half = x
            x = block(torch.cat([up(x), skips.pop()], dim=1))  # (n, 160, z/8, y/8, x/8) to (n, 24, z, y, x)
        return x, half


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "unet-res-enc": NetworkEntry(
        build=UnetResEnc,
        dimensions=3,
        paper="house",
        in_channels=2,
        classes=15,
        parameters=7_573_350,
        counted="by hand",
        test_width=0.34,
    ),
}
