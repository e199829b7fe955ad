from dataclasses import asdict, replace

import pytest
from evaluation_cases import write_bundle, write_data

from models.cards.card import TrainingData
from models.training.bundles.bundle_writer import plain
from models.training.recipes.comparison_recipe import is_trained, on_common_ground
from models.training.recipes.recipe_book import RecipeInvalid, recipe_content, recipe_of

FLAT = {
    "name": "flat", "summary": "two dimensions", "activation": "sigmoid",
    "network": {"name": "cab-unet", "apart": True, "arguments": {}},
    "structures": ["Bladder", "Femur_Head_L", "Femur_Head_R"],
    "left_right": {"Femur_Heads": ["Femur_Head_L", "Femur_Head_R"]},
    "input": {"spacing_zyx_mm": [3, 1, 1], "patch_zyx": [1, 64, 64], "channels": [{"clip_hu": [-100, 100]}]},
    "loss": {"name": "weighted-binary-cross-entropy", "arguments": {"weights": [1, 4]}},
    "optimiser": {"name": "adam", "learning_rate": 0.001}, "batch": 2,
    "end": {"epochs": 50, "early_stop_epochs": 3, "keep": "last", "watch": "validation-dsc"},
    "postprocess": {"Femur_Heads": {"fill_holes": True}, "Bladder": {"fill_holes": True}},
    "thresholds": {"Femur_Heads": 0.4},
    "extents": {"Femur_Head_L": "all of it"},
}  # fmt: skip


def test_a_recipe_that_nothing_is_asked_of_stays_as_it_is():
    assert on_common_ground(FLAT) == FLAT
    content = recipe_content("unet-res-enc--delineate")
    assert on_common_ground(content) == content


def test_structures_of_all_take_what_was_said_of_others_along():
    found = recipe_of(on_common_ground(FLAT, structures=("Bladder", "Rectum")))
    assert found.structures == ("Bladder", "Rectum")
    assert found.targets == ("Bladder", "Rectum")
    assert not found.network.apart
    assert list(found.postprocess) == ["Bladder"]
    assert (found.thresholds, dict(found.extents)) == (None, {})
    assert found.loss.arguments["weights"] == [1.0, 1.0]
    assert FLAT["structures"][0] == "Bladder"  # what was given is not changed
    assert FLAT["loss"]["arguments"]["weights"] == [1, 4]


def test_under_softmax_background_has_a_weight_too():
    soft = {**FLAT, "activation": "softmax", "thresholds": None, "network": {"name": "cab-unet"}}
    soft["loss"] = {"name": "weighted-cross-entropy", "arguments": {"weights": [1, 2, 3]}}
    found = on_common_ground(soft, structures=("Bladder",))
    assert found["loss"]["arguments"]["weights"] == [1.0, 1.0]


def test_thresholds_that_are_chosen_stay():
    chosen = {**FLAT, "thresholds": {"candidates": [0.3, 0.5]}}
    assert on_common_ground(chosen, structures=("Bladder",))["thresholds"] == {"candidates": [0.3, 0.5]}


@pytest.mark.parametrize(
    ("budget", "end"),
    [
        ("200steps", {"steps": 200}),
        ("300s", {"hours": 300 / 3600}),
        ("5 min", {"hours": 5 / 60}),
        ("1.5h", {"hours": 1.5}),
    ],
)
def test_a_budget_stands_in_place_of_the_end(budget, end):
    found = on_common_ground(FLAT, budget=budget)["end"]
    assert found == {"keep": "last", "watch": "validation-dsc"} | end


@pytest.mark.parametrize("budget", ["200", "0steps", "5 days", "-5min", ""])
def test_a_budget_that_is_none_is_told(budget):
    with pytest.raises(RecipeInvalid, match="200steps, 300s, 5min, 2h") as refusal:
        on_common_ground(FLAT, budget=budget)
    assert refusal.value.code == "compare.budget"


def test_settings_are_for_all_or_for_networks_of_two_or_three_dimensions():
    settings = {
        None: ["batch=4", "input.spacing_zyx_mm=[4, 2, 2]"],
        2: ["input.patch_zyx=[1, 32, 32]"],
        3: ["input.patch_zyx=[32, 32, 32]", "batch=1"],
    }
    flat = on_common_ground(FLAT, settings=settings)
    assert (flat["batch"], flat["input"]["patch_zyx"]) == (4, [1, 32, 32])
    deep = on_common_ground(recipe_content("unet-res-enc--delineate"), settings=settings)
    assert (deep["batch"], deep["input"]["patch_zyx"]) == (1, [32, 32, 32])
    assert deep["input"]["spacing_zyx_mm"] == flat["input"]["spacing_zyx_mm"] == [4, 2, 2]


def test_a_network_that_is_not_there_and_a_wrong_setting_are_refused():
    with pytest.raises(RecipeInvalid, match="dreamed") as refusal:
        on_common_ground({**FLAT, "network": {"name": "dreamed"}})
    assert refusal.value.code == "recipe.network"
    with pytest.raises(RecipeInvalid, match="batch"):
        on_common_ground(FLAT, settings={None: ["batch=many"]})


def test_a_bundle_is_of_a_recipe_if_nothing_but_the_printed_figures_differs(tmp_path):
    data, card = write_data(tmp_path / "data"), write_bundle(tmp_path / "bundle")
    recipe = recipe_of({**FLAT, "published": {"DSC": {"Bladder": 0.9}}})
    content = {key: value for key, value in plain(asdict(recipe)).items() if key != "published"}
    source = TrainingData("a data set", "CC0-1.0", "cases", data.fingerprint)
    trained = replace(card, recipe=content, training=(source,))
    assert is_trained(trained, recipe, data)
    assert not is_trained(trained, replace(recipe, batch=3), data)
    assert not is_trained(replace(trained, training=(replace(source, fingerprint="f" * 64),)), recipe, data)
    assert not is_trained(card, recipe, data)
