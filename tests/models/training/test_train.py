"""Whole runs: from a recipe and a data set, or synthetic CT, to a bundle that is loaded as the node loads it."""

import numpy as np
import pytest
import torch
from small_cases import block, case_of, data_of

from models.cards.card import read_card
from models.cards.catalog import content_sha256, find_bundle
from models.data_sets.data_set import DataSet
from models.predictor import load
from models.training.learning.learner import Machine
from models.training.recipes.recipe_book import RecipeInvalid, as_bundle, overridden, recipe_of
from models.training.refusals import TrainingRefused
from models.training.synthetic.run import Synthetic
from models.training.train import train
from models.training.training_run import TrainingRun, Watcher

SHAPE = (6, 16, 16)
LEFT, RIGHT = (
    block((1, 5), (3, 13), (9, 15), shape_zyx=SHAPE),
    block((1, 5), (3, 13), (1, 7), shape_zyx=SHAPE),
)
CONTENT = {
    "name": "bright--nobody",
    "summary": "finds what is bright",
    "network": {"name": "unet-res-enc", "arguments": {"features": [4, 8]}},
    "structures": ["Femur_Head_L", "Femur_Head_R"],
    "input": {
        "spacing_zyx_mm": [None, None, None],
        "patch_zyx": [6, 16, 16],
        "channels": [{"clip_hu": [-1000, 1000], "subtract_hu": "mean", "divide_hu": "std"}],
    },
    "loss": {"name": "cross-entropy-and-batch-dice"},
    "optimiser": {"name": "adam", "learning_rate": 0.02},
    "end": {"epochs": 60, "watch": "validation-dsc"},
    "validation": {"every_epochs": 30},
    "batch": 3,
    "postprocess": {"Femur_Head_L": {"largest_component": True}},
    "extents": {"Femur_Head_R": "all that is bright on the right"},
}


def bright(number: int):
    """Two bright blocks in soft tissue: the left one at 300 HU, the right one at 700."""
    rng = np.random.default_rng(number)
    hu = rng.normal(0, 10, SHAPE) + 300 * LEFT + 700 * RIGHT
    return case_of(number, {"Femur_Head_L": LEFT, "Femur_Head_R": RIGHT}, hu.astype(np.int16))


@pytest.fixture
def data(tmp_path):
    cases = [bright(number) for number in range(1, 6)]
    return data_of(tmp_path / "data", cases, ["train", "train", "train", "validation", "test"]).folder


def run_of(out, data, *settings, content=CONTENT, **changes):
    return TrainingRun(recipe=recipe_of(overridden(content, settings)), out=out, data=data, **changes)


def trained(run, *, resume=False, machine=None, **watcher):
    return train(run, machine or Machine(), Watcher(**watcher), resume=resume)


def test_a_run_ends_in_a_bundle_that_draws_what_it_learned(data, tmp_path):
    said = []
    found = trained(run_of(tmp_path / "run", data), say=said.append)
    card = found.card
    assert card.reference == "bright--nobody@1.0"
    assert card.folder == tmp_path / "run" / "bundle"
    assert card.weights is not None
    assert content_sha256(card) == card.weights.sha256
    assert card.weights.dtype == "float16"
    assert card.outputs == ("background", "Femur_Head_L", "Femur_Head_R")
    assert card.pairs == (("Femur_Head_L", "Femur_Head_R"),)
    assert not card.validated
    assert card.region is None
    assert found.watched < -0.9
    for part in ("validation", "test"):
        assert card.figures[part]["Femur_Head_L"] > 0.9
        assert card.figures[f"{part}_cases"] == 1
    # 240 voxels of 3 x 2 x 2 mm: half to twice 2.88 cm3
    assert card.structures["Femur_Head_L"].volume_cm3 == (1.4, 5.8)
    assert card.structures["Femur_Head_L"].postprocess.largest_component
    assert card.structures["Femur_Head_R"].extent == "all that is bright on the right"
    mean, std = card.input.channels[0].subtract_hu, card.input.channels[0].divide_hu
    assert (mean, std) == (pytest.approx(1000 * 240 / 1536, abs=1), pytest.approx(257.3, abs=1))
    assert card.training[-1].fingerprint == DataSet.open(data).fingerprint
    assert card.recipe["optimiser"]["learning_rate"] == 0.02
    structures = load(card, "cpu").segment(bright(9).volume).structures
    both = 2 * (structures["Femur_Head_R"].mask(SHAPE) & RIGHT).sum()
    assert both / (structures["Femur_Head_R"].mask(SHAPE).sum() + RIGHT.sum()) > 0.9
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any("Measuring" in sentence for sentence in said)


def test_a_folder_with_a_run_is_resumed_only_when_told_and_only_by_the_same_recipe(data, tmp_path):
    out = tmp_path / "run"
    short = ("end.epochs=2", "validation.every_epochs=1")
    assert trained(run_of(out, data, *short), pause=lambda step: step == 1) is None
    assert not (out / "bundle").exists()
    with pytest.raises(TrainingRefused, match="--resume") as refusal:
        trained(run_of(out, data, *short))
    assert refusal.value.code == "training.folder-taken"
    with pytest.raises(TrainingRefused, match=r"another recipe\.optimiser.learning_rate") as refusal:
        trained(run_of(out, data, *short, "optimiser.learning_rate=0.1"), resume=True)
    assert refusal.value.code == "checkpoint.other-run"
    with pytest.raises(TrainingRefused, match=r"another class list, another recipe\.structures"):
        trained(run_of(out, data, *short, "structures=[Femur_Head_R, Femur_Head_L]"), resume=True)
    other = data_of(tmp_path / "other", [bright(n) for n in (1, 2)], ["train", "validation"]).folder
    with pytest.raises(TrainingRefused, match="another data set"):
        trained(run_of(out, other, *short), resume=True)
    said = []
    card = trained(run_of(out, data, *short), resume=True, say=said.append).card
    assert "2 steps of 3 samples" in card.figures["stage"]
    assert said[0] == "Going on after step 1."


def test_slices_with_sigmoid_a_network_a_structure_and_a_pair_as_one(data, tmp_path):
    settings = (
        "input.patch_zyx=[1, 16, 16]",
        "input.context_slices=3",
        "activation=sigmoid",
        "loss={name: dice}",
        "network={name: resau-net, arguments: {width: 0.05}, apart: true}",
        "left_right={Femur_Heads: [Femur_Head_L, Femur_Head_R]}",
        "thresholds={candidates: [0.2, 0.5, 0.8]}",
        "end={epochs: 1}",
    )
    card = trained(run_of(tmp_path / "run", data, *settings, name="heads", version="7")).card
    assert card.reference == "heads@7"
    assert card.outputs == ("Femur_Heads",)
    assert card.left_right == {"Femur_Heads": ("Femur_Head_L", "Femur_Head_R")}
    assert card.thresholds.keys() == {"Femur_Heads"}
    assert card.thresholds["Femur_Heads"] in {0.2, 0.5, 0.8}
    assert set(card.structures) == {"Femur_Head_L", "Femur_Head_R"}
    assert "18 samples" not in card.figures["stage"]
    load(card, "cpu").segment(bright(9).volume)


def test_weights_and_card_of_a_bundle_to_start_from(data, tmp_path):
    first = trained(run_of(tmp_path / "first", data, "end.epochs=1")).card
    content = as_bundle(CONTENT | {"name": "again"}, first)
    again = run_of(tmp_path / "again", data, "optimiser.learning_rate=1e-9", "end.epochs=1", content=content,
                   start_from=first, with_weights=True)  # fmt: skip
    second = trained(again).card
    assert second.reference == "bright--nobody@1.1"
    assert "from bright--nobody@1.0" in second.figures["stage"]
    old, new = ((card.folder / "weights.safetensors").read_bytes() for card in (first, second))
    assert old == new, "nothing was learned at that rate"
    assert [source.name for source in second.training] == [source.name for source in first.training]
    other = run_of(tmp_path / "other", data, "structures=[Femur_Head_L]", content=content, start_from=first,
                   with_weights=True)  # fmt: skip
    with pytest.raises(TrainingRefused, match="knows the classes background, Femur_Head_L, Femur") as refusal:
        trained(other)
    assert refusal.value.code == "training.other-classes"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (("network.name=nothing",), "recipe.network"),
        (("network.arguments.depth=3",), "recipe.network"),
        (("loss.name=nothing",), "recipe.loss"),
        (("augmentation=[{name: nothing}]",), "recipe.augmentation"),
    ],
)
def test_what_a_recipe_names_and_is_not_there_is_refused(data, tmp_path, settings, code):
    with pytest.raises(RecipeInvalid) as refusal:
        trained(run_of(tmp_path / "run", data, *settings))
    assert refusal.value.code == code


def test_a_recipe_that_chooses_on_validation_cases_needs_some(tmp_path):
    data = data_of(tmp_path / "data", [bright(1)], ["train"]).folder
    with pytest.raises(TrainingRefused, match="validation cases") as refusal:
        trained(run_of(tmp_path / "run", data))
    assert refusal.value.code == "training.no-validation"
    card = trained(run_of(tmp_path / "run", data, "end={epochs: 1, keep: last}")).card
    assert "validation" not in card.figures
    only_tests = data_of(tmp_path / "tests", [bright(1)], ["test"]).folder
    with pytest.raises(TrainingRefused) as refusal:
        trained(run_of(tmp_path / "run2", only_tests))
    assert refusal.value.code == "training.no-cases"


def test_synthetic_samples_need_no_data_set(small_bundle, tmp_path):
    content = as_bundle(
        CONTENT | {"structures": [], "postprocess": {}, "extents": {}}, small_bundle
    ) | {"batch": 2, "end": {"steps": 2, "keep": "last"}, "validation": {"cases": 1}}  # fmt: skip
    synthetic = Synthetic(phantom_seeds=(20, 30), sees=4, producers=0, cases=1)
    run = run_of(tmp_path / "run", synthetic, content=content, start_from=small_bundle, with_weights=True)
    steps = []
    assert trained(run, report=lambda told: steps.append(told.step), pause=lambda step: step == 1) is None
    card = trained(run, resume=True, report=lambda told: steps.append(told.step)).card
    assert steps == [1, 2]
    assert card.reference == "pelvis-ct@2.1"
    assert card.structures == small_bundle.structures
    assert card.region == small_bundle.region
    assert set(card.figures) == {"stage", "seed", "metric", "phantoms_never_trained_on"}
    assert card.training[-1].name == "Procedural phantoms"
    assert read_card(card.folder / "card.yaml") == card
    other = run_of(tmp_path / "run", Synthetic(phantom_seeds=(20, 31), sees=4, producers=0), content=content,
                   start_from=small_bundle, with_weights=True)  # fmt: skip
    with pytest.raises(TrainingRefused, match=r"another synthetic samples\.phantom_seeds"):
        trained(other, resume=True)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("input.spacing_zyx_mm=[3, 1, 1]", "same spacing"),
        ("structures=[Bladder, Nose]", "structures Nose"),
        ("input.channels.0.subtract_hu=mean", "channels from data"),
        ("batch=3", "cannot be shared"),
    ],
)
def test_synthetic_samples_do_not_suit_every_recipe(tmp_path, setting, said):
    from models.training.learning.processes import Processes

    shipped = find_bundle("pelvis-ct@2.0")
    content = as_bundle(CONTENT | {"structures": [], "postprocess": {}, "extents": {}}, shipped) | {
        "batch": 2
    }
    settings = ("network.arguments.features=[2, 4]", setting)
    run = run_of(tmp_path / "run", Synthetic(), *settings, content=content, start_from=shipped)
    with pytest.raises(TrainingRefused, match=said):
        trained(run, machine=Machine(device=torch.device("cpu"), processes=Processes(0, 2)))
