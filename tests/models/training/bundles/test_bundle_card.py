import pytest
import yaml
from small_cases import block, case_of, data_of

from models.cards.card import BundleError, read_card
from models.cards.catalog import find_bundle
from models.cards.input_card import Channel
from models.training.bundles.bundle_card import new_card
from models.training.bundles.bundle_writer import plain, with_figures, write_bundle, write_yaml
from models.training.bundles.structure_habits import Habits
from models.training.recipes.recipe_book import as_bundle, overridden, recipe_content, recipe_of
from models.training.refusals import TrainingRefused

CHANNELS = (Channel((-1000, 1500), 0, 500), Channel((-180, 260), 20, 100))
HOUSE = "unet-res-enc--delineate"


def card_of(recipe, habits=None, data=None, template=None):
    shown = recipe.input.card(CHANNELS)
    return new_card(
        recipe, shown, name="new", version="2.0", habits=habits or {}, data=data, template=template
    )


def house(*settings):
    return recipe_of(overridden(recipe_content(HOUSE), settings))


def test_pairs_and_midline_follow_from_the_names():
    content = card_of(house())
    assert content["pairs"] == [["Femur_Head_L", "Femur_Head_R"], ["Bone_Pelvic_L", "Bone_Pelvic_R"]]
    assert content["midline"] == ["Sacrum", "Spine", "SpinalCanal"]
    assert content["region"] is None
    assert content["structures"]["Spine"]["local_name"]
    one_side = card_of(house("structures=[Femur_Head_L, Bladder]"))
    assert one_side["pairs"] == []
    assert one_side["midline"] == []


def test_extent_is_the_data_sets_else_the_recipes_else_unsaid(tmp_path):
    data = data_of(tmp_path / "data", [case_of(1, {"Colon": block((1, 4), (3, 9), (4, 10))})])
    data.contents.structures["Colon"] = "without the sigmoid"  # type: ignore[index]
    settings = "structures=[Colon, Spine, Bladder]"
    structures = card_of(house(settings), data=data)["structures"]
    assert structures["Colon"]["extent"] == "without the sigmoid"
    assert structures["Spine"]["extent"].startswith("whole vertebrae")
    assert "did not say" in structures["Bladder"]["extent"]


def test_what_is_usual_is_what_the_training_cases_showed():
    habits = Habits(volumes_cm3=[100.0, 200.0], known=3, absent=1, parts=1, cut=0)
    said = card_of(house(), habits={"Bladder": habits})["structures"]["Bladder"]
    assert said["volume_cm3"] == [50.0, 400.0]
    assert said["may_be_absent"]
    assert said["several_parts"]
    assert not said["reaches_out"]
    steps = said["postprocess"]
    assert (steps["largest_component"], steps["fill_holes"], steps["minimum_cm3"]) == (True, True, 2.0)
    unseen = card_of(house())["structures"]["Bladder"]
    assert unseen["volume_cm3"] == [0.0, 20_000.0]


def test_a_template_lends_words_checks_and_region(tmp_path):
    template = find_bundle("pelvis-ct@2.0")
    recipe = recipe_of(as_bundle(recipe_content(HOUSE), template))
    content = card_of(recipe, template=template)
    card = write_bundle(tmp_path / "bundle", content, {})
    assert card.structures == template.structures
    assert card.region == template.region
    assert card.training == template.training
    assert card.limits == template.limits
    assert card.reference == "new@2.0"
    without_bones = recipe_of(
        overridden(as_bundle(recipe_content(HOUSE), template), ["structures=[Bladder]"])
    )
    assert card_of(without_bones, template=template)["region"] is None, "nothing would tell a pelvis"


def test_a_data_set_is_named_once_with_fingerprint_licence_and_patients(tmp_path):
    cases = [case_of(n, {"Bladder": block((1, 4), (3, 9), (4, 10))}) for n in (1, 2)]
    data = data_of(tmp_path / "data", cases)
    recipe = house("structures=[Bladder]")
    content = card_of(recipe, data=data)
    assert content["training"] == [
        {
            "name": f"Data set {data.fingerprint[:12]}",
            "licence": "not stated",
            "what": "numbers; 2 training cases of 2 patients",
            "fingerprint": data.fingerprint,
        }
    ]
    card = write_bundle(tmp_path / "bundle", content, {})
    again = card_of(recipe, data=data, template=card)
    assert again["training"] == content["training"]
    assert recipe_of(card.recipe) == recipe, "the recipe in the card can be followed again"


def test_figures_are_added_to_a_bundle_that_is_there(tmp_path):
    card = write_bundle(tmp_path / "bundle", card_of(house()), {})
    found = with_figures(card, {"test": {"Bladder": 0.5}})
    assert found.figures == {"test": {"Bladder": 0.5}}
    assert found.weights == card.weights
    assert read_card(tmp_path / "bundle" / "card.yaml") == found


def test_a_bundle_replaces_the_last_one_whole_or_not_at_all(tmp_path):
    write_bundle(tmp_path / "bundle", card_of(house()), {})
    wrong = card_of(house()) | {"outputs": ["background"]}
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bundle", wrong, {})
    assert read_card(tmp_path / "bundle" / "card.yaml").reference == "new@2.0"
    (tmp_path / "file").touch()
    with pytest.raises(TrainingRefused) as refusal:
        write_bundle(tmp_path / "file" / "bundle", card_of(house()), {})
    assert refusal.value.code == "bundle.unwritable"


def test_yaml_has_lists_for_tuples_and_keeps_the_order(tmp_path):
    write_yaml(tmp_path / "x.yaml", {"b": (1, (2, 3)), "a": {"c": ()}})
    assert yaml.safe_load((tmp_path / "x.yaml").read_text()) == {"b": [1, [2, 3]], "a": {"c": []}}
    assert (tmp_path / "x.yaml").read_text().startswith("b:")
    assert plain((1, {"x": (2,)})) == [1, {"x": [2]}]
