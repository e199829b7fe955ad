"""Networks by name: one family a file. A card names one; training and prediction build it here.

Every network is a ``Network``: it maps ``(n, in_channels, y, x)`` (2D) or ``(n, in_channels, z, y, x)`` (3D),
of any size, to logits ``(n, classes, same size)``, and gives the logits of every supervised scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from torch import Tensor, nn

from models.cards.card import NetworkCard
from models.networks import (
    attention_unet,
    cab_unet,
    ce_net,
    deeplab_v3_plus,
    fcn,
    mnet,
    recomia,
    refinenet,
    refinenet_plus_3d,
    resau_net,
    unet,
    unet_3d,
    unet_half,
    unet_plus_plus,
    unet_res_enc,
)
from models.networks.apart import NetworksApart
from models.networks.entry import NetworkEntry


class Network(Protocol):
    """What training and prediction need of a network beyond ``nn.Module``."""

    @property
    def dimensions(self) -> int:
        """2 if it is shown slices, 3 if volumes."""

    @property
    def stride(self) -> int:
        """Of its coarsest features; an input that is no multiple of it is padded inside and cropped back."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes, ...)`` of ``(n, in_channels, ...)``."""

    def scales(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of every supervised scale, the finest first."""


NETWORKS: Final[Mapping[str, NetworkEntry]] = {
    **refinenet.ENTRIES,
    **refinenet_plus_3d.ENTRIES,
    **fcn.ENTRIES,
    **unet.ENTRIES,
    **ce_net.ENTRIES,
    **unet_3d.ENTRIES,
    **unet_half.ENTRIES,
    **mnet.ENTRIES,
    **unet_plus_plus.ENTRIES,
    **deeplab_v3_plus.ENTRIES,
    **resau_net.ENTRIES,
    **attention_unet.ENTRIES,
    **cab_unet.ENTRIES,
    **recomia.ENTRIES,
    **unet_res_enc.ENTRIES,
}


def build(name: str, *, in_channels: int, classes: int, **arguments: Any) -> nn.Module:  # noqa: ANN401
    """The network ``name`` with fresh weights, a ``Network``; ``arguments`` stand in the card.

    Raises:
        KeyError: no network has this name; the message lists those that there are.
    """
    if name not in NETWORKS:
        message = f"no network is called {name!r}; there are: {', '.join(sorted(NETWORKS))}"
        raise KeyError(message)
    return NETWORKS[name].build(in_channels=in_channels, classes=classes, **arguments)


def network_of(card: NetworkCard, *, in_channels: int, outputs: int) -> nn.Module:
    """The network that a card or a recipe asks for, one for each output where they are apart; fresh weights.

    Raises:
        KeyError: no network has this name.
        TypeError, ValueError: it does not take these arguments.
    """

    def make(classes: int) -> nn.Module:
        return build(card.name, in_channels=in_channels, classes=classes, **card.arguments)

    return NetworksApart(lambda: make(1), outputs) if card.apart else make(outputs)
