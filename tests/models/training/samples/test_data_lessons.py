import numpy as np
import pytest
import torch
from small_cases import SHAPE, block, case_of, data_of, recipe_for
from torch import nn

from models.training.learning.learner import Machine
from models.training.learning.processes import Processes
from models.training.refusals import TrainingRefused
from models.training.samples.data_lessons import DataLessons
from models.training.thresholds import best_candidate, chosen_thresholds

LEFT, RIGHT = block((0, 6), (0, 20), (12, 24)), block((0, 6), (0, 20), (0, 12))


class Bright(nn.Module):
    """Calls everything above a CT number the first structure; likelier the brighter it is."""

    dimensions = 3
    stride = 1

    def __init__(self, above_hu=500.0, outputs=1):
        super().__init__()
        self.above = nn.Parameter(torch.tensor(above_hu))
        self.outputs = outputs

    def forward(self, x):
        return torch.cat([(x - self.above) / 100] * self.outputs, dim=1)

    def scales(self, x):
        return (self.forward(x),)


def lessons_of(tmp_path, cases, parts, machine=None, structures=("Bladder",), **changes):
    recipe = recipe_for(structures, (6, 20, 24), **({"batch": 1} | changes))
    data = data_of(tmp_path / f"data-{len(list(tmp_path.iterdir()))}", cases, parts)
    return DataLessons(data, recipe, tmp_path / "prepared", 3, machine or Machine())


def steps(levels, mask):
    """A CT of 0 HU with ``levels`` HU in the mask's slices, one after the other."""
    hu = np.zeros(SHAPE, np.int16)
    for z, level in enumerate(levels):
        hu[z][mask[z]] = level
    return hu


def test_a_look_computes_loss_and_dsc_by_hand(tmp_path):
    half = steps([1000, 1000, 1000, 0, 0, 0], LEFT)  # of the left side the upper half is bright: DSC 2/3
    cases = [case_of(1, {"Bladder": LEFT}), case_of(2, {"Bladder": LEFT}, half),
             case_of(3, {"Bladder": LEFT}, steps([1000] * 6, LEFT)), case_of(4, {}, half)]  # fmt: skip
    lessons = lessons_of(tmp_path, cases, ["train", "validation", "validation", "validation"])
    look = lessons.look(Bright())
    assert look.dsc == {"Bladder": pytest.approx((2 / 3 + 1) / 2, abs=1e-6)}
    p, n = 1 / (1 + np.exp(-5)), 1 / (1 + np.exp(5))  # of a bright voxel and a dark one; 1440 voxels are true
    soft = [720 * p + 720 * n, 1440 * p]
    said = [720 * p + 2160 * n, 1440 * p + 1440 * n]
    losses = [1 - (2 * both + 1) / (1440 + all_ + 1) for both, all_ in zip(soft, said, strict=True)]
    assert look.loss == pytest.approx(np.mean(losses), abs=1e-4)


def test_only_the_first_cases_are_looked_at_if_the_recipe_says_so(tmp_path):
    cases = [case_of(n, {"Bladder": LEFT}, steps([1000] * (7 - n), LEFT)) for n in (1, 2, 3)]
    parts = ["validation", "validation", "train"]
    one = lessons_of(tmp_path, cases, parts, validation={"cases": 1}).look(Bright())
    assert one.dsc == {"Bladder": 1.0}
    none = lessons_of(tmp_path, cases, parts, validation={"cases": 0, "batches": 1}).look(Bright())
    assert none.dsc == {}
    assert np.isnan(none.mean_dsc)
    assert np.isfinite(none.loss)


def test_softmax_takes_the_winner_and_knows_no_mask_for_what_is_unknown(tmp_path):
    class Sides(Bright):
        def forward(self, x):
            bright = x[:, :1] > 500
            return torch.cat([~bright, bright, torch.zeros_like(bright)], dim=1) * 10.0 * self.above.sign()

    cases = [
        case_of(1, {"Bladder": LEFT, "Rectum": RIGHT}),
        case_of(2, {"Bladder": LEFT}, steps([900] * 6, LEFT)),
    ]
    lessons = lessons_of(tmp_path, cases, ["train", "validation"], structures=("Bladder", "Rectum"),
                         activation="softmax", loss={"name": "cross-entropy"})  # fmt: skip
    assert lessons.look(Sides()).dsc == {"Bladder": 1.0}


def test_validation_patients_take_turns_if_the_recipe_varies_them(tmp_path):
    cases = [case_of(n, {"Bladder": LEFT}) for n in range(1, 7)]
    parts = ["train"] * 4 + ["validation"] + ["test"]
    lessons = lessons_of(tmp_path, cases, parts, end={"steps": 1, "cycles": 5, "vary_validation": True})
    held = []
    for cycle in range(5):
        if cycle:
            lessons.next_cycle(Bright(), cycle)
        held.append([case.name for case in lessons.validation_cases()])
        assert lessons.epoch_batches == 4
    assert held[0] == ["p0005-1"]
    assert sorted(name for names in held for name in names) == [f"p000{n}-1" for n in range(1, 6)]
    again = lessons_of(tmp_path, cases, parts, end={"steps": 1, "cycles": 5, "vary_validation": True})
    again.load_state(lessons.state())
    assert [case.name for case in again.validation_cases()] == held[4]


def test_false_positives_are_looked_for_at_the_end_of_a_cycle_and_kept(tmp_path):
    small = block((2, 4), (8, 12), (14, 18))
    cases = [case_of(1, {"Bladder": small}, steps([0, 0, 1000, 1000, 0, 0], small | block((2, 3), (0, 1), (0, 1)))),
             case_of(2, {"Bladder": small})]  # fmt: skip
    settings = {
        "sampling": {"around_false_positives": 1.0},
        "input": {"patch_zyx": [1, 1, 1]},
        "activation": "sigmoid",
    }
    lessons = lessons_of(tmp_path, cases, ["train", "validation"], **settings)
    assert list(lessons.state()) == ["cycle"]
    lessons.next_cycle(Bright(), 1)
    assert lessons.state()["false-positives/p0001-1"].tolist() == [[2, 0, 0]]
    again = lessons_of(tmp_path, cases, ["train", "validation"], **settings)
    again.load_state(lessons.state())
    assert again.state()["cycle"] == 1
    assert again.batch(0).x.flatten().tolist() == [1000.0], "the one voxel that was called wrongly"


def test_processes_share_a_batch(tmp_path, monkeypatch):
    cases = [case_of(n, {"Bladder": LEFT}, np.full(SHAPE, n, np.int16)) for n in range(1, 6)]
    parts = ["train"] * 4 + ["validation"]
    whole = lessons_of(tmp_path, cases, parts, batch=4).batch(0).x
    monkeypatch.setattr(Processes, "wait", lambda self: None)  # each is alone here
    machines = [Machine(processes=Processes(rank, 2)) for rank in (0, 1)]
    shares = [lessons_of(tmp_path, cases, parts, machine, batch=4).batch(0).x for machine in machines]
    assert [len(share) for share in shares] == [2, 2]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)


def test_what_does_not_fit_is_refused(tmp_path):
    cases = [case_of(1, {"Bladder": LEFT}), case_of(2, {"Bladder": LEFT})]
    for parts, changes, code in (
        (["test", "validation"], {}, "training.no-cases"),
        (["train", "test"], {}, "training.no-validation"),
        (["train", "test"], {"end": {"steps": 1, "keep": "last", "early_stop_epochs": 2}}, "training.no-validation"),
        (["train", "test"], {"end": {"steps": 1, "keep": "last"}, "schedule": {"name": "plateau"}}, "training.no-validation"),
        (["train", "test"], {"end": {"steps": 1, "keep": "last"}, "thresholds": {"candidates": [0.5]}}, "training.no-validation"),
    ):  # fmt: skip
        with pytest.raises(TrainingRefused) as refusal:
            lessons_of(tmp_path, cases, parts, **changes)
        assert refusal.value.code == code
    with pytest.raises(TrainingRefused) as refusal:
        lessons_of(tmp_path, cases, ["train", "validation"], Machine(processes=Processes(0, 2)), batch=3)
    assert refusal.value.code == "training.batch-not-shared"
    fixed = {"end": {"steps": 1, "keep": "last"}, "thresholds": {"Bladder": 0.4}}
    assert lessons_of(tmp_path, cases, ["train", "test"], **fixed).epoch_batches == 1


def test_the_threshold_with_the_best_mean_dsc_is_chosen_for_each_output(tmp_path):
    # p is 0.88 in three slices of the structure and 0.27 in the other three, 0.12 in one slice beside it
    inside = steps([700, 700, 700, 400, 400, 400], LEFT) + steps([300, 0, 0, 0, 0, 0], RIGHT)
    cases = [case_of(1, {"Bladder": LEFT, "Rectum": RIGHT}), case_of(2, {"Bladder": LEFT}, inside)]
    lessons = lessons_of(tmp_path, cases, ["train", "validation"], structures=("Bladder", "Rectum"))
    found = chosen_thresholds(lessons, Bright(outputs=2), ("Bladder", "Rectum"), (0.1, 0.2, 0.5, 0.9))
    assert found == {"Bladder": 0.2, "Rectum": 0.5}


def test_of_equal_thresholds_the_one_in_the_middle_is_taken():
    assert best_candidate({0.1: [0.8], 0.45: [0.8], 0.9: [0.8, 0.8]}) == 0.45
    assert best_candidate({0.1: [0.8, 0.6], 0.5: [0.7, 0.5]}) == 0.1
    assert best_candidate({0.1: [], 0.9: []}) == 0.5
