"""M-Net and what Huang 2023 makes of it: six names from one contracting and one expanding path.

Paper: Huang M. 2023, figure 1 (M-Net), figure 2 (Mnet_Im), section "Methods", tables 1 to 5. M-Net is that
of Fu 2018, Joint Optic Disc and Cup Segmentation (Huang's reference 20): a U-Net with an image pyramid on its
way down and an output at every scale on its way up.

=========  =========================================  ===================  =======================
name       channels                                   kernels at inputs    outputs
=========  =========================================  ===================  =======================
mnet       32, 64, 128, 256, 512                      32, 64, 128, 256     4 upsampled, their mean
mnet-wide  64, 128, 256, 512, 1024 ("factor of 2")    64, 128, 256, 512    4 upsampled, their mean
mnet-64    as mnet                                    64 at 4 scales       4 upsampled, their mean
mnet-32    as mnet                                    32 at 4 scales       4 upsampled, their mean
mnet-im    as mnet                                    64 at 5 scales       5, progressively fused
unet-mo    64, 128, 256, 512, 1024 (U-Net's)          64, full size only   5, progressively fused
=========  =========================================  ===================  =======================

Silent or in conflict, and what was chosen:

- The text prints no channels. "The same as they are set when they are first proposed": Fu's 32 to 512 for
  M-Net, U-Net's 64 to 1024. Mnet_Im is M-Net improved and keeps its channels; "consistency of the feature map
  channels is maintained" (table 4: U-Net, Unet_mo, wideMnet, Mnet_Im) is read to be about U-Net and Unet_mo.
- "Kernels which are directly connected to inputs in each image resolution" are the first convolution of every
  input scale, the full one too: with 64 it goes 5 -> 64 -> 32 there.
- The pyramid is made by mean pooling, and each scale's convolution of it is concatenated with what is pooled
  from the scale above (Fu). Input and output branch of Mnet_Im's bottom follow the pattern of the others.
- Progressive fusion sums logits: only "the final outputs" pass the sigmoid. Its factor of 2 is bilinear,
  since smoothness is its aim.
- M-Net is said to accumulate its outputs: Fu averages probabilities. Here logits are averaged, since every
  network here gives logits. Its upsampling is bilinear, as in Fu's later code; his first repeats pixels.
- M-Net's loss sees four outputs of full size and their mean (Fu), five in all as in Huang's sum over i from 1
  to 5; Mnet_Im's sees each scale at its own size, H x W of Huang's first equation.
- Batch norm follows each 3x3 convolution, as in every U-Net here, so that the compared networks differ in
  nothing else. Fu's first code has none, his later code has, Huang is silent. Fresh weights: PyTorch's.

Parameters, five input channels and one output, counted by hand. A 3x3 convolution with batch norm from a to b
channels has 9 ab + 2 b, a 2x2 transposed one 4 ab + b, an output c + 1. For channels c0..c4, inputs e0..ek:

- inputs: 47 e each (9 * 5 e + 2 e);
- down: 9 e0 c0 + 2 c0, then from a = c(i-1) + ei (c(i-1) without an input) 9 (a + ci) ci + 4 ci;
- up, from 2c to c: 8 c² + c, then 9 * 3 c² + 4 c; together 35 c² + 5 c.

===========  ==========  ==========  ==========  =======  ==========
name             inputs        down          up    heads       total
===========  ==========  ==========  ==========  =======  ==========
mnet             22,560   5,487,424   3,048,800      484   8,559,268
mnet-wide        45,120  21,941,888  12,190,400      964  34,178,372
mnet-64          12,032   4,980,544   3,048,800      484   8,041,860
mnet-32           6,016   4,842,304   3,048,800      484   7,897,604
mnet-im          15,040   5,275,456   3,048,800      997   8,340,293
unet-mo           3,008  18,845,312  12,190,400    1,989  31,040,709
===========  ==========  ==========  ==========  =======  ==========
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.entry import NetworkEntry
from models.networks.resnet import ConvNormReLU
from models.networks.sizes import cropped_to, padded_to_multiple, scaled
from models.networks.unet import TwoConvolutions

_CHANNELS: Final = (32, 64, 128, 256, 512)
_TWICE: Final = (64, 128, 256, 512, 1024)


class Pyramid(nn.Module):
    """The contracting path: an image pyramid enters a U-Net's encoder.

    Args:
        in_channels: channels of the image.
        channels: of each scale, finest first.
        inputs: kernels that see the image itself, finest scale first; further scales have none, so that one
            number makes a U-Net's encoder.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], inputs: Sequence[int]) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(ConvNormReLU(in_channels, kernels, 3) for kernels in inputs)
        self.stages = nn.ModuleList([ConvNormReLU(inputs[0], channels[0], 3)])
        for scale in range(1, len(channels)):
            seen = channels[scale - 1] + (inputs[scale] if scale < len(inputs) else 0)
            self.stages.append(TwoConvolutions(seen, channels[scale]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """``(n, in, y, x)`` to the features of every scale, finest first."""
        features: list[Tensor] = []
        for scale, stage in enumerate(self.stages):
            if scale:
                image = functional.avg_pool2d(image, 2)  # (n, in, y/2^scale, x/2^scale)
            seen = [self.inputs[scale](image)] if scale < len(self.inputs) else []
            if scale:
                seen.append(functional.max_pool2d(features[-1], 2))
            features.append(stage(torch.cat(seen, dim=1)))  # (n, channels[scale], y/2^scale, x/2^scale)
        return features


class ExpandingPath(nn.Module):
    """From the coarsest features to the finest, each joined by the contracting path's of its scale."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        coarse_to_fine = range(len(channels) - 2, -1, -1)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(channels[i + 1], channels[i], 2, 2) for i in coarse_to_fine
        )
        self.stages = nn.ModuleList(TwoConvolutions(2 * channels[i], channels[i]) for i in coarse_to_fine)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of every scale, finest first, the coarsest as it came."""
        risen = [features[-1]]  # (n, channels[-1], y/16, x/16)
        for up, stage, skip in zip(self.upsample, self.stages, features[-2::-1], strict=True):
            risen.append(stage(torch.cat([up(risen[-1]), skip], dim=1)))  # (n, channels[i], y/2^i, x/2^i)
        return risen[::-1]


def progressive_fusion(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Each output, finest first, plus the fused one below it at twice its size; the coarsest stays."""
    fused = [outputs[-1]]
    for output in outputs[-2::-1]:
        risen = functional.interpolate(fused[-1], scale_factor=2.0, mode="bilinear")
        fused.append(output + risen)  # (n, classes, y/2^i, x/2^i)
    return fused[::-1]


class MNet(nn.Module):
    """M-Net: an output at each of four scales, upsampled to full size, and their mean.

    Args:
        in_channels: channels of the image.
        classes: outputs.
        width: factor on all channels and kernels.
        channels: of the five scales, finest first.
        inputs: kernels that see the image at the four finest scales; None for as many as the channels there.
    """

    dimensions = 2
    stride = 16

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: float = 1.0,
        *,
        channels: Sequence[int] = _CHANNELS,
        inputs: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        counts = scaled(width, *channels)
        self.down = Pyramid(in_channels, counts, scaled(width, *(inputs or channels[:-1])))
        self.up = ExpandingPath(counts)
        self.heads = nn.ModuleList(nn.Conv2d(count, classes, 1) for count in counts[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to the mean of the four scales' logits ``(n, classes, y, x)``."""
        return self.scales(x)[0]

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The mean, then the outputs made at full, 1/2, 1/4 and 1/8 size: five, all at full size."""
        x, size = padded_to_multiple(x, self.stride)
        features = self.up(self.down(x))[:-1]
        outputs = [
            functional.interpolate(head(feature), x.shape[2:], mode="bilinear")  # (n, classes, y, x)
            for head, feature in zip(self.heads, features, strict=True)
        ]
        mean = torch.stack(outputs).mean(dim=0)  # (n, classes, y, x)
        return tuple(cropped_to(output, size) for output in (mean, *outputs))


class MNetIm(nn.Module):
    """Mnet_Im: an output at each of five scales, from the coarsest on upsampled by 2 and added to the next.

    Args:
        in_channels: channels of the image.
        classes: outputs.
        width: factor on all channels and kernels.
        channels: of the five scales, finest first.
        inputs: kernels that see the image, finest scale first; one number alone makes Unet_mo.
    """

    dimensions = 2
    stride = 16

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: float = 1.0,
        *,
        channels: Sequence[int] = _CHANNELS,
        inputs: Sequence[int] = (64,) * 5,
    ) -> None:
        super().__init__()
        counts = scaled(width, *channels)
        self.down = Pyramid(in_channels, counts, scaled(width, *inputs))
        self.up = ExpandingPath(counts)
        self.heads = nn.ModuleList(nn.Conv2d(count, classes, 1) for count in counts)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to the fused logits of full size ``(n, classes, y, x)``."""
        return self.scales(x)[0]

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The fused logits at full, 1/2, 1/4, 1/8 and 1/16 size, each at its own size, rounded up."""
        x, size = padded_to_multiple(x, self.stride)
        features = self.up(self.down(x))
        fused = progressive_fusion([head(f) for head, f in zip(self.heads, features, strict=True)])
        return tuple(
            cropped_to(logits, [-(-length // 2**scale) for length in size])  # (n, classes, y/2^i, x/2^i)
            for scale, logits in enumerate(fused)
        )


def _entry(build: Callable[..., nn.Module], parameters: int) -> NetworkEntry:
    return NetworkEntry(
        build=build,
        dimensions=2,
        paper="huang-2023",
        in_channels=5,
        classes=1,
        parameters=parameters,
        counted="by hand",
        test_width=0.125,
    )


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "mnet-im": _entry(MNetIm, 8_340_293),
    "mnet": _entry(MNet, 8_559_268),
    "mnet-wide": _entry(partial(MNet, channels=_TWICE), 34_178_372),
    "mnet-64": _entry(partial(MNet, inputs=(64,) * 4), 8_041_860),
    "mnet-32": _entry(partial(MNet, inputs=(32,) * 4), 7_897_604),
    "unet-mo": _entry(partial(MNetIm, channels=_TWICE, inputs=(64,)), 31_040_709),
}
