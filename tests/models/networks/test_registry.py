"""What every network of the registry promises, whatever its family."""

from itertools import pairwise

import pytest
import torch

from models.networks import NETWORKS, build

NAMES = """
    refinenet refinenet-plus-3d fcn unet ce-net unet-3d resunet-3d
    mnet-im mnet mnet-wide mnet-32 mnet-64 unet-mo unet-half
    unet-plus-plus deeplab-v3-plus-resnet deeplab-v3-plus-densenet
    resau-net attention-unet cab-unet recomia unet-res-enc
"""
SIZES = {2: [(1, 1), (33, 70), (64, 32)], 3: [(1, 1, 1), (9, 17, 12), (16, 32, 16)]}


def at_published_width(name, in_channels, classes):
    """The network without memory for its weights, and so in no time."""
    with torch.device("meta"):
        return build(name, in_channels=in_channels, classes=classes)


def test_there_are_the_networks_of_the_five_papers_and_todays_reference():
    assert sorted(NETWORKS) == sorted(NAMES.split())
    assert len(NETWORKS) == 22


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(KeyError, match=r"no-such-network.*unet-res-enc"):
        build("no-such-network", in_channels=1, classes=2)


@pytest.mark.parametrize("name", NETWORKS)
def test_at_published_width_it_has_the_parameters_that_are_stated(name):
    entry = NETWORKS[name]
    network = at_published_width(name, entry.in_channels, entry.classes)
    found = sum(parameter.numel() for parameter in network.parameters())
    if entry.counted == "by hand":
        assert found == entry.parameters
    else:
        assert abs(found - entry.parameters) <= 0.02 * entry.parameters


def test_no_two_networks_have_weights_of_the_same_shapes():
    shapes = {
        name: tuple(
            sorted(tuple(tensor.shape) for tensor in at_published_width(name, 1, 2).state_dict().values())
        )
        for name in NETWORKS
    }
    assert len(set(shapes.values())) == len(shapes)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_goes_in_and_comes_out(name):
    entry = NETWORKS[name]
    torch.manual_seed(0)
    network = build(name, in_channels=2, classes=3, width=entry.test_width).eval()
    assert network.dimensions == entry.dimensions
    for size in SIZES[entry.dimensions]:
        x = torch.randn(1, 2, *size)
        with torch.inference_mode():
            logits, scales = network(x), network.scales(x)
        assert tuple(logits.shape) == (1, 3, *size)
        assert torch.isfinite(logits).all()
        assert torch.equal(scales[0], logits)
        for finer, coarser in pairwise(scales):
            assert coarser.shape[:2] == (1, 3)
            assert all(a <= b for a, b in zip(coarser.shape[2:], finer.shape[2:], strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_no_probabilities(name):
    """They take both signs and do not sum to one."""
    entry = NETWORKS[name]
    torch.manual_seed(0)
    network = build(name, in_channels=1, classes=4, width=entry.test_width).eval()
    with torch.inference_mode():
        logits = network(10 * torch.randn(1, 1, *(32,) * entry.dimensions))
    assert not torch.allclose(logits.sum(dim=1), torch.ones(()), atol=1e-3)
    assert (logits < 0).any()
