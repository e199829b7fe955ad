"""``delineate data synthesize`` and ``data complete`` as people and machines call them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from phantom_in_box import drawn_map, template_of, write_label_map
from typer.testing import CliRunner, Result

from models.data_sets.data_set import DataSet
from models.synthetic_ct.label_maps import template_fit
from models.synthetic_ct.phantoms.phantom import pelvic_phantom
from models.synthetic_ct.tissues.tissue_maps import (
    Tissue,
    read_tissue_map,
    tissue_map_names,
    write_tissue_maps,
)
from service.__main__ import application
from service.errors import DataRefused

COARSE = ("--spacing", "20", "--slice", "20", "--device", "cpu")


def synthesize(*arguments: object) -> Result:
    return CliRunner().invoke(application(), ["data", "synthesize", *map(str, arguments), *COARSE])


def test_a_data_set_of_phantoms_is_made(tmp_path: Path) -> None:
    result = synthesize(
        tmp_path / "data", "--phantoms", "1003:1005", "--cases", 3, "--seed", 5, "--shares", "1,1,0"
    )
    assert result.exit_code == 0, result.output
    assert "3 cases" in result.output
    data = DataSet.open(tmp_path / "data")
    assert data.names() == ("p001003-1", "p001003-2", "p001004-1")
    assert {data.entry(name).part for name in data.names()} == {"train", "validation"}
    case = data.read("p001003-1")
    assert case.volume.grid.column_spacing_mm == 20
    assert np.diff(case.volume.grid.slice_offsets_mm) == pytest.approx(20)
    for told in ("phantoms 1003:1005", "3 cases", "seed 5", "20 x 20 x 20 mm", "cpu"):
        assert told in data.contents.source


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--phantoms", "1000-1100"), "FIRST:END"),
        (("--phantoms", "7:7"), "FIRST:END"),
        (("--shares", "1,1"), "three numbers"),
        (("--shares", "0,0,0"), "three numbers"),
        (("--device", "cuda:9"), "no GPU"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(application(), ["data", "synthesize", str(tmp_path / "data"), *arguments])
    assert result.exit_code == 2
    assert told in result.output
    assert not (tmp_path / "data").exists()


def test_seeds_that_are_never_trained_on_need_a_test_set(tmp_path: Path) -> None:
    result = synthesize(tmp_path / "data", "--phantoms", "900050:900051", "--cases", 1)
    assert isinstance(result.exception, DataRefused)
    assert result.exception.code == "synthesis.reserved-seeds"
    result = synthesize(tmp_path / "data", "--phantoms", "900050:900051", "--cases", 1, "--test-set")
    assert result.exit_code == 0, result.output
    assert DataSet.open(tmp_path / "data").names("test") == ("p900050-1",)


def test_a_file_that_holds_no_tissue_maps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "maps.npz").write_text("no maps")
    result = synthesize(tmp_path / "data", "--tissue-maps", tmp_path / "maps.npz")
    assert isinstance(result.exception, DataRefused)
    assert result.exception.code == "maps.unreadable"


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on_and_ends_with_the_same_data_set(tmp_path: Path) -> None:
    words = ("--phantoms", "1000:1100", "--cases", "3", *COARSE)
    command = [sys.executable, "-P", "-m", "service", "data", "synthesize", str(tmp_path / "killed"), *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    journal = tmp_path / "killed" / "unfinished.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"p00100") >= 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "data.yaml").exists()
    for folder in ("killed", "whole"):
        assert synthesize(tmp_path / folder, *words).exit_code == 0
    killed, whole = (DataSet.open(tmp_path / name) for name in ("killed", "whole"))
    killed.check()
    assert killed.fingerprint == whole.fingerprint


def label_map(folder: Path, *names: str) -> None:
    write_label_map(folder, drawn_map(pelvic_phantom(1000, couch=False), names))


@pytest.mark.slow
def test_label_maps_are_completed_and_ct_is_made_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in ("_AFFINE_STEPS", "_SMOOTH_STEPS"):  # the centroids alone bring the heads together
        monkeypatch.setattr(template_fit, steps, 4)
    label_map(tmp_path / "labels" / "drawn", "Bladder", "Femur_Head_L", "Femur_Head_R", "Colon")
    label_map(tmp_path / "labels" / "boneless", "Bladder")
    file, templates = tmp_path / "maps.npz", tmp_path / "templates.npz"
    write_tissue_maps(templates, [template_of(2005)])
    words = ["data", "complete", str(tmp_path / "labels"), "--out", str(file), "--device", "cpu"]
    result = CliRunner().invoke(application(), [*words, "--template", f"{templates}:other"])
    assert result.exit_code == 0, result.output
    assert "boneless: REFUSED" in result.output
    assert "1 of 2 label maps" in result.output
    assert tissue_map_names(file) == ("drawn__other",)
    assert {Tissue.HIP_L, Tissue.HIP_R, Tissue.SACRUM, Tissue.SKIN} <= set(
        np.unique(read_tissue_map(file, "drawn__other").codes).tolist()
    )
    result = synthesize(tmp_path / "data", "--tissue-maps", file, "--cases", 1)
    assert result.exit_code == 0, result.output
    case = DataSet.open(tmp_path / "data").read("drawn-1")
    assert {"Bladder", "Bone_Pelvic_L", "Sacrum"} <= set(case.masks)
    assert "Uterus" not in case.masks


def test_where_no_label_map_can_be_completed_the_command_fails(tmp_path: Path) -> None:
    label_map(tmp_path / "labels" / "boneless", "Bladder")
    words = ["data", "complete", str(tmp_path / "labels"), "--out", str(tmp_path / "maps.npz")]
    result = CliRunner().invoke(application(), words)
    assert isinstance(result.exception, DataRefused)
    assert "no femoral heads" in result.output
    assert not (tmp_path / "maps.npz").exists()
    result = CliRunner().invoke(application(), [*words[:-1], str(tmp_path / "maps.zip")])
    assert result.exit_code == 2
    assert "ends in .npz" in result.output


def test_label_maps_given_to_synthesize_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    label_map(tmp_path / "labels" / "boneless", "Bladder")
    result = synthesize(
        tmp_path / "data", "--labels", tmp_path / "labels", "--phantoms", "1003:1004", "--cases", 1
    )
    assert result.exit_code == 0, result.output
    assert "left out: boneless: no femoral heads" in result.output
    assert DataSet.open(tmp_path / "data").names() == ("p001003-1",)
