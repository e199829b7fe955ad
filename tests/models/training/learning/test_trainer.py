import csv
import json

import pytest
import torch
from small_lessons import recipe, trainer_of

from models.training.learning.learner import Machine
from models.training.learning.lessons import Look
from models.training.refusals import TrainingRefused


def weights_of(trainer):
    return {name: tensor.clone() for name, tensor in trainer.learner.network.state_dict().items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def columns(folder, file):
    with (folder / file).open() as stream:
        return list(csv.DictReader(stream))


def stopping_after(step):
    return lambda done: done == step


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("optimiser.name=sgd", "optimiser.average=null"),
        ("optimiser.name=nadam",),
        ("network={name: recomia, arguments: {width: 0.1}}", "loss={name: dice}"),  # with batch norm
        ("end={epochs: 1.5, cycles: 2}", "schedule.name=plateau", "schedule.patience_epochs=0.5"),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path, settings):
    of = recipe(*settings)
    whole = trainer_of(of, tmp_path / "whole")
    assert whole.run()
    first = trainer_of(of, tmp_path / "parts")
    assert not first.run(pause=stopping_after(3))
    second = trainer_of(of, tmp_path / "parts")
    assert second.resume()
    assert second.progress.step == 3
    assert second.run()
    assert same(weights_of(whole), weights_of(second))
    assert same(whole.learner.weights(), second.learner.weights())
    assert not same(weights_of(second), weights_of(first))
    for file in ("progress.csv", "validation.csv"):
        parts, complete = columns(tmp_path / "parts", file), columns(tmp_path / "whole", file)
        for row in (*parts, *complete):
            row.pop("seconds", None)
        assert parts == complete


def test_a_rounded_checkpoint_rounds_the_run_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "models.training.learning.run_state.LIMIT_BYTES", 20_000
    )  # 16 bytes a parameter are 31 kB
    whole = trainer_of(recipe(), tmp_path / "whole")
    assert not whole.learner.state.is_exact
    whole.run()
    first = trainer_of(recipe(), tmp_path / "parts")
    first.run(pause=stopping_after(4))  # where there is a checkpoint anyway
    second = trainer_of(recipe(), tmp_path / "parts")
    second.resume()
    second.run()
    assert same(weights_of(whole), weights_of(second))
    assert same(whole.learner.weights(), second.learner.weights())


def test_every_step_and_look_has_its_line_and_a_resumed_run_no_line_twice(tmp_path):
    run = trainer_of(recipe("end.steps=5"), tmp_path)
    run.run()
    later = "9,4.5,0,1.0,1e-3,1\n7,3.5"  # of a time after the checkpoint
    (tmp_path / "progress.csv").write_text((tmp_path / "progress.csv").read_text() + later)
    run = trainer_of(recipe("end.steps=6"), tmp_path)
    run.resume()
    run.run()
    steps, looks = columns(tmp_path, "progress.csv"), columns(tmp_path, "validation.csv")
    assert [row["step"] for row in steps] == ["1", "2", "3", "4", "5", "6"]
    assert [row["epoch"] for row in steps] == ["0.5000", "1.0000", "1.5000", "2.0000", "2.5000", "3.0000"]
    assert float(steps[0]["learning_rate"]) == pytest.approx(0.01)
    assert [row["step"] for row in looks] == ["2", "4", "5", "6"]
    assert looks[0]["dsc"] == looks[0]["Bladder"]


def test_a_longer_end_goes_on_where_the_run_had_ended(tmp_path):
    trainer_of(recipe("end.steps=2"), tmp_path).run()
    again = trainer_of(recipe("end.steps=2"), tmp_path)
    again.resume()
    assert again.run(report=lambda told: pytest.fail("nothing is left to do"))
    longer = trainer_of(recipe("end.steps=4"), tmp_path)
    longer.resume()
    steps = []
    assert longer.run(report=lambda told: steps.append(told.step))
    assert steps == [3, 4]


def test_the_average_takes_nine_tenths_of_the_first_step(tmp_path):
    run = trainer_of(recipe("optimiser.learning_rate=0.05"), tmp_path)
    before = weights_of(run)
    run.run(pause=stopping_after(1))
    after, average = weights_of(run), run.learner.weights()
    for name, _ in run.learner.network.named_parameters():
        assert torch.allclose(average[name], before[name] + 0.9 * (after[name] - before[name]), atol=1e-6)


def test_a_look_sees_the_average_and_changes_nothing(tmp_path):
    run = trainer_of(recipe(), tmp_path)
    run.run(pause=stopping_after(2))
    name = next(iter(dict(run.learner.network.named_parameters())))
    assert torch.equal(run.lessons.looked[0], run.learner.weights()[name])
    assert not torch.equal(run.lessons.looked[0], weights_of(run)[name])


def test_the_best_weights_are_kept_and_a_vain_run_stops_early(tmp_path):
    of = recipe("end={epochs: 50, early_stop_epochs: 3}", "optimiser.average=null")
    looks = [Look(loss) for loss in (3.0, 2.0, 2.5, float("nan"), 2.0, 1.0)]
    run = trainer_of(of, tmp_path, looks=looks)
    assert run.run()
    assert run.progress.step == 10  # best after 2 epochs of 2 steps, three epochs without a better one
    assert run.watch.best == 2.0
    name = next(iter(dict(run.learner.network.named_parameters())))
    assert torch.allclose(run.learner.weights()[name].float(), run.lessons.looked[1], atol=1e-3)
    resumed = trainer_of(of, tmp_path, looks=looks)
    resumed.resume()
    assert same(resumed.learner.weights(), run.learner.weights())


def test_dsc_can_be_watched_and_more_of_it_is_better(tmp_path):
    of = recipe("end={epochs: 3, watch: validation-dsc}")
    looks = [Look(1.0, {"Bladder": dsc}) for dsc in (0.3, 0.6, 0.5)]
    run = trainer_of(of, tmp_path, looks=looks)
    run.run()
    assert run.watch.best == -0.6
    assert run.watch.best_epoch == 2


def test_another_class_list_is_refused_before_any_tensor_is_looked_at(tmp_path):
    trainer_of(recipe("end.steps=1"), tmp_path).run()
    for shard in (tmp_path / "checkpoint").glob("*.safetensors"):
        shard.unlink()
    other = trainer_of(recipe("structures=[Rectum, Bladder]"), tmp_path)
    with pytest.raises(TrainingRefused, match="another class list") as refusal:
        other.resume()
    assert refusal.value.code == "checkpoint.other-run"
    same_run = trainer_of(recipe(), tmp_path)
    with pytest.raises(TrainingRefused) as refusal:
        same_run.resume()
    assert refusal.value.code == "checkpoint.shard-missing"


def test_a_checkpoint_of_another_network_does_not_fit(tmp_path):
    trainer_of(recipe("end.steps=1"), tmp_path).run()
    for setting in ("network.arguments.features=[2, 6]", "network.arguments.features=[2, 4, 4]"):
        with pytest.raises(TrainingRefused) as refusal:
            trainer_of(recipe(setting), tmp_path).resume()
        assert refusal.value.code == "checkpoint.does-not-fit"


def test_there_is_nothing_to_resume_in_a_new_folder(tmp_path):
    assert not trainer_of(recipe(), tmp_path / "new").resume()


def test_a_full_disk_ends_the_run_with_a_sentence_and_leaves_the_last_checkpoint(tmp_path):
    run = trainer_of(recipe(), tmp_path)
    run.run(pause=stopping_after(2))
    (tmp_path / "checkpoint" / "index.json.part").symlink_to("/dev/full")
    with pytest.raises(TrainingRefused, match="disk is full") as refusal:
        run.run()
    assert refusal.value.code == "checkpoint.disk-full"
    index = json.loads((tmp_path / "checkpoint" / "index.json").read_text())
    assert index["state"]["progress"]["step"] == 2
    again = trainer_of(recipe(), tmp_path)
    assert again.resume()
    assert again.run()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    run = trainer_of(recipe("optimiser.learning_rate=1e30"), tmp_path)
    with pytest.raises(TrainingRefused, match="learning_rate") as refusal:
        run.run()
    assert refusal.value.code == "training.diverged"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_and_resumes_alike(tmp_path, precision):
    machine = Machine(precision=precision, checkpoint_steps=100)
    whole = trainer_of(recipe(), tmp_path / "whole", machine)
    losses = []
    whole.run(lambda told: losses.append(told.loss))
    assert losses[-1] < losses[0]
    trainer_of(recipe(), tmp_path / "parts", machine).run(pause=stopping_after(3))
    second = trainer_of(recipe(), tmp_path / "parts", machine)
    second.resume()
    second.run()
    assert same(weights_of(whole), weights_of(second))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_arithmetic_learns_alike(tmp_path):
    def losses(name, *, compiled):
        seen = []
        machine = Machine(checkpoint_steps=100, compiled=compiled)
        trainer_of(recipe(), tmp_path / name, machine).run(lambda told: seen.append(told.loss))
        return seen

    fused = losses("fused", compiled=True)
    assert fused == pytest.approx(losses("eager", compiled=False), rel=1e-4)
    assert fused[-1] < fused[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_run_learns_and_goes_on_on_a_gpu(tmp_path, precision):
    machine = Machine(torch.device("cuda"), precision, checkpoint_steps=100)
    of = recipe("end.steps=60", "optimiser.learning_rate=0.03")
    losses = []
    trainer_of(of, tmp_path, machine).run(lambda told: losses.append(told.loss), stopping_after(30))
    second = trainer_of(of, tmp_path, machine)
    assert second.resume()
    assert second.run(lambda told: losses.append(told.loss))
    assert losses[0] > 1.5
    assert losses[-1] < 0.5
    assert all(tensor.isfinite().all() for tensor in second.learner.weights().values())


def test_a_few_steps_are_enough_to_learn_a_block_by_heart(tmp_path):
    losses = []
    run = trainer_of(recipe("end.steps=60", "optimiser.learning_rate=0.03"), tmp_path)
    run.run(lambda told: losses.append(told.loss))
    assert losses[0] > 1.5
    assert losses[-1] < 0.5
