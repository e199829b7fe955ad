import pytest

from models.training.recipes.recipe_book import RECIPES, RecipeInvalid, read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_and_is_called_as_its_file(name):
    recipe = read_recipe(name)
    assert recipe.name == name
    network, _, paper = name.partition("--")
    assert recipe.network.name == network
    assert recipe.paper == (None if paper == "delineate" else paper)


def test_a_file_of_ones_own_is_a_recipe_too(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text((RECIPES / "unet-res-enc--delineate.yaml").read_text())
    assert read_recipe(str(file), ["batch=3"]).batch == 3


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(RecipeInvalid, match="unet-res-enc--delineate") as refusal:
        read_recipe("nothing")
    assert refusal.value.code == "recipe.unknown"
    (tmp_path / "bad.yaml").write_text("[1")
    with pytest.raises(RecipeInvalid, match="cannot be read as YAML"):
        read_recipe(str(tmp_path / "bad.yaml"))
    (tmp_path / "bad.yaml").write_text("3")
    with pytest.raises(RecipeInvalid, match="not a mapping"):
        read_recipe(str(tmp_path / "bad.yaml"))
