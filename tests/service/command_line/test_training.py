"""The training command as a person runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from models.card import read_card
from models.catalog import find_bundle
from models.networks import build
from models.weights import save_weights
from service.command_line.training import app


@pytest.fixture
def small_bundle(tmp_path) -> Path:
    """The shipped bundle's card with a network of 4-8 features and a patch of 12 x 12 x 20 voxels of 24 mm."""
    folder = tmp_path / "small"
    shutil.copytree(find_bundle("pelvis-ct@1.0").folder, folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["network"]["arguments"] = {"features": [4, 8]}
    card["input"] |= {"spacing_zyx_mm": [24.0] * 3, "patch_zyx": [12, 12, 20]}
    network = build("unet-res-enc", in_channels=2, classes=15, features=[4, 8])
    card["weights"]["sha256"] = save_weights(network.state_dict(), folder / "weights.safetensors").sha256
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return folder


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_two_steps_and_then_one_more(small_bundle, run, tmp_path):
    out = tmp_path / "run"
    options = (
        "--out",
        out,
        "--start-from",
        small_bundle,
        "--phantoms",
        "40:50",
        "--producers",
        0,
        "--cases",
        1,
    )
    first = run(*options, "--steps", 2, "--version", "3.0")
    assert first.exit_code == 0, first.output
    assert "pelvis-ct@3.0" in first.output
    assert "Bladder" in first.output
    assert read_card(out / "bundle" / "card.yaml").reference == "pelvis-ct@3.0"
    again = run(*options, "--steps", 3)
    assert again.exit_code == 2
    assert "--resume" in again.output
    assert run(*options, "--steps", 3, "--resume").exit_code == 0
    assert len((out / "progress.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--hours"),
        (("--steps", 1, "--start-from", "nothing@1.0"), "no model nothing@1.0"),
        (("--steps", 1, "--phantoms", "12"), "FIRST:END"),
        (("--steps", 1, "--phantoms", "1:900001"), "900000"),
    ],
)
def test_a_wrong_argument_is_told(options, told, run, tmp_path):
    result = run("--out", tmp_path / "run", *options)
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "run").exists()
