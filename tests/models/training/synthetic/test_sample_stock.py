import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from models.training.synthetic.sample_stock import AHEAD, SampleRecipe, SampleStock

RECIPE = SampleRecipe(seed=9, patch_zyx=(6, 6, 10), spacing_mm=45.0, phantom_seeds=(10, 30))


def test_a_sample_is_made_once_and_then_read(tmp_path):
    stock = SampleStock(RECIPE, tmp_path)
    made = stock.get(0)
    assert [f.name for f in tmp_path.iterdir()] == ["00000000.npz"]
    written = next(tmp_path.iterdir()).stat().st_mtime_ns
    read = stock.get(0)
    assert next(tmp_path.iterdir()).stat().st_mtime_ns == written
    assert torch.equal(made.hu, read.hu)
    assert torch.equal(made.labels, read.labels)


def test_old_samples_are_thrown_away(tmp_path):
    stock = SampleStock(RECIPE, tmp_path, keep=2)
    for number in range(5):
        stock.get(number)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["00000002.npz", "00000003.npz", "00000004.npz"]


@pytest.mark.slow
def test_another_process_makes_the_same_samples_ahead(tmp_path):
    here = SampleStock(RECIPE, tmp_path / "here").get(1)
    stock = SampleStock(RECIPE, tmp_path / "ahead")
    with stock.produced_ahead(1, first=0):
        ahead = stock.get(1)
        deadline = time.monotonic() + 300
        while not (tmp_path / "ahead" / f"{AHEAD:08d}.npz").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert torch.equal(here.hu, ahead.hu)
    names = sorted(f.name for f in (tmp_path / "ahead").glob("*.npz"))
    assert f"{AHEAD:08d}.npz" in names
    assert len(names) <= AHEAD + 2


@pytest.mark.slow
def test_producers_end_when_the_training_process_is_killed(tmp_path):
    program = f"""
import os, signal, time
from pathlib import Path
from models.training.synthetic.sample_stock import SampleRecipe, SampleStock
if __name__ == "__main__":
    recipe = SampleRecipe(seed=9, patch_zyx=(6, 6, 10), spacing_mm=45.0, phantom_seeds=(10, 30))
    stock = SampleStock(recipe, Path({str(tmp_path)!r}))
    with stock.produced_ahead(1, 0):
        stock.get(0)
        print(stock._producers[0].pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    producer = int(done.stdout)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{producer}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.1)
    pytest.fail("the producer outlived the training process")
