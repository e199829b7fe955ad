"""A run that is killed with SIGKILL, at whatever moment, ends as one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_lessons import recipe, trainer_of

from models.training.learning.learner import Machine

SETTINGS = ("end.steps=40", "validation.every_epochs=4")
PROGRAM = """
import sys
from pathlib import Path

import torch

from small_lessons import recipe, trainer_of
from models.training.learning.learner import Machine

torch.set_num_threads(1)
trainer = trainer_of(recipe(*sys.argv[2:]), Path(sys.argv[1]), Machine(checkpoint_steps=4))
trainer.resume()
trainer.run()
"""


def killed(folder: Path, generation: int) -> None:
    """Start a run, or go on with it, and kill it when so many checkpoints have been begun."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(Path.cwd() / "tests")])}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), *SETTINGS], env=environment
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            names = [file.name for file in (folder / "checkpoint").glob("shard-*")]
            if any(int(name.split("-")[1]) >= generation for name in names):
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def ended(folder: Path) -> tuple[list[torch.Tensor], bool]:
    """Every tensor at the end of the run, and whether there was a checkpoint to go on from."""
    trainer = trainer_of(recipe(*SETTINGS), folder, Machine(checkpoint_steps=4))
    resumed = trainer.resume()
    assert trainer.run()
    weights = trainer.learner.network.state_dict().values()
    return [*weights, *trainer.learner.weights().values()], resumed


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_ends_with_the_same_bits_as_one_that_was_not(tmp_path):
    killed(tmp_path / "parts", generation=2)  # while the second checkpoint is written, or just after
    killed(tmp_path / "parts", generation=4)
    parts, resumed = ended(tmp_path / "parts")
    assert resumed
    whole, _ = ended(tmp_path / "whole")
    assert all(torch.equal(one, other) for one, other in zip(parts, whole, strict=True))
    lines = (tmp_path / "parts" / "progress.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == [str(step) for step in range(1, 41)]
