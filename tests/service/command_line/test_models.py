"""``delineate models``."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from models.cards.card import read_card
from models.cards.catalog import SHIPPED
from models.data_sets.data_set import Case, DataSetWriter
from models.networks import NETWORKS
from models.volume import CtVolume
from service.command_line.models import app
from service.dicom.patient_grids import patient_grid
from service.errors import DataRefused, ModelRefused


def run(*arguments: str):
    return CliRunner().invoke(app, ["models", *arguments])


@pytest.fixture
def copied(tmp_path):
    """A site's own bundle: the shipped outline under another name."""
    folder = tmp_path / "outline"
    shutil.copytree(SHIPPED / "external", folder)
    card = folder / "card.yaml"
    card.write_text(card.read_text().replace("name: external", "name: outline"))
    return tmp_path


def test_the_list_names_every_bundle_and_whether_it_was_validated(copied):
    found = run("list", "--bundles", str(copied))
    assert found.exit_code == 0
    for text in ("external@1.0", "pelvis-ct@2.0", "outline@1.0", "synthetic"):
        assert text in found.output


def test_what_goes_into_a_pipe_is_neither_wrapped_nor_shortened(copied):
    card = copied / "outline" / "card.yaml"
    summary = "A summary " + "that goes on and on " * 12 + "[to its end]."
    text = card.read_text().replace(read_card(card).summary, summary)
    card.write_text(text)
    assert any(summary in line for line in run("list", "--bundles", str(copied)).output.splitlines())


def test_networks_are_listed_with_paper_and_size_for_people_and_for_programs():
    lines = run("networks").output.splitlines()
    (line,) = (line for line in lines if "cab-unet" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["cab-unet", "2D", "liu-z-2020", "41,010,238", "by hand", "1", "6"]
    documents = json.loads(run("networks", "--json").output)
    assert [document["name"] for document in documents] == list(NETWORKS)
    assert documents[-1] == {
        "name": "unet-res-enc",
        "dimensions": 3,
        "paper": "house",
        "in_channels": 2,
        "classes": 15,
        "parameters": 7_573_350,
        "counted": "by hand",
    }


def test_show_prints_the_card():
    found = run("show", "pelvis-ct@2.0")
    assert "GPL-3.0" in found.output
    assert "never to be used unreviewed" in found.output


def test_an_unknown_bundle_is_refused_with_the_known_ones():
    found = run("show", "pelvis-ct@7.0")
    assert isinstance(found.exception, ModelRefused)
    assert "pelvis-ct@2.0" in found.exception.sentence


def test_verify_says_intact_and_names_what_is_not(tmp_path):
    assert run("verify").exit_code == 0
    folder = tmp_path / "pelvis"
    shutil.copytree(SHIPPED / "pelvis-ct", folder)
    card = folder / "card.yaml"
    card.write_text(card.read_text().replace("name: pelvis-ct", "name: changed"))
    (folder / "weights.safetensors").write_bytes(b"something else")
    found = run("verify", "changed@2.0", "--bundles", str(tmp_path))
    assert found.exit_code == 1
    assert "model.hash-mismatch" in found.output


def test_a_broken_card_is_shown_beside_the_good_ones(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.yaml").write_text("nonsense: 1")
    found = run("list", "--bundles", str(tmp_path))
    assert "broken  model.card-invalid" in found.output
    assert "external@1.0" in found.output


def test_recipes_are_listed_whole_for_people_and_for_programs():
    found = run("recipes")
    assert "unet-res-enc--delineate: Today's reference" in found.output
    assert "Vessels_Iliac, Uterus, Prostate" in found.output
    recipes = {recipe["name"]: recipe for recipe in json.loads(run("recipes", "--json").output)}
    assert recipes["unet-res-enc--delineate"]["network"]["name"] == "unet-res-enc"


def test_statistics_of_a_data_set_go_into_the_card(tmp_path):
    shape = (12, 60, 60)
    grid = patient_grid("HFS", shape_zyx=shape, spacing_zyx_mm=(3.0, 4.0, 4.0))
    body = np.zeros(shape, bool)
    body[:, 10:50, 10:50] = True  # 40 pixels of 4 mm each way on 12 slices of 3 mm
    writer = DataSetWriter(tmp_path / "data", ["External"], "a block of water")
    hu = np.where(body, 0, -1000).astype(np.int16)
    writer.add(Case("c1", "p1", CtVolume(hu, grid), {"External": body}), "train")
    writer.close()
    bundle = tmp_path / "external"
    shutil.copytree(SHIPPED / "external", bundle)
    answer = run("statistics", str(bundle), "--data", str(tmp_path / "data"), "--device", "cpu")
    assert answer.exit_code == 0, answer.output
    assert "External            1 cases" in answer.output
    statistics = read_card(bundle / "card.yaml").statistics
    assert statistics.ct.cases == 1
    assert statistics.ct.noise_hu == (0, 0)
    assert "1 cases of 1 patients" in statistics.data
    before = (SHIPPED / "external" / "card.yaml").read_text().rstrip("\n")
    assert (bundle / "card.yaml").read_text().startswith(before)

    refused = run("statistics", str(bundle), "--data", str(tmp_path / "data"), "--part", "validation")
    assert isinstance(refused.exception, DataRefused)
    assert refused.exception.code == "evaluation.no-case"
