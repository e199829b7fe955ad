"""The networks of nnU-Net's plans, with the names that their parameters have in its checkpoints.

Equal to ``PlainConvUNet`` and ``ResidualEncoderUNet`` (``BasicBlockD``) of ``dynamic_network_architectures``
0.4, whose checkpoints hold most parameters twice; :func:`own_state` keeps each once. Parameters have the same
names, so that a checkpoint either fits to the last one or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.cards.nnunet_card import NnunetArchitecture, Triple

_SLOPE = 0.01


def own_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's ``network_weights`` with each parameter once, by the names that it has here."""
    plain = {
        name.removeprefix("module.").removeprefix("_orig_mod."): tensor for name, tensor in state.items()
    }
    return {
        name: tensor
        for name, tensor in plain.items()
        if ".all_modules." not in name and not name.startswith("decoder.encoder.")
    }


class _Convolution(nn.Module):
    """Convolution, instance norm and, unless ``last``, leaky ReLU."""

    def __init__(  # noqa: PLR0913 - what a convolution is made of
        self,
        into: int,
        out: int,
        kernel: Triple,
        stride: Triple,
        plan: NnunetArchitecture,
        *,
        last: bool = False,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        padding = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2, (kernel[2] - 1) // 2)
        self.conv = nn.Conv3d(into, out, kernel, stride, padding, bias=plan.bias if bias is None else bias)
        self.norm = nn.InstanceNorm3d(out, eps=plan.epsilon, affine=plan.affine)
        self.nonlin = nn.Identity() if last else nn.LeakyReLU(_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, into, z, y, x)`` to ``(n, out, z/stride, ...)``."""
        found: Tensor = self.nonlin(self.norm(self.conv(x)))
        return found


class _Stack(nn.Module):
    """``count`` convolutions, the first with a stride."""

    def __init__(
        self, count: int, into: int, out: int, kernel: Triple, stride: Triple, plan: NnunetArchitecture
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            _Convolution(into, out, kernel, stride, plan),
            *(_Convolution(out, out, kernel, (1, 1, 1), plan) for _ in range(count - 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, into, z, y, x)`` to ``(n, out, z/stride, ...)``."""
        found: Tensor = self.convs(x)
        return found


class _Block(nn.Module):
    """Residual block of ResNet-D: the shortcut is averaged where there is a stride, then projected."""

    def __init__(self, into: int, out: int, kernel: Triple, stride: Triple, plan: NnunetArchitecture) -> None:
        super().__init__()
        self.conv1 = _Convolution(into, out, kernel, stride, plan)
        self.conv2 = _Convolution(out, out, kernel, (1, 1, 1), plan, last=True)
        steps: list[nn.Module] = []
        if stride != (1, 1, 1):
            steps.append(nn.AvgPool3d(stride, stride))
        if into != out:
            steps.append(_Convolution(into, out, (1, 1, 1), (1, 1, 1), plan, last=True, bias=False))
        self.skip = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, into, z, y, x)`` to ``(n, out, z/stride, ...)``."""
        found = self.conv2(self.conv1(x)) + self.skip(x)
        return nn.functional.leaky_relu(found, _SLOPE, inplace=True)


class _Blocks(nn.Module):
    def __init__(
        self, count: int, into: int, out: int, kernel: Triple, stride: Triple, plan: NnunetArchitecture
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            _Block(into, out, kernel, stride, plan),
            *(_Block(out, out, kernel, (1, 1, 1), plan) for _ in range(count - 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, into, z, y, x)`` to ``(n, out, z/stride, ...)``."""
        found: Tensor = self.blocks(x)
        return found


class _Encoder(nn.Module):
    def __init__(self, in_channels: int, plan: NnunetArchitecture) -> None:
        super().__init__()
        residual = plan.name == "ResidualEncoderUNet"
        first = plan.features[0]
        self.stem: nn.Module = nn.Identity()
        if residual:
            self.stem = _Stack(1, in_channels, first, plan.kernels[0], (1, 1, 1), plan)
        widths = pairwise((first if residual else in_channels, *plan.features))
        stages = zip(widths, plan.kernels, plan.strides, plan.convolutions, strict=True)
        self.stages = nn.Sequential()
        for (into, out), kernel, stride, count in stages:
            if residual:
                self.stages.append(_Blocks(count, into, out, kernel, stride, plan))
            else:
                self.stages.append(nn.Sequential(_Stack(count, into, out, kernel, stride, plan)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of every stage, the finest first."""
        x = self.stem(x)
        found: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class _Decoder(nn.Module):
    def __init__(self, classes: int, plan: NnunetArchitecture) -> None:
        super().__init__()
        levels = range(len(plan.features) - 1, 0, -1)
        self.transpconvs = nn.ModuleList(
            nn.ConvTranspose3d(
                plan.features[i], plan.features[i - 1], plan.strides[i], plan.strides[i], bias=plan.bias
            )
            for i in levels
        )
        self.stages = nn.ModuleList(
            _Stack(
                count, 2 * plan.features[i - 1], plan.features[i - 1], plan.kernels[i - 1], (1, 1, 1), plan
            )
            for i, count in zip(levels, plan.decoder_convolutions, strict=True)
        )
        self.seg_layers = nn.ModuleList(nn.Conv3d(plan.features[i - 1], classes, 1) for i in levels)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits ``(n, classes, z, y, x)`` of the finest stage."""
        x = features[-1]
        for up, stage, skip in zip(self.transpconvs, self.stages, features[-2::-1], strict=True):
            x = stage(torch.cat((up(x), skip), 1))
        found: Tensor = self.seg_layers[-1](x)
        return found


class PlannedUnet(nn.Module):
    """A U-Net of an nnU-Net plan.

    Args:
        plan: its architecture.
        classes: outputs, background included.
        in_channels: of the input.
    """

    def __init__(self, plan: NnunetArchitecture, classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.encoder = _Encoder(in_channels, plan)
        self.decoder = _Decoder(classes, plan)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, z, y, x)``, multiples of the strides, to logits ``(n, classes, z, y, x)``."""
        found: Tensor = self.decoder(self.encoder(x))
        return found
