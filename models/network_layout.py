"""A network laid out for inference: channels last, and norms that leave them there.

Matrix units and oneDNN read features channels-last. PyTorch's instance norm turns them over and back on every
call; over a single tile it is batch norm with the tile's own statistics, which does not.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_FORMATS: Final = {4: torch.channels_last, 5: torch.channels_last_3d}
_NORMS: Final = (nn.InstanceNorm2d, nn.InstanceNorm3d)


class TileNorm(nn.Module):
    """Instance norm, the same numbers, without a change of layout where there is one tile."""

    def __init__(self, norm: nn.InstanceNorm2d | nn.InstanceNorm3d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels, ...)``, each channel of each tile with mean 0 and variance 1, scaled and moved."""
        if len(x) == 1:
            return functional.batch_norm(
                x, None, None, self.weight, self.bias, training=True, momentum=0.0, eps=self.eps
            )
        return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def for_inference(network: nn.Module) -> nn.Module:
    """``network`` itself, its weights channels-last and its instance norms replaced; the same parameters."""
    _replace_norms(network)
    for parameter in network.parameters():
        if parameter.dim() in _FORMATS:
            parameter.data = parameter.data.contiguous(memory_format=_FORMATS[parameter.dim()])
    return network


def has_tile_norms(network: nn.Module) -> bool:
    """Whether single tiles are cheaper than several."""
    return any(isinstance(module, TileNorm) for module in network.modules())


def _replace_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _NORMS) and not child.track_running_stats:
            setattr(module, name, TileNorm(child))
        else:
            _replace_norms(child)
