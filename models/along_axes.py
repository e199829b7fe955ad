"""A network from elsewhere: shown tiles along the axes that it was trained along, its answer checked."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Final

import torch
from torch import Tensor, nn

from models.cards.card import BundleError, Card
from models.cards.catalog import verified_bytes
from models.cards.patient_axes import AGAINST, AXIS_OF

TORCHSCRIPT: Final = "torchscript"
"""Name of a card's network whose file is a TorchScript archive, architecture and weights in one."""


class AlongItsAxes(nn.Module):
    """A network, shown ``(n, c, z, y, x)`` along its own axes; its logits come back along ours.

    Args:
        network: gives logits ``(n, outputs, ...)`` of the size that it is shown.
        axes: to where its three axes run, e.g. ``RAS``; ``SPL`` is the order of our tiles.
        outputs: channels that it must give.
        dimensions: 3, or 2 for slices, whose axes are ours.
    """

    def __init__(self, network: nn.Module, axes: str, outputs: int, dimensions: int = 3) -> None:
        super().__init__()
        self.network = network
        self.dimensions = dimensions
        self._outputs = outputs
        self._order = [2 + AXIS_OF[letter] for letter in axes] if dimensions == 3 else [2, 3]
        self._flips = [2 + i for i, letter in enumerate(axes) if letter in AGAINST and dimensions == 3]
        self._back = [0, 1, *(2 + self._order.index(axis) for axis in range(2, 2 + dimensions))]

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, outputs, z, y, x)`` of ``(n, c, z, y, x)``.

        Raises:
            BundleError: ``model.answer-invalid``, it gives something else.
        """
        shown = x.permute(0, 1, *self._order).flip(self._flips).contiguous()
        found = self.network(shown)
        wanted = (len(x), self._outputs, *shown.shape[2:])
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            have = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            sentence = f"The network must give logits of shape {wanted} and gave {have}; correct its card."
            raise BundleError("model.answer-invalid", sentence)
        return found.flip(self._flips).permute(*self._back)


def scripted(content: bytes, reference: str) -> nn.Module:
    """The module of a TorchScript archive, on the CPU. No Python code of the archive is run.

    Raises:
        BundleError: ``model.weights-do-not-fit``: it is none, or holds numbers that are not finite.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is kept for such files and says so each time
            network: nn.Module = torch.jit.load(BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        sentence = f"The file of {reference} is no TorchScript archive; export it with torch.jit.save."
        raise BundleError("model.weights-do-not-fit", sentence) from error
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        sentence = f"The weights of {reference} hold numbers that are not finite."
        raise BundleError("model.weights-do-not-fit", sentence)
    return network.eval()


def load_scripted(card: Card) -> tuple[nn.Module, str]:
    """The TorchScript network of a card along its axes, and the SHA-256 of its file.

    Raises:
        BundleError: as :func:`scripted`, or the file is not the card's.
    """
    if card.weights is None or card.network is None or card.input is None:
        raise BundleError("model.card-invalid", f"{card.reference} is not a network.")
    content = verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference)
    network = scripted(content, card.reference)
    wrapped = AlongItsAxes(network, card.network.axes, len(card.outputs), card.input.dimensions)
    return wrapped, card.weights.sha256.lower()
