"""``deeplab-v3-plus-resnet`` and ``deeplab-v3-plus-densenet``: DeepLabV3+ behind two encoders.

Paper: Chen 2018, Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation (Huang
2023's reference 19): figure 2, sections 3.1 and 4.1, tables 1 and 2. Its atrous spatial pyramid pooling
(ASPP) is that of Chen 2017, Rethinking Atrous Convolution, section 3.3. V3_R and V3_D of Huang 2023 (section
"DeeplabV3+", tables 1 and 2).

Silent or in conflict, and what was chosen:

- Huang gives no depth: ResNet50 and DenseNet-121; `resnet.py` and `densenet.py` say what was chosen there.
- Features at 1/16 with atrous rates 6, 12 and 18, the setting of Chen's section 4 for ResNet; decoder as in
  his tables 1 and 2: the features at 1/4 brought to 48 channels, then two 3x3 convolutions of 256.
- Chen's separable convolutions go with his Xception encoder; with ResNet his are plain, and so are these.
- No dropout: the paper has none. Fresh weights (PyTorch's default), none trained on photographs.
- One output, upsampled 4 times by bilinear interpolation: Huang names no deep supervision for these two.

The ASPP's image-level branch is normalised over the batch alone: training needs two samples or more a step.

Parameters, five input channels and one output, counted by hand. With h channels at 1/16 the ASPP has
256 h + 3 * 9 * 256 h + 256 h + 5 * 512, and 5 * 256 * 256 + 512 to join them: 7,424 h + 330,752.

=====================================================  ============  ============
part                                                       ResNet50  DenseNet-121
=====================================================  ============  ============
encoder, from its own docstring                          23,514,304     6,960,128
ASPP, h = 2048 and 1024                                  15,535,104     7,932,928
features at 1/4: 256 * 48 + 2 * 48                           12,384        12,384
decoder 9 * 304 * 256 + 512, 9 * 256 * 256 + 512          1,291,264     1,291,264
head 256 + 1                                                    257           257
total                                                    40,353,313    16,196,961
=====================================================  ============  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.densenet import DenseNet121
from models.networks.entry import NetworkEntry
from models.networks.resnet import ConvNormReLU, ResNet
from models.networks.sizes import cropped_to, padded_to_multiple, scaled

_RATES: Final = (6, 12, 18)
_ASPP_CHANNELS: Final = 256
_LOW_CHANNELS: Final = 48


class AtrousSpatialPyramidPooling(nn.Module):
    """Looks at the same features through a pixel, through 3x3 kernels at several rates and as a whole.

    Args:
        in_channels: of the features.
        out_channels: of every branch and of what comes out.
        rates: dilations of the 3x3 kernels.
    """

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...] = _RATES) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvNormReLU(in_channels, out_channels, 1)])
        self.branches.extend(ConvNormReLU(in_channels, out_channels, 3, rate) for rate in rates)
        self.image = ConvNormReLU(in_channels, out_channels, 1)
        self.join = ConvNormReLU((len(rates) + 2) * out_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in, y, x)`` to ``(n, out, y, x)``."""
        whole = self.image(x.mean(dim=(2, 3), keepdim=True))  # (n, out, 1, 1)
        seen = [branch(x) for branch in self.branches]  # (n, out, y, x) each
        joined: Tensor = self.join(torch.cat([*seen, whole.expand_as(seen[0])], dim=1))  # (n, out, y, x)
        return joined


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+.

    Args:
        in_channels: channels of the input.
        classes: outputs.
        width: factor on all channels, the encoder's too.
        encoder: ``resnet`` (ResNet50) or ``densenet`` (DenseNet-121).
    """

    dimensions = 2
    stride = 16

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: float = 1.0,
        *,
        encoder: Literal["resnet", "densenet"] = "resnet",
    ) -> None:
        super().__init__()
        channels, low = scaled(width, _ASPP_CHANNELS, _LOW_CHANNELS)
        self.encoder: ResNet | DenseNet121
        if encoder == "resnet":
            self.encoder = ResNet("bottleneck", in_channels, width, coarsest=16)
        else:
            self.encoder = DenseNet121(in_channels, width)
        self.aspp = AtrousSpatialPyramidPooling(self.encoder.channels[-1], channels)
        self.low = ConvNormReLU(self.encoder.channels[1], low, 1)
        self.decoder = nn.Sequential(
            ConvNormReLU(channels + low, channels, 3), ConvNormReLU(channels, channels, 3)
        )
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``."""
        x, size = padded_to_multiple(x, self.stride)
        _, low, *_, high = self.encoder(x)  # (n, 256, y/4, x/4), (n, 2048 or 1024, y/16, x/16)
        low = self.low(low)  # (n, 48, y/4, x/4)
        high = functional.interpolate(self.aspp(high), low.shape[2:], mode="bilinear")  # (n, 256, y/4, x/4)
        logits = self.head(self.decoder(torch.cat([high, low], dim=1)))  # (n, classes, y/4, x/4)
        return cropped_to(
            functional.interpolate(logits, x.shape[2:], mode="bilinear"), size
        )  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone."""
        return (self.forward(x),)


def _entry(encoder: Literal["resnet", "densenet"], parameters: int) -> NetworkEntry:
    return NetworkEntry(
        build=partial(DeepLabV3Plus, encoder=encoder),
        dimensions=2,
        paper="huang-2023",
        in_channels=5,
        classes=1,
        parameters=parameters,
        counted="by hand",
        test_width=0.125,
    )


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "deeplab-v3-plus-resnet": _entry("resnet", 40_353_313),
    "deeplab-v3-plus-densenet": _entry("densenet", 16_196_961),
}
