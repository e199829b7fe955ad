"""Huang's recipes say what the paper prints, differ in the network alone, and can be trained on."""

from dataclasses import replace

import pytest
import torch

from models.networks import network_of
from models.training.losses.losses import loss_named
from models.training.losses.target import Target
from models.training.recipes.recipe import ThresholdChoice
from models.training.recipes.recipe_book import read_recipe, recipe_names

NETWORKS = {
    "mnet-im": 5,
    "mnet": 5,
    "mnet-wide": 5,
    "mnet-32": 5,
    "mnet-64": 5,
    "unet-mo": 5,
    "unet-half": 1,
    "unet": 1,
    "unet-plus-plus": 4,
    "deeplab-v3-plus-resnet": 1,
    "deeplab-v3-plus-densenet": 1,
}
"""Supervised scales of each."""

# Columns 1 to 5 of table 1, else of tables 4 and 5, whose third and fourth are SO and SD.
MEANS = {
    "mnet-im": (0.6901, 3.2013, 0.8084, 0.7785, 0.8828),
    "mnet": (0.6986, 3.491, 0.8045, 0.7694, 0.8787),
    "mnet-wide": (0.7855, 4.148, 0.7945, 0.7632, 0.8778),
    "mnet-32": (0.7567, 3.4467, 0.7812, 0.7452, 0.8725),
    "mnet-64": (0.8045, 4.2243, 0.795, 0.7614, 0.8779),
    "unet-mo": (0.9317, 4.9423, 0.7985, 0.7772, 0.8801),
    "unet-half": (0.8719, 4.9627, 0.7905, 0.7657, 0.8742),
    "unet": (0.9189, 5.5606, 0.7877, 0.755, 0.8751),
    "unet-plus-plus": (0.8965, 5.0277, 0.8028, 0.776, 0.8763),
    "deeplab-v3-plus-resnet": (1.9469, 10.2482, 0.7121, 0.7125, 0.8452),
    "deeplab-v3-plus-densenet": (0.9739, 5.602, 0.771, 0.7438, 0.8673),
}


def recipe_of(network):
    return read_recipe(f"{network}--huang-2023")


def test_there_is_one_for_each_network_of_the_paper():
    assert {name for name in recipe_names() if name.endswith("--huang-2023")} == {
        f"{network}--huang-2023" for network in NETWORKS
    }


@pytest.mark.parametrize("network", NETWORKS)
def test_they_differ_in_the_network_alone(network):
    """The paper compares networks under one training; names, words and figures are their own."""
    own = recipe_of(network)
    other = recipe_of("mnet-im")
    same = {"name": "", "summary": "", "network": own.network, "published": {}, "choices": ()}
    assert replace(own, **same) == replace(other, **same)
    assert own.network.name == network
    assert len(own.choices) >= 14


def test_everything_is_as_published():
    recipe = recipe_of("mnet-im")
    assert recipe.input.context_slices == 5
    assert recipe.input.crop is not None
    assert (recipe.loss.arguments["alpha"], recipe.loss.arguments["beta"]) == (0.1, 0.9)
    assert (recipe.optimiser.name, recipe.optimiser.learning_rate) == ("adam", 1e-3)
    assert (recipe.schedule.name, recipe.schedule.factor, recipe.schedule.epochs) == ("first-epochs", 0.1, 3)
    assert recipe.end.early_stop_epochs is not None
    assert recipe.activation == "sigmoid"
    assert isinstance(recipe.thresholds, ThresholdChoice)
    assert recipe.outputs == ("CTVp",)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_figures_are_those_of_the_tables(network):
    published = recipe_of(network).published
    assert tuple(published) == ("ASD_px", "HD95_px", "SO", "SD", "DSC")
    assert tuple(published[metric]["CTVp"]["mean"] for metric in published) == MEANS[network]
    assert all(figures["CTVp"]["variance"] > 0 for figures in published.values())
    in_table_2 = network not in ("mnet-32", "mnet-64", "unet-mo")
    assert all(("median" in figures["CTVp"]) == in_table_2 for figures in published.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_five_slices_through_the_network_teach_by_the_recipes_loss(network):
    """A sixteenth as wide; every weight is taught something, and the loss is that of as many scales as there are."""
    recipe = recipe_of(network)
    card = replace(recipe.network, arguments={**recipe.network.arguments, "width": 1 / 16})
    channels = recipe.input.context_slices * len(recipe.input.channels)
    torch.manual_seed(0)
    built = network_of(card, in_channels=channels, outputs=len(recipe.outputs))
    masks = torch.zeros(2, 1, 48, 48, dtype=torch.bool)
    masks[..., 8:40, 12:30] = True
    scales = built.scales(torch.randn(2, channels, 48, 48))
    assert len(scales) == NETWORKS[network]
    loss = loss_named(recipe.loss.name, recipe.activation, **recipe.loss.arguments)
    loss(scales, Target(masks, torch.ones(2, 1, dtype=torch.bool))).backward()
    assert all(
        parameter.grad is not None and torch.isfinite(parameter.grad).all()
        for parameter in built.parameters()
    )
