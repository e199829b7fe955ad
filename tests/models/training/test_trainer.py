import math

import pytest
import torch

from models.training.bundle_writer import network_of
from models.training.sample_stock import SampleStock
from models.training.synthetic_ct import Sample
from models.training.trainer import Plan, Trainer


class BlockStock(SampleStock):
    """Samples that take no time: a bright block of class 1, its place told by the number."""

    def __init__(self, folder):
        self.keep = 8
        self.asked = []

    def get(self, number: int) -> Sample:
        self.asked.append(number)
        labels = torch.zeros((8, 8, 8), dtype=torch.uint8)
        start = number % 4
        labels[start : start + 4, 2:6, 1:6] = 1
        noise = torch.randn((8, 8, 8), generator=torch.Generator().manual_seed(number)) * 10
        return Sample(labels * 200.0 - 100 + noise, labels)


def trainer(small_bundle, folder, plan: Plan, stock=None) -> Trainer:
    torch.manual_seed(0)
    network = network_of(small_bundle)
    return Trainer(network, small_bundle.input.channels, stock or BlockStock(folder), plan, folder)


def test_the_learning_rate_rises_and_falls_to_nothing():
    plan = Plan(steps=100, learning_rate=1.0, warmup_steps=10)
    assert plan.rate(0, 0) == pytest.approx(0.1)
    assert plan.rate(50, 0) == pytest.approx(0.5)
    assert plan.rate(100, 0) == pytest.approx(0)
    assert Plan(hours=1, learning_rate=1.0, warmup_steps=1).rate(7, 900) == pytest.approx(
        0.5 + 0.5 * math.cos(math.pi / 4)
    )


def test_a_run_ends_at_the_first_of_steps_and_hours():
    plan = Plan(steps=10, hours=1.0)
    assert plan.done(5, 0) == 0.5
    assert plan.done(1, 3600) == 1
    with pytest.raises(ValueError, match="needs an end"):
        Plan()


def test_samples_are_new_as_often_as_told_and_then_seen_again():
    plan = Plan(steps=1, batch=2, sees=4)
    numbers = [plan.sample_numbers(step, keep=10) for step in range(60)]
    assert all(len(n) == 2 for n in numbers)
    assert [plan.newest(step) for step in range(5)] == [0, 1, 1, 2, 2]
    for step, seen in enumerate(numbers):
        end = plan.newest(step + 1)
        assert all(max(0, end - 10) <= n < end for n in seen)
    assert numbers == [plan.sample_numbers(step, keep=10) for step in range(60)]
    assert {n for seen in numbers for n in seen} == set(range(30))


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(small_bundle, tmp_path):
    plan = Plan(steps=6, warmup_steps=2)
    whole = trainer(small_bundle, tmp_path / "whole", plan)
    whole.run()
    trainer(small_bundle, tmp_path / "parts", plan).run(until=3)
    second = trainer(small_bundle, tmp_path / "parts", plan)
    assert second.resume()
    assert second.step == 3
    second.run()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name
    for name, tensor in whole.averaged_state().items():
        assert torch.equal(tensor, second.averaged_state()[name]), name


def test_there_is_nothing_to_resume_in_a_new_folder(small_bundle, tmp_path):
    assert not trainer(small_bundle, tmp_path / "new", Plan(steps=1)).resume()


def test_the_average_takes_nine_tenths_of_the_first_step(small_bundle, tmp_path):
    run = trainer(small_bundle, tmp_path / "run", Plan(steps=4, learning_rate=0.05, warmup_steps=1))
    before = run.averaged_state()
    run.run(until=1)
    after = run.averaged_state()
    for name, parameter in run.network.named_parameters():
        expected = before[name] + 0.9 * (parameter.detach() - before[name])
        assert torch.allclose(after[name], expected, atol=1e-6), name


def test_a_few_steps_are_enough_to_learn_a_block_by_heart(small_bundle, tmp_path):
    losses = []
    plan = Plan(steps=60, learning_rate=2e-2, warmup_steps=5, sees=8, average=0.8)
    run = trainer(small_bundle, tmp_path / "run", plan)
    run.run(lambda step, loss: losses.append((step, loss)))
    assert [step for step, _ in losses] == list(range(1, 61))
    assert losses[0][1] > 3
    assert losses[-1][1] < 0.5
    assert len((tmp_path / "run" / "progress.csv").read_text().splitlines()) == 60
