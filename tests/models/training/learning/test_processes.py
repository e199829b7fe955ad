"""Several processes train one network; here two on the CPU, started by PyTorch's own launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_lessons import BlockLessons, recipe, trainer_of

from models.training.learning.learner import Machine
from models.training.learning.optimisation import learning_rate
from models.training.learning.processes import Processes, joined

SETTINGS = ("end.steps=4", "optimiser.name=sgd", "optimiser.average=null", "loss={name: cross-entropy}")
PROGRAM = """
import sys
from pathlib import Path

import torch

from small_lessons import recipe, trainer_of
from models.training.learning.learner import Machine
from models.training.learning.processes import joined

torch.set_num_threads(1)
with joined("cpu") as (processes, device):
    trainer = trainer_of(recipe(*sys.argv[2:]), Path(sys.argv[1]), Machine(device, processes=processes))
    trainer.run()
    torch.save(trainer.learner.weights(), Path(sys.argv[1]) / f"{processes.rank}.pt")
    assert processes.gathered(processes.rank) == [0, 1]
"""


def test_alone_nothing_is_shared():
    with joined("cpu") as (processes, device):
        assert (processes, device.type) == (Processes(), "cpu")
        tensor = torch.tensor([1.0])
        processes.average([tensor])
        assert tensor.item() == 1
        assert processes.gathered("x") == ["x"]
        processes.wait()


@pytest.mark.slow
def test_two_processes_end_with_the_network_of_one_that_averages_over_their_shares(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(Path.cwd() / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*launcher, str(tmp_path / "program.py"), str(tmp_path), *SETTINGS],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    expected = averaged_over_shares()
    for name in first:
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], expected[name], atol=1e-6), name
    lines = (tmp_path / "progress.csv").read_text().splitlines()
    assert len(lines) == 5, "one process writes"


def averaged_over_shares():
    """The same four steps in one process: each share's gradients by itself, then their mean."""
    of = recipe(*SETTINGS)
    trainer = trainer_of(of, Path("/nowhere"), Machine())
    shares = [BlockLessons(of, part=(rank, 2)) for rank in (0, 1)]
    network, optimiser = trainer.learner.network, trainer.learner.state.optimiser
    network.train()
    for step in range(4):
        optimiser.param_groups[0]["lr"] = learning_rate(of, trainer.progress, trainer.watch)
        for lessons in shares:
            batch = lessons.batch(step)
            (trainer.learner.loss(network.scales(batch.x), batch.target) / 2).backward()
        optimiser.step()
        optimiser.zero_grad()
        trainer.progress.step += 1
    return trainer.learner.weights()
