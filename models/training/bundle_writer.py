"""A trained network as a bundle: a folder with ``card.yaml`` and ``weights.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from models.card import BundleError, Card, read_card
from models.networks import build
from models.weights import load_weights, save_weights


def network_of(card: Card, *, with_weights: bool = True) -> nn.Module:
    """The network of a card, with the bundle's weights in float32 or with fresh ones.

    Raises:
        BundleError: the card is not a network's, or its weights are missing or not the ones it names.
    """
    if card.network is None or card.input is None:
        raise BundleError("model.card-invalid", f"{card.reference} is no network and cannot be trained.")
    network = build(
        card.network.name,
        in_channels=len(card.input.channels),
        classes=len(card.outputs),
        **card.network.arguments,
    )
    if with_weights:
        load_weights(card, network)
    return network


def write_bundle(
    folder: Path,
    template: Card,
    state: Mapping[str, Tensor],
    figures: Mapping[str, Any],
    *,
    version: str,
    training: Sequence[Mapping[str, str]] = (),
) -> Card:
    """Write a bundle like ``template`` with other weights; returns its card, read back.

    Args:
        folder: for the bundle; made if missing.
        template: whose structures, input, region and limits the new card repeats.
        state: the network's state dict; stored as float16.
        figures: replace the template's.
        version: of the new bundle.
        training: sources to add to the template's: ``name``, ``licence``, ``what``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    card = yaml.safe_load((template.folder / "card.yaml").read_text(encoding="utf-8"))
    card["version"] = version
    card["weights"] = asdict(save_weights(state, folder / "weights.safetensors"))
    known = {source["name"] for source in card.get("training", [])}
    card["training"] = [*card.get("training", []), *(dict(t) for t in training if t["name"] not in known)]
    card["figures"] = dict(figures)
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=115)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return read_card(folder / "card.yaml")
