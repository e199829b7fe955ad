"""``delineate compare`` as a person runs it."""

from __future__ import annotations

import csv

import pytest
import yaml
from evaluation_cases import write_bundle, write_data
from typer.testing import CliRunner

from models.cards.card import read_card
from models.networks import NETWORKS
from models.training.recipes.recipe_book import RecipeInvalid
from service.__main__ import application
from service.command_line import comparison
from service.errors import DataRefused, ModelRefused

LIVER = {"Liver": {"extent": "all of it", "volume_cm3": [1, 10]}}


def compare(folder, *told):
    arguments = ["compare", *told, "--data", folder / "data", "--out", folder / "out", "--device", "cpu"]
    return CliRunner().invoke(application(), [str(each) for each in arguments])


@pytest.fixture
def folder(tmp_path):
    write_data(tmp_path / "data")
    write_bundle(tmp_path / "bundles" / "known")
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """What was run, in this process and without pictures: a process of its own takes seconds to begin."""
    found = []

    def run(arguments):
        found.append([str(each) for each in arguments])
        result = CliRunner().invoke(application(), found[-1])
        assert result.exit_code == 0, result.output

    monkeypatch.setattr(comparison, "_run", run)
    monkeypatch.setattr("models.evaluation.run.why_no_pictures", lambda: "not now")
    return found


def nothing_is_run(monkeypatch):
    def refuse(arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(comparison, "_run", refuse)


def test_bundles_are_measured_once_and_one_that_cannot_be_stops_no_other(folder, runs):
    write_bundle(folder / "bundles" / "liver", name="liver", structures=LIVER)
    told = ("liver@1.0", folder / "bundles" / "known", "--bundles", folder / "bundles")
    found = compare(folder, *told, "--markdown", folder / "docs" / "table.md")
    assert found.exit_code == 1
    assert "not compared: liver@1.0: liver@1.0 offers Liver" in found.output
    for expected in ("All models", "Programs: DSC, mean over cases", "Contouring time"):
        assert expected in found.output
    text = (folder / "docs" / "table.md").read_text(encoding="utf-8")
    assert text == (folder / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "| known@1.0 | 0.750 | 0.333 |  | 0.542 |" in text
    with (folder / "out" / "comparison.csv").open(newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if line["metric"] == "DSC"]
    assert {line["structure"]: line["mean"] for line in lines}["Bladder"] == "0.75"
    assert (folder / "out" / "known@1.0" / "evaluation" / "report.html").is_file()

    again = compare(folder, folder / "bundles" / "known")
    assert again.exit_code == 0, again.output
    assert len(runs) == 1
    assert (folder / "out" / "comparison.md").read_text(encoding="utf-8") == text


def test_of_two_bundles_the_second_is_shown_after_the_first_case_by_case(folder, runs):
    write_bundle(folder / "bundles" / "next", name="next")
    found = compare(folder, "known@1.0", "next@1.0", "--bundles", folder / "bundles")
    assert found.exit_code == 0, found.output
    assert "next@1.0 after known@1.0, case by case" in found.output
    text = (folder / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "| Bladder | 2 | 0.750 | 0.750 | +0.000 | - | 0 | 0 | 1.00 | 1.00 |" in text
    assert (folder / "out" / "old-and-new.png").read_bytes()[:4] == b"\x89PNG"


def test_another_tolerance_is_measured_anew(folder, runs):
    for tolerance in (2, 2, 1):
        assert compare(folder, folder / "bundles" / "known", "--tolerance-mm", tolerance).exit_code == 0
    assert [run[run.index("--tolerance-mm") + 1] for run in runs] == ["2.0", "1.0"]


def test_a_process_that_is_killed_is_told(folder, monkeypatch):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(comparison, "_START", kill)
    found = compare(folder, folder / "bundles" / "known")
    assert found.exit_code == 1
    assert (
        "not compared: known@1.0: its process was ended by signal 9; if that is 9, memory was short"
        in found.output
    )
    assert not (folder / "out" / "comparison.md").exists()


@pytest.mark.parametrize(
    ("told", "kind", "sentence"),
    [
        (("unet--nobody-1999",), DataRefused, "no recipe unet--nobody-1999"),
        (("known@2.0",), ModelRefused, "no model known@2.0"),
        (("unet-res-enc--delineate", "--budget", "soon"), DataRefused, "200steps, 300s, 5min, 2h"),
        (("unet-res-enc--delineate", "--set", "batch"), DataRefused, "KEY=VALUE"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_done(
    folder, monkeypatch, told, kind, sentence
):
    nothing_is_run(monkeypatch)
    found = compare(folder, folder / "bundles" / "known", *told)
    assert isinstance(found.exception, kind)
    assert sentence in found.exception.sentence
    assert not (folder / "out").exists()


def test_a_model_that_is_named_twice_is_told(folder, monkeypatch):
    nothing_is_run(monkeypatch)
    found = compare(folder, folder / "bundles" / "known", "known@1.0", "--bundles", folder / "bundles")
    assert found.exit_code == 2
    assert "known@1.0: named twice" in " ".join(found.output.replace("│", " ").split())


def test_a_pattern_names_every_recipe_that_fits(tmp_path):
    ground = comparison.Ground((), None, {})
    found = comparison.targets(["mnet*--huang-2023"], tmp_path, ground, ())
    assert "mnet-im--huang-2023" in [each.name for each in found]
    assert all(each.recipe.paper == "huang-2023" for each in found)
    with pytest.raises(RecipeInvalid):
        comparison.targets(["*--huang-1923"], tmp_path, ground, ())


def test_a_star_names_every_network(tmp_path):
    found = comparison.targets(["*"], tmp_path, comparison.Ground(("CTV",), "2steps", {}), ())
    assert {each.recipe.network.name for each in found} == set(NETWORKS)


def test_what_every_recipe_was_given_is_told():
    ground = comparison.Ground(("Bladder",), "5min", {None: ["batch=2"], 2: [], 3: ["batch=1"]})
    assert ground.notes() == [
        "Every recipe learned Bladder, by one network.",
        "Every recipe was given a budget of 5min.",
        "Every recipe was given batch=2.",
        "Every recipe of a 3D network was given batch=1.",
    ]
    assert comparison.Ground((), None, {}).notes() == []


@pytest.mark.slow
def test_a_recipe_is_trained_measured_and_not_trained_again(folder, monkeypatch):
    told = (
        "unet-res-enc--delineate", "--structures", "Bladder", "--budget", "2steps", "--threads", 1,
        "--set", "network.arguments={features: [4, 6]}", "--set", "validation.cases=0",
        "--set-3d", "input.patch_zyx=[4, 8, 8]", "--set", "batch=1",
    )  # fmt: skip
    found = compare(folder, *told, "--part", "all")
    assert found.exit_code == 0, found.output
    bundle = folder / "out" / "unet-res-enc--delineate" / "run" / "bundle"
    card = read_card(bundle / "card.yaml")
    assert card.outputs == ("background", "Bladder")
    assert set(card.figures) == {"stage", "seed"}  # it is measured once, by the evaluation
    assert yaml.safe_load((bundle.parents[1] / "recipe.yaml").read_text())["end"]["steps"] == 2
    assert "Every recipe was given a budget of 2steps." in (folder / "out" / "comparison.md").read_text()
    assert "3D networks: DSC, mean over cases" in found.output
    nothing_is_run(monkeypatch)
    assert compare(folder, *told, "--part", "all").exit_code == 0
