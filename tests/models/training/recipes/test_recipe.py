import pytest

from models.training.recipes.recipe_book import RecipeInvalid, overridden, recipe_names, recipe_of

SMALL = {
    "name": "tiny--nobody",
    "summary": "for tests",
    "network": {"name": "unet-res-enc", "arguments": {"features": [4, 8]}},
    "structures": ["Bladder", "Femur_Head_L", "Femur_Head_R"],
    "input": {
        "spacing_zyx_mm": [3, 3, 3],
        "patch_zyx": [8, 8, 8],
        "channels": [{"clip_hu": [-1000, 1000], "divide_hu": 500}],
    },
    "loss": {"name": "dice"},
    "optimiser": {"name": "adam", "learning_rate": 0.001},
    "end": {"steps": 2},
    "batch": 2,
}


def test_under_softmax_background_comes_first():
    assert recipe_of(SMALL).outputs == ("background", "Bladder", "Femur_Head_L", "Femur_Head_R")
    assert recipe_of(SMALL | {"activation": "sigmoid"}).outputs[0] == "Bladder"


def test_a_pair_that_is_learned_as_one_stands_in_its_left_sides_place():
    pair = {"left_right": {"Femur_Heads": ["Femur_Head_L", "Femur_Head_R"]}}
    assert recipe_of(SMALL | pair).targets == ("Bladder", "Femur_Heads")


def test_settings_override_keys_lists_and_missing_sections():
    settings = ["input.channels.0.divide_hu=std", "schedule.name=poly", "network.arguments.width=0.25",
                "input.spacing_zyx_mm=[null, 1.5, 1.5]", "optimiser.learning_rate=1e-4"]  # fmt: skip
    recipe = recipe_of(overridden(SMALL, settings))
    assert recipe.input.channels[0].divide_hu == "std"
    assert recipe.schedule.name == "poly"
    assert recipe.network.arguments == {"features": [4, 8], "width": 0.25}
    assert recipe.input.spacing_zyx_mm == (None, 1.5, 1.5)
    assert recipe.optimiser.learning_rate == 1e-4
    assert "width" not in SMALL["network"]["arguments"]


def test_other_structures_take_along_what_is_said_of_those_that_are_gone():
    content = SMALL | {
        "left_right": {"Femur_Heads": ["Femur_Head_L", "Femur_Head_R"]},
        "postprocess": {"Bladder": {"fill_holes": True}, "Femur_Head_L": {"fill_holes": True}},
    }
    recipe = recipe_of(overridden(content, ["structures=[Bladder, Femur_Head_R]"]))
    assert recipe.targets == ("Bladder", "Femur_Head_R")
    assert list(recipe.postprocess) == ["Bladder"]


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("batch", "recipe.setting", "KEY=VALUE"),
        ("batch=[", "recipe.setting", "not YAML"),
        ("input.channels.1.divide_hu=2", "recipe.setting", "nothing at input.channels.1"),
        ("batch.size=2", "recipe.setting", "nothing at batch.size"),
        ("colour=red", "recipe.invalid", "colour"),
        ("optimiser.rate=1", "recipe.invalid", "recipe.optimiser must be made of the keys"),
        ("optimiser.name=lion", "recipe.invalid", "one of adam, adamw, nadam, sgd"),
        ("batch=0", "recipe.invalid", "batch is at least 1"),
        ("thresholds={Bladder: 0.4}", "recipe.invalid", "thresholds need sigmoid"),
        ("network.apart=true", "recipe.invalid", "networks apart need sigmoid"),
        ("postprocess={Nose: {}}", "recipe.invalid", "Nose is no structure"),
        ("structures=[Bladder, Bladder]", "recipe.invalid", "once each"),
        ("left_right={Eyes: [Eye_L, Eye_R]}", "recipe.invalid", "Eye_L of left_right is no structure"),
        ("input.context_slices=5", "recipe.invalid", "patch of one slice"),
        ("input.context_slices=2", "recipe.invalid", "odd"),
        ("end={early_stop_epochs: 3}", "recipe.invalid", "needs an end"),
        ("sampling.around_structures=1.5", "recipe.invalid", "between 0 and 1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting, code, said):
    with pytest.raises(RecipeInvalid, match=said) as refusal:
        recipe_of(overridden(SMALL, [setting]))
    assert refusal.value.code == code


def test_there_is_the_recipe_of_the_house():
    assert "unet-res-enc--delineate" in recipe_names()
