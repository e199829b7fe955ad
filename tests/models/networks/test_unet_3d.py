import pytest
import torch
from constant_weights import with_constant_weights
from overfitting import overfitted_dsc
from torch import nn

from models.networks.unet_3d import ENTRIES, ResidualUnit3d, ResUnet3d, Unet3d


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("build", [Unet3d, ResUnet3d])
@pytest.mark.parametrize("size", [(8, 16, 24), (5, 17, 11), (1, 1, 1)])
def test_logits_have_the_volumes_size(build, size):
    network = build(2, 3, 0.0625).eval()
    x = torch.randn(1, 2, *size)
    assert network(x).shape == (1, 3, *size)
    assert torch.equal(network.scales(x)[0], network(x))


def test_one_voxel_through_the_3d_unet_by_hand():
    """Eight equal voxels a pooling; with one channel and weights of 1/27 inside, only borders would differ."""
    network = with_constant_weights(Unet3d(1, 1, 1 / 64), 1.0)
    assert [block[0][0].out_channels for block in network.encoder] == [1, 1, 2, 4]
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 3, 3):
            nn.init.zeros_(module.weight)
            nn.init.ones_(module.weight[:, :, 1, 1, 1])  # a 3x3x3 convolution that adds up channels
    # Channels 1, 2, 4, 8 a level; every voxel is alike. Down: 1 -> 1, 1; then 1, 2 of 1; 2 of 2, 4 of 4 (2 * 2);
    # 4 of 16 (4 * 4), 8 of 64 (4 * 16).
    skips = []
    network.encoder[0].register_forward_hook(lambda *a: skips.append(a[2]))
    network.encoder[1].register_forward_hook(lambda *a: skips.append(a[2]))
    network.encoder[2].register_forward_hook(lambda *a: skips.append(a[2]))
    y = network(torch.ones(1, 1, 8, 8, 8))
    assert [(s.shape[1], s.unique().tolist()) for s in skips] == [(1, [1.0]), (2, [1.0]), (4, [4.0])]
    # Up: the transposed convolution adds eight channels of 64, 512, in eight channels. With the skip's 4 * 4:
    # 4112, in four channels, then 4 * 4112 = 16,448. Up again: 65,792 in four channels; with 2 * 1: 263,170, then
    # 526,340 in two. Up: 1,052,680 in two; with 1: 2,105,361.
    assert y.unique().tolist() == [2_105_361.0]


def test_parameters_of_the_3d_unet_are_those_of_the_table():
    def conv(a, b):
        return 27 * a * b + 2 * b

    down = (1, 32, 64), (64, 64, 128), (128, 128, 256), (256, 256, 512)
    up = (512, 768, 256), (256, 384, 128), (128, 192, 64)
    by_hand = sum(conv(a, b) + conv(b, c) for a, b, c in down) + 64 + 1
    by_hand += sum(8 * a * a + a + conv(b, c) + conv(c, c) for a, b, c in up)
    assert count(Unet3d(1, 1)) == by_hand == ENTRIES["unet-3d"].parameters


def test_parameters_are_within_two_percent_of_those_that_cicek_prints():
    assert count(Unet3d(3, 3)) == pytest.approx(19_069_955, rel=0.0002)


def test_parameters_of_the_residual_unet_are_those_of_the_table():
    def unit(a, b):
        return 27 * a * b + 27 * b * b + a * b + 2 * a + 2 * b + 2 * b

    units = (1, 64), (64, 128), (128, 256), (256, 512), (768, 256), (384, 128), (192, 64)
    by_hand = sum(unit(a, b) for a, b in units) - 2 * 1 + 64 + 1
    assert count(ResUnet3d(1, 1)) == by_hand == ENTRIES["resunet-3d"].parameters


def test_residual_unit_normalises_first_and_adds_a_shortcut():
    unit = with_constant_weights(ResidualUnit3d(1, 2))
    nn.init.constant_(unit.body[0].bias, -1.0)
    # One voxel of 3: norm 2, first convolution 2 in two channels, second 4; the shortcut is not normalised before: 3.
    assert unit(torch.full((1, 1, 1, 1, 1), 3.0)).flatten().tolist() == [7, 7]
    # Of 0.5, which the norm makes negative: ReLU stops it, the shortcut stays.
    assert unit(torch.full((1, 1, 1, 1, 1), 0.5)).flatten().tolist() == [0.5, 0.5]


def test_residual_unit_halves_both_of_its_ways():
    unit = with_constant_weights(ResidualUnit3d(1, 1, 2))
    y = unit(torch.ones(1, 1, 4, 2, 2))
    # First convolution, stride 2: along an axis of 4 it sees 2 and 3 voxels, along one of 2 it sees 2: 8 and 12.
    # The second sees both: 20. The shortcut adds 1.
    assert y.flatten().tolist() == [21, 21]


def test_the_first_unit_sees_the_image_as_it_is():
    unit = with_constant_weights(ResidualUnit3d(1, 1, preactivated=False))
    # -2 would be stopped before the first convolution: here it is stopped after it, and -2 comes by the shortcut.
    nn.init.constant_(unit.body[0][0].weight, -1.0)
    assert unit(torch.full((1, 1, 1, 1, 1), -2.0)).item() == 2 - 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rate"), [("unet-3d", 3e-2), ("resunet-3d", 2e-2)])
def test_it_learns_two_cases_by_heart(name, rate):
    assert overfitted_dsc(ENTRIES[name], learning_rate=rate, steps=60) > 0.95
