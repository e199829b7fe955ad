"""``resau-net``: a 2D U-Net with a ResNet34 encoder and channel attention in place of its skips.

Liu X. 2024, Figure 3 (network), Figure 4 and equations 1 to 5 (attention block), section "ResAU-Net". The
encoder halves five times, by the 7x7 convolution and by four stages of blocks; four upsampling stages fuse
with it, and one upsampling more restores the size of the image.

Silent or in conflict, and what was chosen; the figures' drawings were not at hand, only what the text says:

- Equations 1 and 2 take W_g and W_x to be the means of g and x over all pixels, one number a channel; the
  text below equation 4 lets them be learned by backpropagation, and calls them part of the parameters. Read
  together, with "fully connected operation" and "channel-level feature fusion": the means are mapped by
  learned fully connected layers, added, passed through ReLU, and mapped by Phi to one weight a channel.
- g is said to be the encoder's and x the decoder's feature. That would weigh the decoder's, while the blocks
  stand in place of the skips and the noise is said to come from the encoder's. So x, which is weighed, is the
  encoder's, and g the decoder's, as in Oktay 2018, which the section builds on.
- g is the decoder's feature after the transposed convolution, with as many channels as x; the fully connected
  layers keep them (no reduction is given) and have biases.
- What follows the attention: concatenation with g and U-Net's two 3x3 convolutions with batch norm.
- The stages' channels are not given in the text: those of the encoder's features that they are fused with.
  The last upsampling is a transposed convolution straight to the outputs, "the final step".
- ResNet34 has no ImageNet weights here: the paper names none.

Parameters, one input channel and five outputs (background and four structures), counted by hand. ResNet34
without its last layer has 21,284,672 with three input channels, hence 21,284,672 - 2 * 49 * 64 with one. A
stage with c channels of skip from b: transposed convolution 4 bc + c, attention 3 (c² + c), two convolutions
9 * 2c * c + 9 c² + 4 c, together 4 bc + 30 c² + 8 c:

=====================================================  ============
ResNet34, one input channel                              21,278,400
b, c = 512, 256                                           2,492,416
b, c = 256, 128                                             623,616
b, c = 128, 64                                              156,160
b, c = 64, 64                                               139,776
last transposed convolution 4 * 64 * 5 + 5                    1,285
total                                                    24,691,653
=====================================================  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from models.networks.entry import NetworkEntry
from models.networks.resnet import ResNet
from models.networks.sizes import cropped_to, padded_to_multiple
from models.networks.unet import TwoConvolutions


class ChannelAttention(nn.Module):
    """Weighs each channel of a skip by the means of all channels of ``g`` and ``x`` (equations 1 to 5).

    Args:
        skip_channels: of ``x``, the encoder's feature, and of the output.
        gating_channels: of ``g``, the decoder's feature.
    """

    def __init__(self, skip_channels: int, gating_channels: int) -> None:
        super().__init__()
        self.of_gating = nn.Linear(gating_channels, skip_channels)
        self.of_skip = nn.Linear(skip_channels, skip_channels)
        self.phi = nn.Linear(skip_channels, skip_channels)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """``x`` ``(n, skip, y, x)``, each channel times its weight; ``g`` may be of any size."""
        mean_g, mean_x = g.mean(dim=(2, 3)), x.mean(dim=(2, 3))  # (n, gating), (n, skip): equations 1, 2
        q = self.phi(torch.relu(self.of_gating(mean_g) + self.of_skip(mean_x)))  # (n, skip): equation 3
        alpha = torch.sigmoid(q)[:, :, None, None]  # (n, skip, 1, 1): equation 4
        return x * alpha  # (n, skip, y, x): equation 5


class ResauNet(nn.Module):
    """U-Net over ResNet34, fused through channel attention.

    Args:
        in_channels: channels of the input.
        classes: outputs, background included.
        width: factor on the channels of every level.
    """

    dimensions = 2
    stride = 32

    def __init__(self, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = ResNet("basic", in_channels, width)
        c = self.encoder.channels
        rising = [(c[i + 1], c[i]) for i in (3, 2, 1, 0)]
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in rising)
        self.attention = nn.ModuleList(ChannelAttention(b, b) for _, b in rising)
        self.decoder = nn.ModuleList(TwoConvolutions(2 * b, b) for _, b in rising)
        self.head = nn.ConvTranspose2d(c[0], classes, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, y, x)`` to logits ``(n, classes, y, x)``; below, sizes are padded to 32."""
        x, size = padded_to_multiple(x, self.stride)
        *skips, x = self.encoder(x)  # (n, 64, y/2, x/2) to (n, 256, y/16, x/16); (n, 512, y/32, x/32)
        for up, attend, block in zip(self.upsample, self.attention, self.decoder, strict=True):
            g = up(x)  # (n, 256, y/16, x/16), (n, 128, y/8, x/8), (n, 64, y/4, x/4), (n, 64, y/2, x/2)
            x = block(torch.cat([attend(skips.pop(), g), g], dim=1))  # as g
        return cropped_to(self.head(x), size)  # (n, classes, y, x)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits alone: Liu X. 2024 names no further output."""
        return (self.forward(x),)


ENTRIES: Final[Mapping[str, NetworkEntry]] = {
    "resau-net": NetworkEntry(
        build=ResauNet,
        dimensions=2,
        paper="liu-x-2024",
        in_channels=1,
        classes=5,
        parameters=24_691_653,
        counted="by hand",
        test_width=0.25,
    ),
}
