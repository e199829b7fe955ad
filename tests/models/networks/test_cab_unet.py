import math

import pytest
import torch
from overfitting import overfitted_dsc
from torch import nn

from models.networks.cab_unet import ENTRIES, CabUnet, ContextAggregationBlock, SqueezeExcitation


def test_squeeze_and_excitation_weighs_channels_by_their_means():
    """Means 2 and 4 give 1 * 2 + 0.5 * 4 = 4; weights +-ln(3) / 4 of it give +-ln(3), whose sigmoids are 3/4, 1/4."""
    block = SqueezeExcitation(2, reduction=2)
    with torch.no_grad():
        block.squeeze.weight.copy_(torch.tensor([[1.0, 0.5]]))
        block.squeeze.bias.zero_()
        block.excite.weight.copy_(torch.tensor([[math.log(3) / 4], [-math.log(3) / 4]]))
        block.excite.bias.zero_()
    x = torch.tensor([[[[1.0, 3.0]], [[0.0, 8.0]]]])
    assert torch.allclose(block(x), torch.tensor([[[[0.75, 2.25]], [[0.0, 2.0]]]]))


def test_squeeze_and_excitation_knows_no_negative_squeeze():
    block = SqueezeExcitation(1, reduction=1)
    with torch.no_grad():
        block.squeeze.weight.fill_(1.0)
        block.squeeze.bias.zero_()
        block.excite.weight.fill_(5.0)
        block.excite.bias.zero_()
    assert torch.allclose(block(torch.full((1, 1, 2, 2), -6.0)), torch.full((1, 1, 2, 2), -3.0))


def test_context_aggregation_sees_a_point_through_dilated_and_through_large_kernels():
    """A point, weights of one: nine points two apart, nine three apart, a 5x5 and a 7x7 square."""
    block = ContextAggregationBlock(1, 4).eval()
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    point = torch.zeros(1, 1, 11, 11)
    point[0, 0, 5, 5] = 1
    expected = torch.zeros(1, 4, 11, 11)
    expected[0, 0, 3:8:2, 3:8:2] = 1
    expected[0, 1, 2:9:3, 2:9:3] = 1
    expected[0, 2, 3:8, 3:8] = 1
    expected[0, 3, 2:9, 2:9] = 1
    assert torch.equal(block(point), expected)
    assert torch.equal(block(-point), torch.zeros(1, 4, 11, 11))


def test_a_block_has_four_parts():
    with pytest.raises(ValueError, match="multiple of 4"):
        ContextAggregationBlock(1, 6)


def test_five_blocks_down_and_five_up():
    network = CabUnet(1, 6, width=0.125)
    assert [type(stage[0]) for stage in (*network.down, *network.up)] == [ContextAggregationBlock] * 10
    assert [type(stage[1]) for stage in (*network.down, *network.up)] == [SqueezeExcitation] * 10


def test_parameters_are_those_of_the_table():
    channels = (64, 128, 256, 512, 512)

    def block(a, b):
        return 23 * a * b + 2 * b + 2 * b * b // 16 + b // 16 + b

    down = sum(block(a, b) for a, b in zip((1, *channels), channels, strict=False))
    up = sum(block(2 * b, b) for b in channels)
    transposed = sum(4 * a * b + b for a, b in ((512, 512), (512, 512), (512, 256), (256, 128), (128, 64)))
    assert ENTRIES["cab-unet"].parameters == down + up + transposed + 64 * 6 + 6


def test_convolutions_begin_as_glorot_says():
    """Xavier uniform: weights within sqrt(6 / (fan in + fan out)), and filling that range."""
    weight = CabUnet(1, 6, width=0.25).down[1][0].branches[2][0].weight
    bound = math.sqrt(6 / (25 * (weight.shape[0] + weight.shape[1])))
    assert 0.98 * bound < weight.abs().max().item() <= bound


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["cab-unet"]) > 0.95
