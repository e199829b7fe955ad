"""A small good file, pieces of which tests replace, and a model bundle of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.config.reader import LoadedSite, parse
from service.errors import ConfigInvalid

GOOD = """\
node: {ae_title: DELINEATE, port: 11112}
senders:
  SCANNER: {addresses: [127.0.0.1], port: 104}
destinations:
  tps: {ae_title: TPS, host: 127.0.0.1, port: 11113}
protocols:
  external:
    model: external@1.0
    structures:
      External: {color: "#00ff00"}
routes:
  - name: everything
    when: {Modality: CT}
    contour: external
    send_to: [tps]
    mode: send
"""

CARD = """\
name: test-ct
version: "1.0"
kind: program
summary: For tests.
intended_use: Tests.
licence: Apache-2.0
validated: false
validation: synthetic data only
program: {file: program.py, sha256: "00"}
structures:
  Femur_Head_L: {extent: left, volume_cm3: [1, 2]}
  Femur_Head_R: {extent: right, volume_cm3: [1, 2]}
  Vertebrae_Lumbar_5: {extent: a name of 18 characters, volume_cm3: [1, 2]}
"""

Edit = Callable[[str, str], str]


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def edited() -> Edit:
    """``GOOD`` with one piece replaced; the piece must be there once."""

    def edit(piece: str, replacement: str) -> str:
        assert GOOD.count(piece) == 1, piece
        return GOOD.replace(piece, replacement)

    return edit


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], LoadedSite]:
    return lambda text: parse(text, tmp_path / "config.yaml", check_bundles=False)


@pytest.fixture
def mistakes(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Every mistake of a text, none for a good one; ``bundles`` to look at the models too."""

    def find(text: str, *, bundles: bool = False) -> tuple[str, ...]:
        try:
            parse(text, tmp_path / "config.yaml", check_bundles=bundles)
        except ConfigInvalid as error:
            return error.mistakes
        return ()

    return find


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """A bundle ``test-ct@1.0`` in ``bundles`` beside the file; its card says synthetic data only."""
    folder = tmp_path / "bundles" / "test-ct"
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(CARD)
    return "test-ct@1.0"
