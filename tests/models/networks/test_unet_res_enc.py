import pytest
import torch

from models.networks import NETWORKS, build


@pytest.fixture
def small():
    return build("unet-res-enc", in_channels=2, classes=3, features=[4, 6, 8]).eval()


def test_logits_have_the_inputs_size_and_one_channel_a_class(small):
    assert small(torch.zeros(1, 2, 8, 12, 16)).shape == (1, 3, 8, 12, 16)


def test_the_auxiliary_logits_are_at_half_resolution(small):
    full, half = small.scales(torch.zeros(1, 2, 8, 12, 16))
    assert full.shape == (1, 3, 8, 12, 16)
    assert half.shape == (1, 3, 4, 6, 8)


def test_two_levels_are_enough_and_one_is_refused():
    full, half = build("unet-res-enc", in_channels=1, classes=2, features=[2, 3]).scales(
        torch.zeros(1, 1, 4, 4, 4)
    )
    assert (full.shape[2], half.shape[2]) == (4, 2)
    with pytest.raises(ValueError, match="two levels"):
        build("unet-res-enc", in_channels=1, classes=2, features=[2])


def test_stride_is_what_every_axis_must_be_a_multiple_of(small):
    assert small.stride == 4
    with pytest.raises(RuntimeError):
        small(torch.zeros(1, 2, 8, 8, 10))


def test_the_same_input_gives_the_same_answer(small):
    x = torch.randn(1, 2, 8, 8, 8)
    assert torch.equal(small(x), small(x))


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(KeyError, match="unet-res-enc"):
        build("no-such-network", in_channels=1, classes=2)


def test_every_network_of_the_registry_keeps_the_contract():
    small_arguments = {"unet-res-enc": {"features": [4, 6]}}
    for name in NETWORKS:
        network = build(name, in_channels=1, classes=2, **small_arguments.get(name, {}))
        size = network.stride * 2
        x = torch.zeros(1, 1, size, size, size)
        assert network(x).shape == (1, 2, size, size, size)
        assert network.scales(x)[0].shape == (1, 2, size, size, size)
