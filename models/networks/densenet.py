"""DenseNet-121 as an encoder: features at 1/4 and, by dilation in place of the last halving, at 1/16.

Paper: Huang G. et al., Densely Connected Convolutional Networks, CVPR 2017: section 3 (dense connectivity,
bottleneck, transition, growth rate) and table 1 (DenseNet-121). Huang M. 2023 puts it before DeepLabV3+.

A layer sees everything before it: batch norm, ReLU, 1x1 convolution to four times the growth, batch norm,
ReLU, 3x3 convolution to ``growth`` channels; its output is appended to its input. A transition halves the
channels by a 1x1 convolution and the size by mean pooling.

Huang 2023 says "DenseNet" and no more. Chosen:

- 121 layers, the smallest of table 1: growth 32, 64 channels after the stem.
- The third transition does not pool and the fourth block is dilated by 2, so that the coarsest features stand
  at 1/16, where DeepLabV3+ has its own. No weight's shape changes by that.
- Fresh weights (PyTorch's default), no classifier, none trained on photographs.

Parameters, counted by hand, for five input channels. No convolution has a bias; batch norm has 2 a channel.
A layer that sees i channels has 2 i + 128 i + 2 * 128 + 9 * 128 * 32 = 130 i + 37,120, and i grows by 32 a
layer; a transition from i channels has 2 i + i * i / 2.

=====================================================  ============
stem 7 * 7 * 5 * 64 + 2 * 64                                 15,808
block 1, 6 layers from 64                                   335,040
transition from 256                                          33,280
block 2, 12 layers from 128                                 919,680
transition from 512                                         132,096
block 3, 24 layers from 256                               2,837,760
transition from 1024                                        526,336
block 4, 16 layers from 512                               2,158,080
last batch norm 2 * 1024                                      2,048
total                                                     6,960,128
=====================================================  ============

With three input channels that is 6,953,856; with the classifier's 1,025,000 the well-known 7,978,856.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from models.networks.sizes import scaled

_LAYERS: Final = (6, 12, 24, 16)
_GROWTH: Final = 32
_BOTTLENECK: Final = 4


class DenseLayer(nn.Module):
    """Appends ``growth`` channels, made of everything before it, to its input."""

    def __init__(self, in_channels: int, growth: int, dilation: int = 1) -> None:
        super().__init__()
        inner = _BOTTLENECK * growth
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, growth, 3, padding=dilation, dilation=dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, y, x)`` to ``(n, in + growth, y, x)``, the input first."""
        new = self.conv1(torch.relu(self.norm1(x)))  # (n, 4 growth, y, x)
        new = self.conv2(torch.relu(self.norm2(new)))  # (n, growth, y, x)
        return torch.cat([x, new], dim=1)  # (n, in + growth, y, x)


class DenseBlock(nn.Sequential):
    """``layers`` dense layers one after the other."""

    def __init__(self, in_channels: int, layers: int, growth: int, dilation: int = 1) -> None:
        super().__init__(*(DenseLayer(in_channels + i * growth, growth, dilation) for i in range(layers)))


class Transition(nn.Sequential):
    """Between two blocks: half the channels and, if ``halve``, half the size."""

    def __init__(self, in_channels: int, halve: bool) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
            nn.AvgPool2d(2) if halve else nn.Identity(),
        )


class DenseNet121(nn.Module):
    """DenseNet-121 without its classifier, for inputs whose sizes are multiples of 16.

    Args:
        in_channels: channels of the input.
        width: factor on the growth rate and on the stem's channels.

    Attributes:
        channels: of the five features that ``forward`` gives.
    """

    def __init__(self, in_channels: int, width: float = 1.0) -> None:
        super().__init__()
        (growth,) = scaled(width, _GROWTH)
        stem = 2 * growth
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        channels = [stem]
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for number, layers in enumerate(_LAYERS):
            seen = stem if number == 0 else channels[-1] // 2
            if number:
                self.transitions.append(Transition(channels[-1], halve=number < len(_LAYERS) - 1))
            last = number == len(_LAYERS) - 1
            self.blocks.append(DenseBlock(seen, layers, growth, dilation=2 if last else 1))
            channels.append(seen + layers * growth)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.channels = tuple(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the stem at 1/2 and of the blocks at 1/4, 1/8, 1/16 and 1/16; in ``(n, in, y, x)``."""
        stem = self.stem(x)  # (n, 64, y/2, x/2)
        first = self.blocks[0](self.pool(stem))  # (n, 256, y/4, x/4)
        second = self.blocks[1](self.transitions[0](first))  # (n, 512, y/8, x/8)
        third = self.blocks[2](self.transitions[1](second))  # (n, 1024, y/16, x/16)
        fourth = self.blocks[3](self.transitions[2](third))  # (n, 1024, y/16, x/16)
        fourth = torch.relu(self.norm(fourth))  # (n, 1024, y/16, x/16)
        return stem, first, second, third, fourth
