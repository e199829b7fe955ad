"""``unet-plus-plus``: U-Net++, nested dense skips between encoder and decoder, supervised at every depth.

Paper: Zhou 2018, UNet++: A Nested U-Net Architecture for Medical Image Segmentation (Huang 2023's reference
16): figure 1a, equation 1, section 3. Node X(i, j) stands at scale i: X(i, 0) is the encoder, X(i, j) takes
[X(i, 0), ..., X(i, j - 1), up(X(i + 1, j - 1))]. Baseline of Huang 2023 (section "U-Net and Its Variants",
tables 1 and 2: Unet++) and of Liu X. 2024.

Silent or in conflict, and what was chosen:

- Neither baseline prints channels: 32 to 512 are Zhou's (section 3).
- A node is two 3x3 convolutions, each with batch norm and ReLU; Zhou names neither. Upsampling is a 2x2
  transposed convolution, which makes Zhou's 9.04 million parameters (his table 3).
- Zhou supervises X(0, 1) to X(0, 4), all at full size, and predicts with their mean ("accurate") or with one
  ("fast"). Here the prediction is X(0, 4), his L4; which of the two the baselines used is not said.
- Fresh weights: PyTorch's default.

Parameters, five input channels and one output, counted by hand. With c channels at scale i, X(i, 0) has
13.5 c² + 4 c (two convolutions from c/2), a node above it (8 c² + c) + (9 (j + 1) c² + 9 c² + 4 c):

=====================================================  ============
X(0, 0): 9 * 5 * 32 + 9 * 32² + 4 * 32                       10,784
X(1, 0) to X(4, 0), c = 64, 128, 256, 512                 4,704,000
X(0, 1) to X(0, 4): 194 c² + 20 c, c = 32                   199,296
X(1, 1) to X(1, 3): 132 c² + 15 c, c = 64                   541,632
X(2, 1), X(2, 2): 79 c² + 10 c, c = 128                   1,295,616
X(3, 1): 35 c² + 5 c, c = 256                             2,295,040
heads 4 * (32 + 1)                                              132
total                                                     9,046,500
=====================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.sizes import cropped_to, padded_to_multiple, scaled
from models.networks.unet import TwoConvolutions

_CHANNELS: Final = (32, 64, 128, 256, 512)


class NestedNode(nn.Module):
    """X(i, j): all nodes before it at its scale and the one below, upsampled, through two convolutions."""

    def __init__(self, channels: int, below: int, before: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(below, channels, 2, 2)
        self.convolutions = TwoConvolutions((before + 1) * channels, channels)

    def forward(self, before: list[Tensor], below: Tensor) -> Tensor:
        """``before`` is X(i, 0) to X(i, j - 1), ``below`` X(i + 1, j - 1)."""
        x = torch.cat([*before, self.up(below)], dim=1)  # (n, (j + 1) channels, y/2^i, x/2^i)
        y: Tensor = self.convolutions(x)  # (n, channels, y/2^i, x/2^i)
        return y


class UnetPlusPlus(nn.Module):
    """U-Net++ of five scales.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on the channels of every scale.
    """

    dimensions = 2
    stride = 16

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c = scaled(width, *_CHANNELS)
        self.encoder = nn.ModuleList(
            TwoConvolutions(a, b) for a, b in zip((in_channels, *c[:-1]), c, strict=True)
        )
        self.nodes = nn.ModuleList(  # nodes[j - 1][i] is X(i, j)
            nn.ModuleList(NestedNode(c[i], c[i + 1], j) for i in range(len(c) - j)) for j in range(1, len(c))
        )
        self.heads = nn.ModuleList(nn.Conv2d(c[0], classes, 1) for _ in self.nodes)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to the logits of X(0, 4), ``(n, classes, y, x)``."""
        return self.scales(x)[0]

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of X(0, 4), X(0, 3), X(0, 2) and X(0, 1), all at full size."""
        x, size = padded_to_multiple(x, self.stride)
        grid: list[list[Tensor]] = []  # grid[i] is X(i, 0), X(i, 1) and on
        for scale, stage in enumerate(self.encoder):
            x = stage(functional.max_pool2d(x, 2) if scale else x)  # (n, 32 * 2^i, y/2^i, x/2^i)
            grid.append([x])
        for column in self.nodes:  # X(0, j) is made before X(1, j), so the last of grid[1] is X(1, j - 1)
            for scale, node in enumerate(cast(nn.ModuleList, column)):
                grid[scale].append(node(grid[scale], grid[scale + 1][-1]))  # (n, 32 * 2^i, y/2^i, x/2^i)
        outputs = [head(x) for head, x in zip(self.heads, grid[0][1:], strict=True)]  # (n, classes, y, x)
        return tuple(cropped_to(logits, size) for logits in reversed(outputs))


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "unet-plus-plus": NetworkEntry(
        build=UnetPlusPlus,
        dimensions=2,
        paper="huang-2023",
        in_channels=5,
        classes=1,
        parameters=9_046_500,
        counted="by hand",
        test_width=0.125,
    ),
}
