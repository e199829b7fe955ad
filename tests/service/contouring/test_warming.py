"""Models are loaded before the first CT waits for them."""

from __future__ import annotations

from pathlib import Path

from models.cards.card import Card
from service.config.reader import parse
from service.contouring.warming import warm_models
from service.errors import ModelRefused

CONFIG = """\
node: {storage: ./var}
protocols:
  body: {model: external@1.0, structures: {External: }}
  body-again: {model: external@1.0, structures: {External: }}
  gone: {model: no-such-bundle@1.0, structures: {Bladder: }}
"""


class Client:
    def __init__(self) -> None:
        self.warmed: list[str] = []

    def warm(self, card: Card) -> None:
        self.warmed.append(card.reference)
        raise ModelRefused("model.refused", "whatever goes wrong is told when a CT needs the model")


def test_every_model_is_loaded_once_and_one_that_cannot_be_is_no_obstacle(tmp_path: Path) -> None:
    loaded = parse(CONFIG, tmp_path / "config.yaml", check_bundles=False)
    client = Client()
    warm_models(client, loaded)
    assert client.warmed == ["external@1.0"]
