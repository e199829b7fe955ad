import pytest
import torch
from torch import nn

from models.networks.resnet import ResidualBlock, ResNet

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def basic_parameters():
    total = 7 * 7 * 3 * 64 + 2 * 64
    for stage, (c, blocks) in enumerate(STAGES):
        kept = 2 * 9 * c * c + 2 * 2 * c
        first = kept if stage == 0 else 9 * (c // 2) * c + 9 * c * c + (c // 2) * c + 3 * 2 * c
        total += first + (blocks - 1) * kept
    return total


def bottleneck_parameters():
    total, before = 7 * 7 * 3 * 64 + 2 * 64, 64
    for c, blocks in STAGES:
        for block in range(blocks):
            total += before * c + 9 * c * c + c * 4 * c + 2 * (c + c + 4 * c)
            if block == 0:
                total += before * 4 * c + 2 * 4 * c
            before = 4 * c
    return total


@pytest.mark.parametrize(
    ("kind", "by_hand", "known_with_classifier", "classifier"),
    [
        ("basic", basic_parameters, 21_797_672, 512 * 1000 + 1000),
        ("bottleneck", bottleneck_parameters, 25_557_032, 2048 * 1000 + 1000),
    ],
)
def test_parameters_are_those_of_table_1(kind, by_hand, known_with_classifier, classifier):
    assert count(ResNet(kind, 3)) == by_hand() == known_with_classifier - classifier


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_features_halve_from_the_stem_on(kind):
    encoder = ResNet(kind, 2, 0.125).eval()
    features = encoder(torch.zeros(1, 2, 64, 96))
    assert [tuple(f.shape[2:]) for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(f.shape[1] for f in features) == encoder.channels


def test_channels_at_full_width():
    assert ResNet("basic", 1).channels == (64, 64, 128, 256, 512)
    assert ResNet("bottleneck", 1).channels == (64, 256, 512, 1024, 2048)


def test_a_dilated_last_stage_is_twice_as_fine_with_the_same_weights():
    plain, dilated = ResNet("basic", 1, 0.125), ResNet("basic", 1, 0.125, coarsest=16)
    dilated.load_state_dict(plain.state_dict())
    assert dilated.eval()(torch.zeros(1, 1, 64, 64))[-1].shape[2:] == (4, 4)
    assert plain.eval()(torch.zeros(1, 1, 64, 64))[-1].shape[2:] == (2, 2)


def test_three_dimensions_without_the_stems_pooling():
    encoder = ResNet("bottleneck", 1, 0.0625, dimensions=3, pooled_stem=False).eval()
    features = encoder(torch.zeros(1, 1, 16, 32, 16))
    assert [tuple(f.shape[2:]) for f in features] == [
        (8, 16, 8),
        (8, 16, 8),
        (4, 8, 4),
        (2, 4, 2),
        (1, 2, 1),
    ]


def constant_weights(block, value):
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, value)
    block.eval()  # fresh batch norm in use: x / sqrt(1 + 1e-5)


def test_a_basic_block_adds_its_input():
    block = ResidualBlock("basic", 1, 1)
    constant_weights(block, 1.0)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1.0
    # Ones convolved with ones: 1 2 3 2 1 along each axis, so 9 in the middle, to which the input is added.
    along = torch.tensor([1.0, 2, 3, 2, 1])
    expected = torch.outer(along, along) / (1 + 1e-5)
    expected[2, 2] += 1.0
    assert torch.allclose(block(x)[0, 0], expected, atol=1e-4)


def test_a_bottleneck_widens_fourfold_and_halves_with_a_projection():
    block = ResidualBlock("bottleneck", 2, 3, stride=2)
    constant_weights(block, 0.5)
    x = torch.ones(1, 2, 4, 4)
    y = block(x)
    assert y.shape == (1, 12, 2, 2)
    # 1x1: 2 * .5 = 1. 3x3 of three channels at the corner (4 voxels in view): 12 * .5 = 6, elsewhere
    # 6 voxels: 9, or 9 voxels: 13.5. 1x1 of three: 1.5 times that. Projection: 1.
    assert torch.allclose(y[0, 0], torch.tensor([[10.0, 14.5], [14.5, 21.25]]), atol=1e-3)


def test_a_negative_sum_is_cut_at_nought():
    block = ResidualBlock("basic", 1, 1)
    constant_weights(block, 0.0)
    assert torch.equal(block(torch.tensor([[[[-1.0, 2.0]]]])), torch.tensor([[[[0.0, 2.0]]]]))
