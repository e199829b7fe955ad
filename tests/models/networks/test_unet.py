import itertools

import pytest
import torch
from constant_weights import with_constant_weights
from overfitting import overfitted_dsc

from models.networks.unet import ENTRIES, Unet


@pytest.mark.parametrize("size", [(32, 48), (33, 17), (31, 50), (1, 1)])
def test_logits_have_the_images_size(size):
    network = Unet(5, 2, 0.0625).eval()
    x = torch.randn(2, 5, *size)
    assert network(x).shape == (2, 2, *size)
    assert torch.equal(network.scales(x)[0], network(x))


def test_two_levels_by_hand():
    network = with_constant_weights(Unet(1, 1, channels=(1, 1)))
    x = torch.zeros(1, 1, 16, 16)
    x[0, 0, 8, 8] = 1.0
    y = network(x)[0, 0]
    along = torch.tensor([1.0, 2, 3, 2, 1])
    skip = torch.zeros(16, 16)
    skip[6:11, 6:11] = torch.outer(along, along)  # twice ones around the dot
    # The skip's columns 6, 8 and 10 to 11 pool to 2, 3 and 1 times as much, and so do its rows. Twice ones: a
    # voxel of the coarse level sums 1 2 3 2 1 times its neighbours along each axis.
    pooled = torch.zeros(8)
    pooled[3:6] = torch.tensor([2.0, 3, 1])
    coarse = torch.nn.functional.conv1d(pooled.view(1, 1, 8), along.view(1, 1, 5), padding=2).flatten()
    risen = torch.outer(coarse, coarse).repeat_interleave(2, 0).repeat_interleave(2, 1)
    joined = skip + risen  # one filter over both channels
    kernel = torch.ones(1, 1, 3, 3)
    expected = torch.nn.functional.conv2d(joined[None, None], kernel, padding=1)
    expected = torch.nn.functional.conv2d(expected, kernel, padding=1)[0, 0]
    assert torch.allclose(y, expected)


def test_parameters_are_those_of_the_table():
    c = (1, 64, 128, 256, 512, 1024)
    down = sum(9 * a * b + 9 * b * b + 4 * b for a, b in itertools.pairwise(c))
    up = sum(4 * 2 * b * b + b + 9 * 2 * b * b + 9 * b * b + 4 * b for b in c[1:-1])
    by_hand = down + up + 64 + 1
    network = Unet(1, 1)
    assert sum(p.numel() for p in network.parameters()) == by_hand == ENTRIES["unet"].parameters
    # Ronneberger's own: a bias in place of two numbers of batch norm.
    ronneberger = by_hand - 2 * sum(c[1:]) - 2 * sum(c[1:-1])
    assert ronneberger == 31_030_593


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["unet"]) > 0.95
