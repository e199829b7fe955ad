"""The training command as a person runs it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from small_cases import block, case_of, data_of, recipe_for
from typer.testing import CliRunner

from models.cards.card import read_card
from models.cards.catalog import find_bundle
from models.cards.weights import save_weights
from models.networks import build
from models.training.bundles.bundle_writer import plain
from service.command_line.training import app
from service.errors import DataRefused, ModelRefused

HOUSE = "unet-res-enc--delineate"


@pytest.fixture
def small_bundle(tmp_path) -> Path:
    """The shipped bundle's card with a network of 4-8 features and a patch of 12 x 12 x 20 voxels of 24 mm."""
    folder = tmp_path / "small"
    shutil.copytree(find_bundle("pelvis-ct@2.0").folder, folder)
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


def test_synthetic_samples_two_steps_and_then_one_more(small_bundle, run, tmp_path):
    out = tmp_path / "run"
    options = (HOUSE, "--out", out, "--start-from", small_bundle, "--phantoms", "40:50", "--producers", 0)
    options += ("--cases", 1, "--set", "batch=2", "--set", "validation.cases=1", "--version", "3.0")
    first = run(*options, "--set", "end.steps=2")
    assert first.exit_code == 0, first.output
    assert "pelvis-ct@3.0" in first.output
    assert "Bladder" in first.output
    assert "step 2: loss" in first.output
    assert read_card(out / "bundle" / "card.yaml").reference == "pelvis-ct@3.0"
    again = run(*options, "--set", "end.steps=3")
    assert isinstance(again.exception, DataRefused)
    assert again.exception.code == "training.folder-taken"
    assert run(*options, "--set", "end.steps=3", "--resume").exit_code == 0
    assert len((out / "progress.csv").read_text().splitlines()) == 4


def test_a_data_set_to_a_bundle_that_the_node_finds(run, tmp_path):
    cases = [case_of(n, {"Bladder": block((1, 5), (3, 12), (4, 15))}) for n in (1, 2, 3)]
    data = data_of(tmp_path / "data", cases, ["train", "validation", "test"]).folder
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(json.dumps(plain(asdict(recipe_for(["Bladder"], (1, 20, 24))))))
    settings = ("network.name=resau-net", "network.arguments.width=0.05", "end={steps: 2}")
    out = tmp_path / "run"
    options = (recipe, "--out", out, "--data", data, *(o for s in settings for o in ("--set", s)))
    paused = run(*options, "--minutes", 0)
    assert paused.exit_code == 0
    assert "Paused. Go on" in paused.output
    assert "--resume" in paused.output
    done = run(*options, "--resume", "--device", "cpu", "--precision", "float32", "--threads", 1)
    assert done.exit_code == 0, done.output
    assert "Going on after step 1" in done.output
    assert "DSC, test:" in done.output
    found = find_bundle("small--nobody@1.0", [out])
    assert found.figures["test"].keys() == {"Bladder"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "give --data"),
        (("--data", ".", "--phantoms", "1:2"), "give --data"),
        (("--phantoms", "12"), "FIRST:END"),
        (("--phantoms", "1:900001"), "900000"),
        (("--tissue-maps", "nothing.npz"), "does not exist"),
        (("--phantoms", "1:2", "--precision", "int8"), "one of auto, float32"),
    ],
)
def test_a_wrong_option_is_told(options, told, run, tmp_path):
    result = run(HOUSE, "--out", tmp_path / "run", *options)
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (("nothing", "--phantoms", "1:2"), DataRefused, "recipe.unknown"),
        ((HOUSE, "--phantoms", "1:2", "--set", "colour=red"), DataRefused, "recipe.invalid"),
        ((HOUSE, "--phantoms", "1:2", "--start-from", "nothing@1.0"), ModelRefused, "model.unknown"),
        ((HOUSE, "--phantoms", "1:2", "--start-from", "external@1.0"), DataRefused, "recipe.no-network"),
        ((HOUSE, "--data", "/nowhere"), DataRefused, "data.missing"),
    ],
)
def test_what_is_refused_is_told_with_a_code(arguments, kind, code, run, tmp_path):
    result = run(*arguments, "--out", tmp_path / "run")
    assert isinstance(result.exception, kind), result.output
    assert result.exception.code == code
    assert not (tmp_path / "run").exists()
