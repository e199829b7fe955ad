"""``cab-unet``: a 2D U-Net of Context Aggregation Blocks, each followed by squeeze-and-excitation.

Liu Z. 2020, section 2.2, Figure 1 (network), Figure 2 (Context Aggregation Block), Figure 3 (squeeze-and-
excitation, called Squeeze-Extract there), section 2.3 (batch norm and ReLU after every convolution, Xavier
uniform). A block looks at its input with 3x3 kernels of dilation 2 and 3, which see far at little cost, and
with larger plain kernels, which fill the gaps that dilation leaves, and concatenates what they find.

Silent or in conflict, and what was chosen; the figures' drawings were not at hand, only what the text says:

- "Larger" kernels: 5x5 and 7x7, the two that see as far as dilation 2 and 3 do. Each of the four convolutions
  gives a quarter of the block's channels.
- Five blocks down and five up, and features of the encoder concatenated with the decoder's at the same
  resolution: so each block down is followed by max pooling, the decoder begins at 1/32 with what the fifth
  pooling leaves, and there is no eleventh block between. Up is by transposed convolution to the skip's
  channels.
- Channels are not given. 64 at full resolution, as U-Net, with which it is said to share its processing time;
  then 128, 256, 512 and 512: with 1024 it would have 87 million parameters, and it is said to have few.
- One block stands for each pair of U-Net's 3x3 convolutions, since the network is said to be no deeper.
- Squeeze-and-excitation: ReLU between the two fully connected layers and a reduction of 16, as in its paper
  (Hu 2018); after every block. That it weighs "each organ mask" is taken as what it is for, not as its place.
- Convolutions before a batch norm have no bias. Biases elsewhere begin at zero.
- The text speaks of a "zero-mean normalisation" of the input: that is the recipe's.

Parameters, one input channel and six outputs (no background), counted by hand. A block from a to b channels
has a b/4 (9 + 9 + 25 + 49) = 23 ab weights, 2 b of its norms, and 2 b b/16 + b/16 + b of its
squeeze-and-excitation; a block up comes with a transposed convolution of 4 ab + b:

=====================================================  ============
blocks down 1, 64, 128, 256, 512, 512                    10,068,316
blocks up, from twice 512, 512, 256, 128, 64             28,154,780
transposed convolutions 512, 512, 512, 256, 128, 64       2,786,752
head 64 * 6 + 6                                                 390
total                                                    41,010,238
=====================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.sizes import cropped_to, padded_to_multiple

_CHANNELS: Final = (64, 128, 256, 512, 512)
_BRANCHES: Final = ((3, 2), (3, 3), (5, 1), (7, 1))  # kernel size, dilation
_REDUCTION: Final = 16


class SqueezeExcitation(nn.Module):
    """Weighs each channel by what two linear layers make of the means of all (Liu Z. 2020, Figure 3).

    Args:
        channels: of the input and the output.
        reduction: the inner layer has ``channels / reduction``, at least one.
    """

    def __init__(self, channels: int, reduction: int = _REDUCTION) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels, y, x)``, each channel times its weight."""
        means = x.mean(dim=(2, 3))  # (n, channels)
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))  # (n, channels)
        return x * weights[:, :, None, None]  # (n, channels, y, x)


class ContextAggregationBlock(nn.Module):
    """Four convolutions that see 5, 7, 5 and 7 pixels wide, side by side (Liu Z. 2020, Figure 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if out_channels % len(_BRANCHES):
            message = f"a context aggregation block has a multiple of {len(_BRANCHES)} channels"
            raise ValueError(message)
        part = out_channels // len(_BRANCHES)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    in_channels, part, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False
                ),
                nn.BatchNorm2d(part),
                nn.ReLU(inplace=True),
            )
            for kernel, dilation in _BRANCHES
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to ``(n, out_channels, y, x)``."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)  # (n, out, y, x)


class CabUnet(nn.Module):
    """U-Net of context aggregation blocks.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every level.
    """

    dimensions = 2
    stride = 32

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c = [4 * max(1, round(width * count / 4)) for count in _CHANNELS]
        self.down = nn.ModuleList(
            nn.Sequential(ContextAggregationBlock(a, b), SqueezeExcitation(b))
            for a, b in zip([in_channels, *c[:-1]], c, strict=True)
        )
        rising = list(zip([c[-1], *c[:0:-1]], c[::-1], strict=True))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in rising)
        self.up = nn.ModuleList(
            nn.Sequential(ContextAggregationBlock(2 * b, b), SqueezeExcitation(b)) for _, b in rising
        )
        self.head = nn.Conv2d(c[0], classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 32."""
        x, size = padded_to_multiple(x, self.stride)
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)  # (n, 64, y, x) to (n, 512, y/16, x/16)
            skips.append(x)
            x = functional.max_pool2d(x, 2)  # (n, 64, y/2, x/2) to (n, 512, y/32, x/32)
        for up, block in zip(self.upsample, self.up, strict=True):
            x = torch.cat([skips.pop(), up(x)], dim=1)  # (n, 1024, y/16, x/16) to (n, 128, y, x)
            x = block(x)  # (n, 512, y/16, x/16) to (n, 64, y, x)
        return cropped_to(self.head(x), size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Liu Z. 2020 names no further output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "cab-unet": NetworkEntry(
        build=CabUnet,
        dimensions=2,
        paper="liu-z-2020",
        in_channels=1,
        classes=6,
        parameters=41_010_238,
        counted="by hand",
        test_width=0.125,
    ),
}
