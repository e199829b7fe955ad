import pytest
import torch
from constant_weights import with_constant_weights
from overfitting import overfitted_dsc
from torch import nn

from models.networks.refinenet_plus_3d import (
    ENTRIES,
    ChainedResidualPooling3d,
    Fusion3d,
    RefineBlock3d,
    RefineNetPlus3d,
    ResidualConvUnit3d,
)


def dot(size, channels=1, value=1.0):
    x = torch.zeros(1, channels, size, size, size)
    x[:, 0, size // 2, size // 2, size // 2] = value
    return x


def rings(size):
    """Of every voxel, its distance to the middle along the farthest axis."""
    away = (torch.arange(size) - size // 2).abs()
    return torch.stack(torch.meshgrid(away, away, away, indexing="ij")).amax(0)


@pytest.mark.parametrize("size", [(16, 32, 16), (5, 33, 18), (1, 1, 1)])
def test_logits_have_the_volumes_size(size):
    network = RefineNetPlus3d(1, 2, 0.03).eval()
    x = torch.randn(1, 1, *size)
    assert network(x).shape == (1, 2, *size)
    assert torch.equal(network.scales(x)[0], network(x))


def test_first_downsampling_and_last_upsampling_are_by_two():
    network = RefineNetPlus3d(1, 1, 0.03).eval()
    sizes = {}
    network.encoder.stages[0].register_forward_hook(lambda *a: sizes.update(first=a[2].shape[2:]))
    network.head.register_forward_hook(lambda *a: sizes.update(head=a[2].shape[2:]))
    assert network(torch.zeros(1, 1, 16, 32, 48)).shape[2:] == (16, 32, 48)
    assert sizes == {"first": (8, 16, 24), "head": (8, 16, 24)}


def test_rcu_adds_three_convolutions_to_its_input():
    unit = with_constant_weights(ResidualConvUnit3d(2))
    x = dot(5, channels=2, value=3.0)
    x[0, 1] = -1.0  # ReLU stops it on its way through the convolutions, and it is added all the same
    y = unit(x.clone())[0]
    spread = 3.0 * (rings(5) <= 1)
    assert torch.equal(y[0], spread + 3.0 * (rings(5) == 0))
    assert torch.equal(y[1], spread - 1.0)


def test_rcu_normalises_before_each_convolution():
    unit = with_constant_weights(ResidualConvUnit3d(2))
    norms = [module for module in unit.modules() if isinstance(module, nn.BatchNorm3d)]
    assert [norm.num_features for norm in norms] == [2, 1, 1]
    for norm in norms:
        nn.init.constant_(norm.bias, 1.0)
    # One voxel: 4, 1 after the first norm 5 and 2, sum 7, norm 8, 3x3x3 8, norm 9, added to 4 and 1.
    x = torch.tensor([4.0, 1.0]).view(1, 2, 1, 1, 1)
    assert unit(x).flatten().tolist() == [13, 10]


def test_crp_adds_four_poolings_each_of_the_one_before():
    pooling = with_constant_weights(ChainedResidualPooling3d(1), 0.5)
    expected = sum(0.5**k * (rings(19) <= 2 * k) for k in range(5))
    assert torch.equal(pooling(dot(19))[0, 0], expected)


def test_crp_begins_with_relu():
    pooling = with_constant_weights(ChainedResidualPooling3d(1))
    assert torch.equal(pooling(torch.full((1, 1, 2, 2, 2), -2.0)), torch.zeros(1, 1, 2, 2, 2))


def test_fusion_doubles_the_coarser_input_adds_and_stops_what_is_negative():
    fusion = with_constant_weights(Fusion3d(2, 3), 0.5)
    fine = torch.full((1, 2, 2, 2, 4), -4.0)
    coarse = torch.tensor([0.0, 8.0]).expand(1, 3, 1, 1, 2)
    # Fine: 0.5 * 2 * -4 = -4. Coarse: 0.5 * 3 * (0, 8) = (0, 12), trilinearly (0, 3, 9, 12).
    assert fusion(fine, coarse)[0, 1, 1].tolist() == [[0, 0, 5, 8]] * 2


def test_refine_block_is_reduction_unit_fusion_pooling():
    block = with_constant_weights(RefineBlock3d(1, 2, coarse_channels=1))
    # One voxel. Reduction 3, unit 3 + 6 = 9, fusion 9 + 9 + 5 = 23, pooling 23 * (1 + 2 + 4 + 8 + 16) = 713.
    y = block(torch.full((1, 1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1, 1), 5.0))
    assert y.flatten().tolist() == [713] * 2


def test_the_coarsest_block_fuses_nothing():
    block = with_constant_weights(RefineBlock3d(1, 2))
    assert block.fusion is None
    assert block(torch.ones(1, 1, 1, 1, 1)).flatten().tolist() == [3 * 31] * 2


def test_parameters_are_those_of_the_table():
    by_hand, before = 343 * 64 + 2 * 64, 64
    for c, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            by_hand += before * c + 27 * c * c + c * 4 * c + 2 * (c + c + 4 * c)
            by_hand += before * 4 * c + 2 * 4 * c if block == 0 else 0
            before = 4 * c
    for skip, c, coarse in ((2048, 512, None), (1024, 256, 512), (512, 256, 256), (256, 256, 256)):
        inner = c // 2
        by_hand += skip * c + 2 * c + (c * inner + 27 * inner * inner + inner * c + 2 * (c + inner + inner))
        by_hand += 4 * (c * c + 2 * c) + (0 if coarse is None else coarse * c + c * c + 4 * c)
    by_hand += 27 * 256 + 1
    with torch.device("meta"):
        network = RefineNetPlus3d(1, 1)
    assert sum(p.numel() for p in network.parameters()) == by_hand == ENTRIES["refinenet-plus-3d"].parameters


@pytest.mark.slow
def test_it_learns_two_cases_by_heart():
    dsc = overfitted_dsc(ENTRIES["refinenet-plus-3d"], size=(16, 64, 64), steps=80)
    assert dsc > 0.95
