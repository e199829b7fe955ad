"""A TorchScript file with a small card: architecture and weights in one, no Python of anybody is run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.adding.labels import read_labels
from models.adding.new_bundle import Wish, pairs_of, structures_of, words, write
from models.along_axes import TORCHSCRIPT, load_scripted, scripted
from models.cards.card import BundleError, Card

BACKGROUND = "background"


def add_torchscript(wish: Wish) -> Card:
    """The bundle of a TorchScript file; the small card says ``input``, ``outputs`` and ``network.axes``.

    Raises:
        BundleError: see :mod:`models.adding`.
    """
    missing = [key for key in ("input", "outputs") if key not in wish.card]
    if missing:
        lacks = ", ".join(missing)
        sentence = (
            f"A TorchScript file does not say what it is shown and gives: the small card lacks {lacks}."
        )
        raise BundleError("add.card-incomplete", sentence)
    return torchscript_bundle(
        wish, wish.path.read_bytes(), wish.card, "A TorchScript network from elsewhere."
    )


def torchscript_bundle(
    wish: Wish, content: bytes, said: Mapping[str, Any], summary: str, limits: Sequence[str] = ()
) -> Card:
    """The bundle of a TorchScript archive ``content``, of which ``said`` tells input, outputs and axes."""
    network = scripted(content, wish.folder.name)
    outputs = [str(name) for name in said["outputs"]]
    mapped = read_labels(wish.labels, [name for name in outputs if name != BACKGROUND])
    structures = structures_of(mapped)
    parameters = list(network.parameters())
    kinds = {str(parameter.dtype).removeprefix("torch.") for parameter in parameters}
    card = words(wish, summary, *limits) | {
        "kind": "network",
        "network": {"name": TORCHSCRIPT, **said.get("network", {})},
        "weights": {
            "file": "network.ts",
            "sha256": hashlib.sha256(content).hexdigest(),
            "dtype": " ".join(sorted(kinds)) or "none",
            "parameters": sum(parameter.numel() for parameter in parameters),
        },
        "input": said["input"],
        "outputs": [mapped[name].name if name in mapped else name for name in outputs],
        "activation": said.get("activation", "softmax"),
        "structures": structures,
        "pairs": pairs_of(structures),
    }
    return write(wish, card, {"network.ts": content}, verify_scripted)


def verify_scripted(card: Card) -> None:
    """Show the network one tile of its padding.

    Raises:
        BundleError: it does not take it, or gives something else than its card says.
    """
    network, _ = load_scripted(card)
    assert card.input is not None  # noqa: S101 - for the type checker: its network was loaded
    tile = card.input.patch_zyx if card.input.dimensions == 3 else card.input.patch_zyx[1:]
    try:
        with torch.inference_mode():
            network(torch.zeros((1, card.input.in_channels, *tile)))
    except RuntimeError as error:
        sentence = "The network does not take a tile of the size and channels that its card names."
        raise BundleError("model.answer-invalid", sentence) from error
