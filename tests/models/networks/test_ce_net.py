import pytest
import torch
from constant_weights import with_constant_weights
from overfitting import overfitted_dsc

from models.networks.ce_net import (
    ENTRIES,
    CeNet,
    DecoderBlock,
    DenseAtrousConvolution,
    ResidualMultiKernelPooling,
)


@pytest.mark.parametrize("size", [(64, 64), (65, 33), (50, 95), (1, 1)])
def test_logits_have_the_images_size(size):
    network = CeNet(1, 2, 0.0625).eval()
    x = torch.randn(2, 1, *size)
    assert network(x).shape == (2, 2, *size)
    assert torch.equal(network.scales(x)[0], network(x))


def comb(rate):
    """Ones convolved once at ``rate``, along one axis of 25 with the dot at 12."""
    line = torch.zeros(25)
    line[[12 - rate, 12, 12 + rate]] = 1.0
    return line


def convolved(*rates):
    line = torch.zeros(25)
    line[12] = 1.0
    for rate in rates:
        line = torch.nn.functional.conv1d(
            line.view(1, 1, -1), torch.ones(1, 1, 3), padding=rate, dilation=rate
        ).flatten()
    return line


def test_dac_adds_four_branches_of_growing_reach():
    block = with_constant_weights(DenseAtrousConvolution(1))
    x = torch.zeros(1, 1, 25, 25)
    x[0, 0, 12, 12] = 1.0
    branches = [comb(1), comb(3), convolved(1, 3), convolved(1, 3, 5)]
    reach = [int((line > 0).nonzero().max() - (line > 0).nonzero().min()) + 1 for line in branches]
    assert reach == [3, 7, 9, 19]  # Gu 2019, section II-B
    assert convolved(1, 3)[8:17].tolist() == [1.0] * 9  # 1 and 3 together fill the nine
    expected = sum(torch.outer(line, line) for line in branches) + x[0, 0]
    assert torch.equal(block(x)[0, 0], expected)


def test_dac_stops_what_is_negative_in_a_branch_and_keeps_the_input():
    block = with_constant_weights(DenseAtrousConvolution(1), -1.0)
    # One pixel of 1: the branches are -1, +1 (-1 by 3x3, then by 1x1), -1 and +1; only the second and fourth pass.
    assert block(torch.ones(1, 1, 1, 1)).item() == 1 + 1 + 1


def test_rmp_sets_four_pooled_maps_before_its_input():
    block = with_constant_weights(ResidualMultiKernelPooling(2), 0.5)
    x = torch.arange(36.0).view(1, 1, 6, 6).repeat(1, 2, 1, 1)
    y = block(x)[0]
    assert y.shape == (6, 6, 6)
    assert torch.equal(y[4:], x[0])
    # The window of 6 sees all: its maximum 35, 0.5 of each of two channels.
    assert torch.allclose(y[3], torch.full((6, 6), 35.0))
    # The window of 3: maxima 14, 17, 32 and 35 in the quarters' corners, bilinear between them.
    assert y[1, ::5, ::5].flatten().tolist() == pytest.approx([14, 17, 32, 35])
    assert y[1, 0, 2].item() == pytest.approx(14 + 3 * (2.5 / 3 - 0.5))
    # The window of 5 leaves a border of one pixel, which has windows of its own: the last column's highest is
    # 29 among the first five rows, the last row's 34 among the first five columns, and 35 is in the corner.
    assert y[2, ::5, ::5].flatten().tolist() == pytest.approx([28, 29, 34, 35])


def test_rmp_takes_features_smaller_than_its_windows():
    block = with_constant_weights(ResidualMultiKernelPooling(1))
    assert block(torch.full((1, 1, 1, 1), 3.0)).flatten().tolist() == [3.0] * 5


def test_decoder_block_doubles():
    block = with_constant_weights(DecoderBlock(4, 2))
    y = block(torch.full((1, 4, 3, 3), 0.25))
    assert y.shape == (1, 2, 6, 6)
    # One inner channel of 1. A 3x3 transposed convolution with stride 2: a new pixel is reached by one old one
    # along an axis if its place is even, by two if it is odd (the last one by one).
    along = torch.tensor([1.0, 2, 1, 2, 1, 1])
    assert torch.equal(y[0, 0], torch.outer(along, along))


def test_parameters_are_those_of_the_table():
    by_hand = 21_284_672 - 2 * 49 * 64 + 3 * (9 * 512**2 + 512) + 512**2 + 512 + 512 + 1
    for i, o in ((516, 256), (256, 128), (128, 64), (64, 64)):
        q = i // 4
        by_hand += i * q + q + 2 * q + 9 * q * q + q + 2 * q + q * o + o + 2 * o
    by_hand += 16 * 64 * 32 + 32 + 9 * 32 * 32 + 32 + 9 * 32 + 1
    network = CeNet(1, 1)
    assert sum(p.numel() for p in network.parameters()) == by_hand == ENTRIES["ce-net"].parameters


@pytest.mark.slow
def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["ce-net"], learning_rate=3e-3) > 0.95
