"""That every recipe of the project can be followed, and says what its paper prints."""

import pytest
import torch

from models.evaluation.comparison.comparison import wrongly_published
from models.networks import NETWORKS, network_of
from models.training.losses.losses import loss_named
from models.training.losses.target import Target
from models.training.recipes.recipe_book import read_recipe, recipe_names
from models.training.samples.augmentation import Augmentations

NETWORKS_OF = {
    "xiao-2022": ("refinenet", "refinenet-plus-3d", "fcn", "unet", "ce-net", "unet-3d", "resunet-3d"),
    "huang-2023": (
        *("mnet-im", "mnet", "mnet-wide", "mnet-32", "mnet-64", "unet-mo", "unet-half", "unet"),
        *("unet-plus-plus", "deeplab-v3-plus-resnet", "deeplab-v3-plus-densenet"),
    ),
    "liu-x-2024": ("resau-net", "attention-unet", "unet", "unet-plus-plus"),
    "liu-z-2020": ("cab-unet", "unet"),
    "sartor-2020": ("recomia",),
}


def test_there_is_a_recipe_for_each_network_of_each_papers_tables():
    wanted = [f"{network}--{paper}" for paper, networks in NETWORKS_OF.items() for network in networks]
    assert sorted(recipe_names()) == sorted([*wanted, "unet-res-enc--delineate"])


@pytest.mark.parametrize("name", recipe_names())
def test_the_network_fits_what_it_is_shown_and_what_it_must_say(name):
    recipe = read_recipe(name)
    entry = NETWORKS[recipe.network.name]
    assert entry.dimensions == (2 if recipe.input.patch_zyx[0] == 1 else 3)
    in_channels = len(recipe.input.channels) * recipe.input.context_slices
    with torch.device("meta"):
        network = network_of(recipe.network, in_channels=in_channels, outputs=len(recipe.outputs))
    assert all(size % network.stride == 0 for size in recipe.input.patch_zyx[-network.dimensions :])


@pytest.mark.parametrize("name", recipe_names())
def test_loss_and_augmentation_take_what_the_recipe_gives_them(name):
    recipe = read_recipe(name)
    count = len(recipe.targets)
    loss = loss_named(recipe.loss.name, recipe.activation, **recipe.loss.arguments)
    logits = torch.zeros(1, len(recipe.outputs), 4, 4, requires_grad=True)
    scales = (logits,) * len(recipe.loss.arguments.get("scale_weights", (1,)))
    cost = loss(scales, Target(torch.ones(1, count, 4, 4), torch.ones(1, count, dtype=torch.bool)))
    assert cost.item() > 0
    assert len(Augmentations.of(recipe.augmentation, recipe.targets).steps) == len(recipe.augmentation)


@pytest.mark.parametrize("name", recipe_names())
def test_figures_are_of_metrics_that_are_measured_here_and_choices_are_told(name):
    recipe = read_recipe(name)
    assert wrongly_published(recipe.published) == []
    assert recipe.choices
    assert bool(recipe.published) == (recipe.paper in NETWORKS_OF)


@pytest.mark.parametrize("network", ["resau-net", "attention-unet", "unet", "unet-plus-plus"])
def test_liu_x_counts_background_in_its_mean(network):
    """Table 1: five times the printed mDSC less the four structures is a DSC that background can have."""
    published = read_recipe(f"{network}--liu-x-2024").published
    background = 5 * published["mDSC_background"]["all"] - sum(published["DSC"].values())
    assert 0.96 < background < 1
    assert published["mDSC_background"]["all"] - sum(published["DSC"].values()) / 4 > 0.03


def test_liu_x_searches_rates_and_batches():
    grid = read_recipe("resau-net--liu-x-2024").grid
    assert grid == {"optimiser.learning_rate": (0.1, 0.01, 0.001, 0.0001), "batch": (16, 32, 64)}


def test_liu_z_has_six_outputs_for_seven_structures():
    recipe = read_recipe("cab-unet--liu-z-2020")
    assert len(recipe.structures) == 7
    assert recipe.outputs == ("Bladder", "BoneMarrow", "Femur_Heads", "Rectum", "Bowel_Small", "SpinalCord")
    assert recipe.published["DSC_slices"].keys() == set(recipe.structures)


def test_sartor_trains_fifty_cycles_of_fifty_epochs_of_five_hundred_batches_of_fifty():
    recipe = read_recipe("recomia--sartor-2020")
    end = recipe.end
    assert (end.cycles, end.epochs, recipe.sampling.epoch_batches, recipe.batch) == (50, 50, 500, 50)
    assert recipe.sampling.around_false_positives == 0.1
    assert recipe.input.patch_zyx == (72, 136, 136)
    (channel,) = recipe.input.channels
    assert (channel.clip_hu, channel.subtract_hu, channel.divide_hu) == ((-800, 800), 0, 800)
    assert all(each.largest_component and each.fill_holes for each in recipe.postprocess.values())
    assert recipe.postprocess.keys() == set(recipe.structures)
