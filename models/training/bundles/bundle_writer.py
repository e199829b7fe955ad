"""A trained network as a bundle: a folder with ``card.yaml`` and ``weights.safetensors``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from models.cards.card import Card, read_card
from models.cards.weights import save_weights
from models.cards.yaml_sections import plain
from models.full_disk import disk_errors
from models.training.refusals import TrainingRefused


def write_bundle(folder: Path, content: Mapping[str, Any], state: Mapping[str, Tensor]) -> Card:
    """Write a bundle; it appears in one piece, in place of one that may be there. Its card, read back.

    Args:
        folder: for the bundle.
        content: what the card says, without its weights.
        state: the network's state dict; stored as float16.

    Raises:
        TrainingRefused: ``bundle.disk-full``, ``bundle.unwritable``.
        BundleError: the card does not fit.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with disk_errors(TrainingRefused, "bundle"):
        part.mkdir(parents=True)
        weights = save_weights(state, part / "weights.safetensors")
        write_yaml(part / "card.yaml", {**content, "weights": asdict(weights)})
        read_card(part / "card.yaml")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return read_card(folder / "card.yaml")


def with_figures(card: Card, figures: Mapping[str, Any]) -> Card:
    """The bundle's card with ``figures`` in it, read back."""
    content = yaml.safe_load((card.folder / "card.yaml").read_text(encoding="utf-8"))
    write_yaml(card.folder / "card.yaml", {**content, "figures": dict(figures)})
    return read_card(card.folder / "card.yaml")


def write_yaml(file: Path, content: Mapping[str, Any]) -> None:
    """Write a file, replacing one in one moment."""
    text = yaml.safe_dump(
        plain(content), sort_keys=False, allow_unicode=True, width=115, default_flow_style=None
    )
    part = file.with_name(f".{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
