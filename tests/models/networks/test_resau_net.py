import math

import torch
from overfitting import overfitted_dsc

from models.networks.resau_net import ENTRIES, ChannelAttention, ResauNet


def set_linear(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))


def test_attention_weighs_channels_by_the_means_of_both_features():
    """Means of x are 1 and 2, of g 3; W_g g + W_x x = (3, -3) + (1, 2) = (4, -1), cut to (4, 0).

    Phi makes (ln(3) / 4 * 4, -ln 3 + 0) of it: weights 3/4 and 1/4.
    """
    block = ChannelAttention(2, 1)
    set_linear(block.of_gating, [[1.0], [-1.0]], [0.0, 0.0])
    set_linear(block.of_skip, [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    set_linear(block.phi, [[math.log(3) / 4, 0.0], [0.0, 7.0]], [0.0, -math.log(3)])
    x = torch.tensor([[[[0.0, 2.0]], [[4.0, 0.0]]]])
    g = torch.tensor([[[[1.0], [5.0], [3.0]]]])
    assert torch.allclose(block(x, g), torch.tensor([[[[0.0, 1.5]], [[1.0, 0.0]]]]))


def test_parameters_are_those_of_the_table():
    resnet34 = 21_284_672 - 2 * 49 * 64
    stages = sum(4 * b * c + 30 * c * c + 8 * c for b, c in ((512, 256), (256, 128), (128, 64), (64, 64)))
    assert ENTRIES["resau-net"].parameters == resnet34 + stages + 4 * 64 * 5 + 5


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["resau-net"], learning_rate=5e-3) > 0.95


def test_it_is_the_encoders_feature_that_is_weighed():
    """With weights of nought the decoder sees nothing but its own upsampled feature."""
    network = ResauNet(1, 2, width=0.125).eval()
    for block in network.attention:
        torch.nn.init.constant_(block.phi.bias, -1e4)
    seen = {}
    for level, (up, decoder) in enumerate(zip(network.upsample, network.decoder, strict=True)):
        up.register_forward_hook(lambda _m, _i, out, level=level: seen.update({("g", level): out}))
        decoder.register_forward_hook(lambda _m, i, _o, level=level: seen.update({("in", level): i[0]}))
    with torch.no_grad():
        network(torch.randn(1, 1, 64, 64))
    for level in range(4):
        skip, own = seen["in", level].chunk(2, dim=1)
        assert not skip.any()
        assert torch.equal(own, seen["g", level])
