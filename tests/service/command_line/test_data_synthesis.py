"""``delineate data synthesize`` as people and machines call it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from models.training.data_set import DataSet
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
    def command(folder: str) -> list[str]:
        words = [
            "data",
            "synthesize",
            str(tmp_path / folder),
            "--phantoms",
            "1000:1100",
            "--cases",
            "3",
            *COARSE,
        ]
        return [sys.executable, "-P", "-m", "service", *words]

    process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
    journal = tmp_path / "killed" / "unfinished.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"p00100") >= 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "data.yaml").exists()
    subprocess.run(command("killed"), check=True, capture_output=True)
    subprocess.run(command("whole"), check=True, capture_output=True)
    killed, whole = (DataSet.open(tmp_path / name) for name in ("killed", "whole"))
    killed.check()
    assert killed.fingerprint == whole.fingerprint
