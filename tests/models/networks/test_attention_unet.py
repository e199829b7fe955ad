import math

import torch
from overfitting import overfitted_dsc

from models.networks.attention_unet import ENTRIES, AttentionGate, AttentionUnet


def known_gate():
    """x is averaged over 2x2, g counts twice less one, and what is left is weighed by ln 3."""
    gate = AttentionGate(1, 1, 1)
    with torch.no_grad():
        gate.of_skip.weight.fill_(0.25)
        gate.of_gating.weight.fill_(2.0)
        gate.of_gating.bias.fill_(-1.0)
        gate.psi.weight.fill_(2 * math.log(3))
        gate.psi.bias.fill_(-math.log(3))
    return gate


def test_attention_adds_skip_and_gating_and_comes_back_to_the_size_of_the_skip():
    """Left, x has mean 2 and g is -0.5: 2 + (2 * -0.5 - 1) = 0, sigmoid(-ln 3) = 1/4.

    Right, x has mean 1 and g is 0.5: 1 + (2 * 0.5 - 1) = 1, sigmoid(2 ln 3 - ln 3) = 3/4.
    Between two coefficients a quarter of the way lies 3/4 * 1/4 + 1/4 * 3/4 = 3/8, and 5/8 beyond the middle.
    """
    x = torch.tensor([[[[0.0, 4.0, 1.0, 1.0], [4.0, 0.0, 2.0, 0.0]]]])
    g = torch.tensor([[[[-0.5, 0.5]]]])
    gate = known_gate()
    alpha = torch.tensor([1 / 4, 3 / 8, 5 / 8, 3 / 4]).expand(1, 1, 2, 4)
    assert torch.allclose(gate.coefficients(x, g), alpha)
    assert torch.allclose(gate(x, g), x * alpha)


def test_what_adds_up_to_less_than_nothing_is_cut_off():
    x, low, lower = torch.zeros(1, 1, 2, 2), torch.tensor([[[[-0.5]]]]), torch.tensor([[[[-5.0]]]])
    assert torch.equal(known_gate().coefficients(x, low), known_gate().coefficients(x, lower))


def test_the_finest_skip_has_no_gate():
    network = AttentionUnet(1, 2, width=0.125)
    assert [gate.of_skip.in_channels for gate in network.gates] == [64, 32, 16]


def test_parameters_are_those_of_the_table():
    channels = (64, 128, 256, 512, 1024)
    pairs = zip((1, *channels), channels, strict=False)
    encoder = sum(9 * a * b + 9 * b * b + 4 * b for a, b in pairs)
    transposed = sum(8 * c * c + c for c in channels[:4])
    gates = sum(3 * c * c + c + 1 for c in channels[1:4])
    decoder = sum(27 * c * c + 4 * c for c in channels[:4])
    total = encoder + transposed + gates + decoder + 64 * 5 + 5
    assert ENTRIES["attention-unet"].parameters == total


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["attention-unet"]) > 0.95


def test_it_is_the_encoders_feature_that_is_weighed():
    """With coefficients of nought the decoder sees nothing of the three coarser skips, all of the finest."""
    network = AttentionUnet(1, 2, width=0.125).eval()
    for gate in network.gates:
        torch.nn.init.constant_(gate.psi.bias, -1e4)
    seen = []
    for decoder in network.decoder:
        decoder.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    with torch.no_grad():
        x = torch.randn(1, 1, 64, 64)
        network(x)
        finest = network.encoder[0](x)
    skips = [each.chunk(2, dim=1)[0] for each in seen]
    assert not any(skip.any() for skip in skips[:3])
    assert torch.equal(skips[3], finest)
