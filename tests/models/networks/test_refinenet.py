import pytest
import torch
from constant_weights import with_constant_weights
from overfitting import overfitted_dsc
from torch import nn

from models.networks.refinenet import (
    ENTRIES,
    ChainedResidualPooling,
    Fusion,
    RefineBlock,
    RefineNet,
    ResidualConvUnit,
)


def dot(size, channels=1, value=1.0):
    x = torch.zeros(1, channels, size, size)
    x[:, 0, size // 2, size // 2] = value
    return x


def rings(size):
    """Of every pixel, its distance to the middle along the farther axis."""
    away = (torch.arange(size) - size // 2).abs()
    return torch.maximum(away[:, None], away[None, :])


@pytest.mark.parametrize("size", [(64, 64), (65, 33), (50, 95), (1, 1)])
def test_logits_have_the_images_size(size):
    network = RefineNet(1, 2, 0.0625).eval()
    x = torch.randn(2, 1, *size)
    assert network(x).shape == (2, 2, *size)
    assert torch.equal(network.scales(x)[0], network(x))


def test_rcu_adds_three_convolutions_to_its_input():
    unit = with_constant_weights(ResidualConvUnit(2))
    x = dot(5, channels=2, value=3.0)
    x[0, 1] = -1.0  # ReLU stops it on its way through the convolutions, and it is added all the same
    y = unit(x)[0]
    # One inner channel: 3 at the dot, spread by the 3x3 convolution over its neighbours.
    spread = 3.0 * (rings(5) <= 1)
    assert torch.equal(y[0], spread + 3.0 * (rings(5) == 0))
    assert torch.equal(y[1], spread - 1.0)


def test_rcu_stops_what_is_negative_between_its_convolutions():
    unit = with_constant_weights(ResidualConvUnit(2))
    nn.init.constant_(unit.conv.weight, -1.0)
    x = dot(5, channels=2)
    assert torch.equal(unit(x), x)


def test_crp_adds_four_poolings_each_of_the_one_before():
    pooling = with_constant_weights(ChainedResidualPooling(1), 0.5)
    y = pooling(dot(21))[0, 0]
    # Pooling k reaches 2k pixels and is weighed by 0.5 to the power of k; the dot itself counts 1.
    expected = sum(0.5**k * (rings(21) <= 2 * k) for k in range(5))
    assert torch.equal(y, expected)


def test_crp_begins_with_relu():
    pooling = with_constant_weights(ChainedResidualPooling(1))
    assert torch.equal(pooling(torch.full((1, 1, 3, 3), -2.0)), torch.zeros(1, 1, 3, 3))


def test_fusion_doubles_the_coarser_input_and_adds():
    fusion = with_constant_weights(Fusion(2, 3), 0.5)
    fine = torch.ones(1, 2, 2, 4)
    coarse = torch.tensor([0.0, 8.0]).expand(1, 3, 1, 2)
    # Fine: 0.5 * 2 = 1. Coarse: 0.5 * 3 * (0, 8) = (0, 12), bilinearly (0, 3, 9, 12).
    assert fusion(fine, coarse)[0, 1].tolist() == [[1, 4, 10, 13]] * 2


def test_refine_block_is_reduction_units_fusion_pooling_units():
    block = with_constant_weights(RefineBlock(1, 2, coarse_channels=1))
    # One pixel, so that a 3x3 convolution sees it alone. Reduction: 3. A unit: 3 + (3 + 3) = 9, then 27.
    # Fusion: 27 + 27 and the coarser 5, 59. Pooling: 59 + 118 + 236 + 472 + 944 = 1829. Three units: times 27.
    y = block(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 5.0))
    assert y.flatten().tolist() == [1829 * 27] * 2


def test_the_coarsest_block_fuses_nothing():
    block = with_constant_weights(RefineBlock(1, 2))
    assert block.fusion is None
    # Reduction 1, two units 9, pooling 9 * (1 + 2 + 4 + 8 + 16) = 279, three units.
    assert block(torch.ones(1, 1, 1, 1)).flatten().tolist() == [279 * 27] * 2


def test_parameters_are_those_of_the_table():
    resnet50 = 23_508_032 - 2 * 49 * 64

    def level(skip, c, coarse=None):
        unit = c * c // 2 + 9 * (c // 2) ** 2 + c * c // 2
        return skip * c + 5 * unit + 4 * c * c + (0 if coarse is None else coarse * c + c * c)

    levels = level(2048, 512) + level(1024, 256, 512) + level(512, 256, 256) + level(256, 256, 256)
    by_hand = resnet50 + levels + 9 * 256 + 1
    network = RefineNet(1, 1)
    assert sum(p.numel() for p in network.parameters()) == by_hand == ENTRIES["refinenet"].parameters


def test_units_are_as_large_as_nekrasov_prints():
    """His table 1: 54 M parameters with RCU, 46 M without, on a ResNet101 whose decoder is the same."""
    inner = {512: 256, 256: 128}
    units = 5 * sum(
        sum(p.numel() for p in ResidualConvUnit(c).parameters()) * times for c, times in ((512, 1), (256, 3))
    )
    assert units == 5 * sum((c * i * 2 + 9 * i * i) * (3 if c == 256 else 1) for c, i in inner.items())
    assert 7e6 < units < 9e6


@pytest.mark.slow
def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["refinenet"]) > 0.95
