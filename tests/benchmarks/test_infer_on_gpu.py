"""The program that measures a GPU runs to its end without one, at a size that is small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.gpu_bars import add_bars
from benchmarks.gpu_report import Report
from benchmarks.network_times import NetworkCase

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = """
from benchmarks import painted_case
painted_case.SMALL = painted_case.Size(12, 48, (8, 16, 24), (3, 4))
from benchmarks import infer_on_gpu
infer_on_gpu.main()
"""


def rows_of(folder, *arguments):
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "--device",
        "cpu",
        "--small",
        "--rounds",
        "1",
        "--out",
        str(folder),
    ]
    done = subprocess.run([*command, *arguments], cwd=TESTS, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "infer_on_gpu.json").read_text())["rows"], done.stdout


def test_it_measures_says_which_bars_hold_and_goes_on_when_a_part_fails(tmp_path, monkeypatch):
    (tmp_path / "monai.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{TESTS.parent}:{TESTS}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    parts = ("--only", "ours", "monai", "networks", "--networks", "unet-half", "--seconds", "400")
    rows, printed = rows_of(tmp_path, *parts)
    by_what = {(row["part"], row["what"]): row for row in rows}
    assert by_what["monai", "failed"]["reason"].startswith("ImportError")
    own = by_what["ours", "ours eager float32"]
    assert own["product"]
    assert own["seconds"] > 0
    assert by_what["ours", "ours eager float32: twice the same"]["bits"]
    assert by_what["networks", "unet-half"]["ratio"] > 0
    assert by_what["bar", "volume to fields, s"]["ours"] == own["seconds"]
    assert by_what["bar", "networks, ms a CT"]["of"] == 1
    assert "bar" in printed


def test_when_its_seconds_are_spent_it_ends_with_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{TESTS.parent}:{TESTS}")
    rows, _ = rows_of(tmp_path, "--only", "networks", "--seconds", "0.01")
    assert not [row for row in rows if row["part"] == "networks" and "ratio" in row]


def test_bars_compare_what_was_measured_in_the_same_rounds(tmp_path):
    report = Report(tmp_path, {})
    report.add("ours", "ours eager float16", seconds=0.08, gpu_gib=1.5, product=True)
    report.add("ours", "ours eager float32", seconds=0.01, gpu_gib=9.0, product=False)
    report.add("ours", "ours beside monai", seconds=0.1)
    report.add("peer", "monai float32", seconds=1.0, gpu_gib=1.0)
    report.add("peer", "monai float16", seconds=0.2, gpu_gib=1.0)
    report.add("ours", "ours beside nnunet", seconds=0.1)
    report.replace("peer", "nnunet, so far", seconds=3.0)
    report.replace("peer", "nnunet, so far", seconds=20.0)
    report.add("networks", "unet", ratio=2.5, ours_ms=400.0)
    report.add("compiled-networks", "unet", ratio=3.5, ours_ms=300.0)
    report.add("networks", "fcn", ratio=2.9, ours_ms=1200.0)
    add_bars(report)
    found = {row["what"]: row for row in report.rows if row["part"] == "bar"}
    assert found["volume to fields, s"]["ours"] == 0.08
    assert found["volume to fields, GPU GiB"]["holds"]
    assert found["beside MONAI's window, its default precision"]["ratio"] == pytest.approx(10)
    assert not found["beside MONAI's window, the same precision"]["holds"]
    assert found["beside nnU-Net, which had not finished"]["ratio"] == pytest.approx(200)
    assert found["networks, times their plain self"]["short"] == ["fcn"]
    assert found["networks, ms a CT"]["short"] == ["fcn"]


@pytest.mark.parametrize("name", ["unet-half", "recomia"])
def test_all_that_a_network_is_timed_on_is_shown_to_it(name):
    case = NetworkCase(name, torch.device("cpu"), small=True)
    assert case.look.hu.numel() == case.shown * torch.Size(case.look.tile_zyx).numel()
