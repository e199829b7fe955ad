import pytest
import torch
from small_lessons import recipe
from torch import nn

from models.training.learning.learner import Learner, Machine
from models.training.losses.target import Target
from models.training.samples.sampling import Batch


class Slope(nn.Module):
    """Two logits, background's 0 and the structure's ``weight * x``; half of the weights dropped if ``drops``."""

    dimensions = 3
    stride = 1

    def __init__(self, drops=False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.drop = nn.Dropout(0.5 if drops else 0.0)

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), self.drop(x) * self.weight], dim=1)

    def scales(self, x):
        return (self.forward(x),)


def batch_of(value: float) -> Batch:
    """One voxel-wide sample of ``value`` that is wholly of the structure."""
    mask = torch.ones(1, 1, 2, 2, 2, dtype=torch.bool)
    return Batch(torch.full((1, 1, 2, 2, 2), value), Target(mask, torch.ones(1, 1, dtype=torch.bool)))


def learner_of(*settings, drops=False):
    of = recipe(
        "optimiser={name: sgd, learning_rate: 1, momentum: 0}", "loss={name: cross-entropy}", *settings
    )
    return Learner(of, Slope(drops), Machine(), seed=3)


def test_a_step_by_hand():
    # the slope is 0: p = 1/2, the loss ln 2 and its gradient -x / 2
    learner = learner_of()
    assert learner.learn(batch_of(4.0), 0.1, step=0) == pytest.approx(0.6931, abs=1e-4)
    assert learner.network.weight.item() == pytest.approx(0.1 * 2)


def test_a_long_gradient_is_shortened():
    learner = learner_of("optimiser.clip_norm=0.5")
    learner.learn(batch_of(4.0), 0.1, step=0)
    assert learner.network.weight.item() == pytest.approx(0.1 * 0.5, rel=1e-5)


def test_what_a_network_draws_follows_from_the_step():
    def after(step):
        learner = learner_of(drops=True)
        torch.manual_seed(step + 100)
        learner.learn(batch_of(1.0), 1.0, step)
        return learner.network.weight.item()

    assert after(5) == after(5)
    assert len({after(step) for step in range(12)}) > 1


def test_a_bundle_gets_the_best_weights_only_where_they_are_wanted():
    for keep, expected in (("best", 0.2), ("last", 0.2 + 0.1 * 4 / (1 + torch.tensor(0.8).exp().item()))):
        learner = learner_of(f"end.keep={keep}")
        learner.learn(batch_of(4.0), 0.1, step=0)
        learner.keep()
        learner.learn(batch_of(4.0), 0.1, step=1)
        assert learner.weights()["weight"].item() == pytest.approx(expected, abs=1e-3)


def test_the_averages_stand_in_for_the_weights_and_leave_no_trace():
    learner = learner_of("optimiser.average=0.5")
    learner.learn(batch_of(4.0), 0.1, step=0)
    last = learner.network.weight.item()
    with learner.at_its_best() as network:
        assert not network.training
        assert network.weight.item() == pytest.approx(0.9 * last)  # the first step counts nine tenths
    assert learner.network.weight.item() == last
