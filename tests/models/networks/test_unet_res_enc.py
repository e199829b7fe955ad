from itertools import pairwise

import pytest
import torch
from overfitting import overfitted_dsc

from models.networks import build
from models.networks.unet_res_enc import ENTRIES, ResidualBlock


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


@pytest.mark.parametrize("size", [(7, 10, 5), (8, 9, 4), (1, 1, 1), (4, 4, 4)])
def test_any_size_goes_in_and_comes_out(small, size):
    full, half = small.scales(torch.randn(1, 2, *size))
    assert tuple(full.shape[2:]) == size
    assert tuple(half.shape[2:]) == tuple((length + 1) // 2 for length in size)


def test_what_is_missing_to_a_multiple_of_the_stride_is_the_last_voxel_repeated(small):
    assert small.stride == 4
    x = torch.randn(1, 2, 8, 8, 7)
    longer = torch.cat([x, x[..., -1:]], dim=-1)
    assert torch.equal(small(x), small(longer)[..., :7])


def test_the_same_input_gives_the_same_answer(small):
    x = torch.randn(1, 2, 8, 8, 8)
    assert torch.equal(small(x), small(x))


def test_parameters_are_those_of_the_table():
    features = (24, 48, 96, 160, 224)

    def block(a, b):
        return 27 * a * b + 27 * b * b + 4 * b + a * b

    total = 27 * 2 * 24 + block(24, 24) - 24 * 24
    for a, b in pairwise(features):
        total += block(a, b) + 8 * a * b + block(2 * a, a)
    assert ENTRIES["unet-res-enc"].parameters == total + 24 * 15 + 15 + 48 * 15 + 15


def test_convolutions_of_a_residual_block_are_added_to_the_pooled_input():
    """No convolution: what is left is the mean of 2x2x2 voxels times the shortcut's weight, and a leak of 1 %."""
    block = ResidualBlock(1, 1, 2)
    with torch.no_grad():
        block.conv2.weight.zero_()
        block.shortcut[1].weight.fill_(3.0)
    x = (
        torch.tensor([0.0, 2.0, 4.0, 6.0, -4.0, -4.0, -4.0, -4.0])
        .reshape(1, 1, 2, 2, 2)
        .repeat(1, 1, 1, 1, 2)
    )
    with torch.no_grad():
        assert torch.allclose(block(x), torch.full((1, 1, 1, 1, 2), -0.5 * 3 * 0.01))


@pytest.mark.slow
def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["unet-res-enc"], steps=60) > 0.95
