"""ResNet34 and ResNet50 as encoders: the features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.

Paper: He et al., Deep Residual Learning for Image Recognition, CVPR 2016: sections 3.3 and 4.1, figure 5 (the
two blocks) and table 1 (numbers of blocks). Encoders of Xiao 2022 (RefineNet: 50 layers; CE-Net: 34), of
Huang 2023 (DeepLabV3+) and of Liu X. 2024 (34).

Chosen where the papers differ or are silent:

- A bottleneck halves in its 3x3 convolution, as today's implementations do, not in its first 1x1.
- ``coarsest=16`` dilates the 3x3 convolutions of the last stage by 2 in place of its halving (DeepLab). No
  weight's shape changes by that.
- ``dimensions=3`` makes every convolution, batch norm and pooling three-dimensional.
- ``pooled_stem=False`` leaves the max pooling out: everything after the stem is then twice as fine.
- Fresh weights, no classifier, none trained on photographs. PyTorch's default but for each block's last batch
  norm, which begins at 0 (Goyal 2017, section 5.1): fifty fresh layers are otherwise so sensitive that with
  two small images a step the network in use gives other answers than in training.

Parameters, counted by hand, for three input channels and two dimensions. No convolution has a bias; batch
norm has 2 a channel. A basic block keeping c channels has 18 c² + 4 c, one from c/2 to c with its projection
14 c² + 6 c. A bottleneck of c inside keeping 4 c has 17 c² + 12 c, one from i to 4 c with its projection
5 ic + 13 c² + 20 c:

=========================  ==========  ==========
layers                       ResNet34    ResNet50
=========================  ==========  ==========
stem 7 * 7 * 3 * 64 + 128       9,536       9,536
stage 1, 3 blocks, c 64       221,952     215,808
stage 2, 4 blocks, c 128    1,116,416   1,219,584
stage 3, 6 blocks, c 256    6,822,400   7,098,368
stage 4, 3 blocks, c 512   13,114,368  14,964,736
total                      21,284,672  23,508,032
=========================  ==========  ==========

With their classifiers, 513,000 and 2,049,000, these are the well-known 21,797,672 and 25,557,032.
"""

from __future__ import annotations

from typing import Final, Literal

from torch import Tensor, nn

from models.networks.sizes import scaled

_STEM: Final = 64
_INNER: Final = (64, 128, 256, 512)
_BLOCKS: Final = (3, 4, 6, 3)
_CONV: Final = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: Final = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL: Final = {2: nn.MaxPool2d, 3: nn.MaxPool3d}

Dimensions = Literal[2, 3]
Kind = Literal["basic", "bottleneck"]


class ConvNorm(nn.Sequential):
    """A convolution without bias that keeps the size (or divides it by ``stride``), and batch norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        dimensions: Dimensions = 2,
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            _CONV[dimensions](in_channels, out_channels, kernel, stride, padding, dilation, bias=False),
            _NORM[dimensions](out_channels),
        )


class ConvNormReLU(nn.Sequential):
    """`ConvNorm` in two dimensions, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(
            ConvNorm(in_channels, out_channels, kernel, dilation=dilation), nn.ReLU(inplace=True)
        )


class ResidualBlock(nn.Module):
    """Convolutions added to their input, then ReLU (He 2016, figure 5).

    Args:
        kind: ``basic``, two 3x3 convolutions; ``bottleneck``, 1x1, 3x3, 1x1 to four times ``inner``.
        in_channels: of the input.
        inner: channels of the 3x3 convolutions.
        stride: divides the size.
        dilation: of the 3x3 convolutions.
        dimensions: 2 or 3.
    """

    def __init__(
        self,
        kind: Kind,
        in_channels: int,
        inner: int,
        stride: int = 1,
        dilation: int = 1,
        dimensions: Dimensions = 2,
    ) -> None:
        super().__init__()
        self.out_channels = inner if kind == "basic" else 4 * inner
        relu = nn.ReLU(inplace=True)
        if kind == "basic":
            self.body = nn.Sequential(
                ConvNorm(in_channels, inner, 3, stride, dilation, dimensions),
                relu,
                ConvNorm(inner, inner, 3, 1, dilation, dimensions),
            )
        else:
            self.body = nn.Sequential(
                ConvNorm(in_channels, inner, 1, dimensions=dimensions),
                relu,
                ConvNorm(inner, inner, 3, stride, dilation, dimensions),
                relu,
                ConvNorm(inner, self.out_channels, 1, dimensions=dimensions),
            )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != self.out_channels:
            self.shortcut = ConvNorm(in_channels, self.out_channels, 1, stride, dimensions=dimensions)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, ...)`` to ``(n, out, .../stride)``."""
        y: Tensor = self.relu(self.body(x) + self.shortcut(x))  # (n, out, .../stride)
        return y


class ResNet(nn.Module):
    """Stem and four stages.

    Args:
        kind: ``basic`` makes ResNet34, ``bottleneck`` ResNet50.
        in_channels: channels of the input.
        width: factor on the channels of every layer.
        coarsest: 32, or 16 for a dilated last stage.
        dimensions: 2 or 3.
        pooled_stem: whether the stem ends with max pooling.

    Attributes:
        channels: of the five features that ``forward`` gives.
    """

    def __init__(
        self,
        kind: Kind,
        in_channels: int,
        width: float = 1.0,
        *,
        coarsest: Literal[16, 32] = 32,
        dimensions: Dimensions = 2,
        pooled_stem: bool = True,
    ) -> None:
        super().__init__()
        stem, *inner = scaled(width, _STEM, *_INNER)
        self.stem = nn.Sequential(
            ConvNorm(in_channels, stem, 7, 2, dimensions=dimensions), nn.ReLU(inplace=True)
        )
        self.pool = _MAX_POOL[dimensions](3, 2, 1) if pooled_stem else nn.Identity()
        self.stages = nn.ModuleList()
        channels = [stem]
        for number, (c, count) in enumerate(zip(inner, _BLOCKS, strict=True)):
            dilation = 2 if number == 3 and coarsest == 16 else 1
            stride = 2 if number > 0 and dilation == 1 else 1
            first = ResidualBlock(kind, channels[-1], c, stride, dilation, dimensions)
            others = (
                ResidualBlock(kind, first.out_channels, c, 1, dilation, dimensions) for _ in range(count - 1)
            )
            self.stages.append(nn.Sequential(first, *others))
            channels.append(first.out_channels)
        self.channels = tuple(channels)
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                *_, last = block.body.children()
                *_, norm = last.children()
                nn.init.zeros_(norm.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the stem and of each stage, finest first.

        The shapes below are those of ``(n, in_channels, y, x)``, 34 layers at width 1; with 50 the stages
        give 256 to 2048 channels.
        """
        features = [self.stem(x)]  # (n, 64, y/2, x/2)
        x = self.pool(features[0])  # (n, 64, y/4, x/4)
        for stage in self.stages:
            x = stage(x)  # (n, 64, y/4, x/4), (n, 128, y/8, x/8), (n, 256, y/16, x/16), (n, 512, y/32, x/32)
            features.append(x)
        return tuple(features)
