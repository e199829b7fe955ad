import math

import pytest
import torch
from small_lessons import recipe

from models.training.learning.optimisation import Progress, Watch, learning_rate, optimiser_of
from models.training.recipes.recipe import End, Optimiser, Schedule


def rates(*settings, steps=10, epoch_batches=2):
    """Learning rates of the first steps, the highest being 1."""
    of = recipe("optimiser.learning_rate=1", *settings)
    progress = Progress(epoch_batches)
    found = []
    for _ in range(steps):
        found.append(learning_rate(of, progress, Watch()))
        progress.step += 1
    return found


def test_poly_falls_to_nothing_along_a_power():
    assert rates("schedule={name: poly, power: 2}", "end.steps=4", steps=5) == [1, 9 / 16, 1 / 4, 1 / 16, 0]


def test_cosine_rises_first_and_then_falls_to_nothing():
    found = rates("schedule={name: cosine, warmup_steps: 2}", "end.steps=4", steps=5)
    assert found == pytest.approx(
        [0.5, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.5 - 0.5 * math.cos(math.pi / 4), 0]
    )


def test_the_first_three_epochs_each_take_a_factor():
    found = rates("schedule={name: first-epochs, factor: 0.1, epochs: 3}", "end.steps=100")
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-3, 1e-3])


def test_constant_stays():
    assert set(rates("schedule.name=constant")) == {1.0}


def test_a_schedule_spans_all_cycles_or_begins_anew_with_each():
    of = recipe("optimiser.learning_rate=1", "schedule={name: poly, power: 1}", "end={steps: 4, cycles: 2}")
    anew = recipe("optimiser.learning_rate=1", "schedule={name: poly, power: 1, every_cycle: true}",
                  "end={steps: 4, cycles: 2}")  # fmt: skip
    progress = Progress(2, step=6, cycle=1, cycle_step=4)
    assert learning_rate(of, progress, Watch()) == pytest.approx(1 / 4)
    assert learning_rate(anew, progress, Watch()) == pytest.approx(1 / 2)


def test_a_plateau_drops_the_rate_when_patience_ends():
    schedule = Schedule("plateau", factor=0.5, patience_epochs=2)
    of = recipe("optimiser.learning_rate=1", "schedule={name: plateau, factor: 0.5, patience_epochs: 2}")
    watch = Watch()
    values = [(1, 3.0), (2, 2.0), (3, 2.5), (4, 2.0), (5, 2.1), (6, 1.0), (7, 1.5), (8, 1.5)]
    drops, better = [], []
    for epoch, value in values:
        better.append(watch.see(value, epoch, schedule))
        drops.append(watch.drops)
    assert better == [True, True, False, False, False, True, False, False]
    assert drops == [0, 0, 0, 1, 1, 1, 1, 2]
    assert learning_rate(of, Progress(2), watch) == 0.25


def test_a_cycle_forgets_its_best_and_keeps_the_drops_unless_told():
    watch = Watch(best=1.0, best_epoch=3, drops=2, waited_from=3)
    watch.next_cycle(Schedule("plateau"))
    assert watch == Watch(drops=2)
    watch.next_cycle(Schedule("plateau", every_cycle=True))
    assert watch == Watch()


def test_a_run_is_vain_so_many_epochs_after_its_best():
    watch = Watch(best=1.0, best_epoch=2.0)
    assert not watch.in_vain(4.5, End(epochs=9, early_stop_epochs=3))
    assert watch.in_vain(5.0, End(epochs=9, early_stop_epochs=3))
    assert not watch.in_vain(50, End(epochs=9))


def test_a_cycle_is_over_at_the_first_of_its_ends():
    progress = Progress(5, step=20, seconds=1800, cycle=1, cycle_step=10, epochs_before=4)
    assert progress.done(End(epochs=4)) == 0.5
    assert progress.done(End(steps=40)) == 0.25
    assert progress.done(End(epochs=4, hours=0.5)) == 1
    assert progress.done(End(steps=5)) == 1
    assert progress.cycle_epoch == 2
    assert progress.epoch == 6


def test_what_is_due_every_so_many_epochs_comes_at_their_end():
    due = [step for step in range(1, 13) if Progress(4, step=step, cycle_step=0).every(1.5)]
    assert due == [6, 12]
    assert [step for step in range(1, 4) if Progress(4, step=step).every(0.01)] == [1, 2, 3]


def stepped(optimiser: Optimiser) -> float:
    """Where a weight of 1 goes in one step along a gradient of 0.5."""
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.full((1,), 0.5)
    optimiser_of(optimiser, [weight]).step()
    return float(weight.detach())


def test_one_step_of_each_optimiser_by_hand():
    assert stepped(Optimiser("sgd", 0.1)) == pytest.approx(1 - 0.1 * 0.5)
    assert stepped(Optimiser("sgd", 0.1, weight_decay=0.2)) == pytest.approx(1 - 0.1 * (0.5 + 0.2))
    # Adam's first step is the rate times the gradient's sign, weight decay (0.8 in Xiao 2022) in the gradient
    assert stepped(Optimiser("adam", 0.1, weight_decay=0.8)) == pytest.approx(0.9)
    assert stepped(Optimiser("adamw", 0.1, weight_decay=0.8)) == pytest.approx(1 - 0.1 * 0.8 - 0.1)
    # NAdam: mu_1 = 0.9 (1 - 0.5 * 0.96^0.004), mu_2 likewise with 0.008
    mu = [0.9 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (1, 2)]
    step = (1 - mu[0]) * 0.5 / (1 - mu[0]) + mu[1] * 0.05 / (1 - mu[0] * mu[1])
    assert stepped(Optimiser("nadam", 0.1)) == pytest.approx(1 - 0.1 * step / 0.5, rel=1e-5)


def test_momentum_and_nesterov_of_sgd():
    found = []
    for nesterov in (False, True):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimiser = optimiser_of(Optimiser("sgd", 1.0, momentum=0.5, nesterov=nesterov), [weight])
        for _ in range(2):
            weight.grad = torch.ones(1)
            optimiser.step()
        found.append(float(weight.detach()))
    assert found == [-2.5, -3.25]  # 1 + 1.5; 1.5 + 1.75
