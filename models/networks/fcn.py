"""``fcn``: FCN-8s on a ResNet50, a 2D baseline of Xiao 2022.

Paper: Xiao 2022, section 2.2 and figure 1b; Shelhamer 2017, Fully Convolutional Networks for Semantic
Segmentation (its reference 24): section 4, figure 3 and table 3 (FCN-8s). Three features are scored by 1x1
convolutions, at 1/32, 1/16 and 1/8; each score is upsampled by 2 and added to the next finer, and the last
is upsampled by 8.

Silent or in conflict, and what was chosen:

- Which FCN: FCN-8s, the finest and best of Shelhamer's.
- Which encoder: ResNet50, the one that Xiao's own network has. Shelhamer's is VGG16 with its two layers of
  4096 channels, 134 M parameters in all. What speaks against it is the time that Xiao prints: FCN needs 3.3
  to 4.1 s, as RefineNet (3.2 to 3.9) and CE-Net (3.6 to 4.2), and U-Net 8.0 to 8.3, while on 512x512
  VGG16's FCN computes about half as much as U-Net and several times as much as RefineNet. And with one
  encoder the baseline differs from RefineNet in its decoder alone.
- The text gives FCN 8.2 s and U-Net 4.8 s for the organs at risk; table 2, the abstract and the CTV's times
  in the same paragraph have it the other way round, and are followed.
- Upsampling by 2 is a transposed convolution (4x4) that begins as bilinear interpolation and is learned,
  that by 8 stays bilinear (Shelhamer, section 4.3). Scores start from PyTorch's default, not from nought,
  because the encoder too starts fresh.

Parameters, one input channel and one output, counted by hand:

======================================================  ============
ResNet50, one input channel: 23,508,032 - 2 * 49 * 64     23,501,760
scores 2048 + 1, 1024 + 1, 512 + 1                             3,587
two transposed convolutions, 16 each                              32
total                                                     23,505,379
======================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.resnet import ResNet
from models.networks.sizes import cropped_to, padded_to_multiple

_TWICE: Final = (0.25, 0.75, 0.75, 0.25)
"""Bilinear interpolation to twice the size, along one axis, as the kernel of a transposed convolution."""


def doubling(classes: int) -> nn.ConvTranspose2d:
    """A transposed convolution to twice the size that begins as bilinear interpolation of each class."""
    layer = nn.ConvTranspose2d(classes, classes, 4, 2, 1, bias=False)
    along = torch.tensor(_TWICE)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(classes).view(classes, classes, 1, 1) * torch.outer(along, along))
    return layer


class Fcn8s(nn.Module):
    """FCN-8s.

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
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in self.encoder.channels[2:])
        self.doublings = nn.ModuleList(doubling(classes) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 32."""
        x, size = padded_to_multiple(x, self.stride)
        features = self.encoder(x)[2:]  # (n, 512, y/8, x/8), (n, 1024, y/16, x/16), (n, 2048, y/32, x/32)
        scores = [score(feature) for score, feature in zip(self.scores, features, strict=True)]
        y = scores.pop()  # (n, classes, y/32, x/32)
        for double in self.doublings:
            y = double(y) + scores.pop()  # (n, classes, y/16, x/16), (n, classes, y/8, x/8)
        logits = functional.interpolate(y, x.shape[2:], mode="bilinear")  # (n, classes, y, x)
        return cropped_to(logits, size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Xiao 2022 supervises one output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "fcn": NetworkEntry(
        build=Fcn8s,
        dimensions=2,
        paper="xiao-2022",
        in_channels=1,
        classes=1,
        parameters=23_505_379,
        counted="by hand",
        test_width=0.125,
    ),
}
