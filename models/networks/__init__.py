"""Networks by name: one family a file. A card names one; training and prediction build it here.

Every network is a ``Network``: it maps ``(n, in_channels, z, y, x)`` to logits ``(n, classes, z, y, x)``,
tells the ``stride`` that its input must be a multiple of, and gives the logits of every supervised scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from torch import Tensor, nn

from models.networks.unet_res_enc import UnetResEnc


class Network(Protocol):
    """What training and prediction need of a network beyond ``nn.Module``."""

    @property
    def stride(self) -> int:
        """Every axis of the input must be a multiple of this."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes, z, y, x)`` of ``(n, in_channels, z, y, x)``."""

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of every supervised scale, the finest first."""


NETWORKS: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "unet-res-enc": UnetResEnc,
}


def build(name: str, *, in_channels: int, classes: int, **arguments: Any) -> nn.Module:  # noqa: ANN401
    """The network ``name`` with fresh weights, a ``Network``; ``arguments`` stand in the card.

    Raises:
        KeyError: no network has this name; the message lists those that there are.
    """
    if name not in NETWORKS:
        message = f"no network is called {name!r}; there are: {', '.join(sorted(NETWORKS))}"
        raise KeyError(message)
    return NETWORKS[name](in_channels=in_channels, classes=classes, **arguments)
