"""A bundle with a network small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from models.cards.card import Card, read_card
from models.cards.catalog import find_bundle
from models.cards.weights import save_weights
from models.networks import build


@pytest.fixture
def small_bundle(tmp_path: Path) -> Card:
    """Like the shipped bundle, but 4-8 features and patches of 12 x 12 x 20 voxels of 24 mm."""
    shipped = find_bundle("pelvis-ct@2.0")
    folder = tmp_path / "small"
    folder.mkdir()
    card = yaml.safe_load((shipped.folder / "card.yaml").read_text())
    card["network"]["arguments"] = {"features": [4, 8]}
    card["input"] |= {"spacing_zyx_mm": [24.0] * 3, "patch_zyx": [12, 12, 20]}
    network = build("unet-res-enc", in_channels=2, classes=15, features=[4, 8])
    weights = save_weights(network.state_dict(), folder / "weights.safetensors")
    card["weights"] |= {"sha256": weights.sha256, "parameters": weights.parameters}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return read_card(folder / "card.yaml")
