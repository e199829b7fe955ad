"""One network for each output, trained and run as one: "a model a structure" (Xiao 2022, section 2.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class NetworksApart(nn.Module):
    """``count`` networks with one output each; parameters are named ``networks.0.``, ``networks.1.`` ...

    Args:
        make: gives one network with one output.
        count: outputs.
    """

    def __init__(self, make: Callable[[], nn.Module], count: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(make() for _ in range(count))

    @property
    def dimensions(self) -> int:
        """Of each network's convolutions."""
        return self.networks[0].dimensions  # type: ignore[return-value]

    @property
    def stride(self) -> int:
        """Of each network."""
        return self.networks[0].stride  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, ...)`` to logits ``(n, count, ...)``."""
        return torch.cat([network(x) for network in self.networks], dim=1)

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits ``(n, count, ...)`` of every supervised scale, the finest first."""
        each = [network.scales(x) for network in self.networks]  # type: ignore[operator]
        return tuple(torch.cat(outputs, dim=1) for outputs in zip(*each, strict=True))
