"""The seven recipes of Xiao 2022: what section 2.2 and tables 2 and 3 say, and that it can be overridden."""

import pytest

from models.training.recipes.recipe_book import read_recipe

XIAO_2D = ("refinenet", "unet", "ce-net", "fcn")
XIAO_3D = ("unet-3d", "resunet-3d", "refinenet-plus-3d")


@pytest.mark.parametrize("network", [*XIAO_2D, *XIAO_3D])
def test_xiao_trains_one_model_a_structure_as_section_2_2_says(network):
    recipe = read_recipe(f"{network}--xiao-2022")
    flat = network in XIAO_2D
    assert recipe.network.apart
    assert recipe.structures == ("CTV", "Bladder", "Bowel_Small", "Femur_Head_R", "Femur_Head_L", "Rectum")
    assert (recipe.loss.name, recipe.batch) == (("dice", 6) if flat else ("binary-cross-entropy", 2))
    optimiser = recipe.optimiser
    assert (optimiser.name, optimiser.weight_decay, recipe.schedule.name) == ("adam", 0.8, "poly")
    assert (optimiser.learning_rate, recipe.end.epochs) == ((2e-4, 44) if flat else (1e-4, 300))
    assert recipe.input.patch_zyx == (1, 512, 512) if flat else recipe.input.spacing_zyx_mm[0] == 3
    assert [each.name for each in recipe.augmentation] == ["rotation"]
    assert recipe.published.keys() == {"JSC", "DSC", "ASSD_mm", "seconds"}
    assert all(by_structure.keys() == set(recipe.structures) for by_structure in recipe.published.values())


def test_xiaos_tables_agree_with_abstract_and_text():
    """Abstract: DSC and seconds of the CTV; RefineNetPlus3D's DSC of the organs. JSC is below DSC."""
    published = {name: read_recipe(f"{name}--xiao-2022").published for name in (*XIAO_2D, *XIAO_3D)}
    ctv = {name: (table["DSC"]["CTV"], table["seconds"]["CTV"]) for name, table in published.items()}
    assert ctv == {
        "refinenet": (0.82, 3.2),
        "fcn": (0.80, 3.4),
        "unet": (0.82, 8.2),
        "ce-net": (0.81, 3.9),
        "unet-3d": (0.80, 9.8),
        "resunet-3d": (0.81, 11.4),
        "refinenet-plus-3d": (0.82, 6.4),
    }
    organs = ("Bladder", "Bowel_Small", "Rectum", "Femur_Head_R", "Femur_Head_L")
    assert [published["refinenet-plus-3d"]["DSC"][name] for name in organs] == [0.97, 0.95, 0.91, 0.98, 0.98]
    for table in published.values():
        for name, dsc in table["DSC"].items():
            # Of one case JSC is DSC / (2 - DSC), which is convex: the mean of cases is not below it.
            assert dsc / (2 - dsc) - 0.01 < table["JSC"][name] < dsc


@pytest.mark.parametrize("network", ["refinenet", "refinenet-plus-3d"])
def test_what_is_implausible_in_xiao_can_be_overridden(network):
    settings = ["optimiser.weight_decay=0", "end={steps: 44}", "structures=[Bladder]"]
    recipe = read_recipe(f"{network}--xiao-2022", settings)
    assert (recipe.optimiser.weight_decay, recipe.end.steps, recipe.end.epochs) == (0, 44, None)
    assert recipe.outputs == ("Bladder",)
    told = " ".join(recipe.choices)
    assert all(f"--set {each}" in told for each in ("optimiser.weight_decay=0", "structures=[Bladder]"))
