import torch
from known_weights import make_summing

from models.networks.densenet import DenseBlock, DenseNet121, Transition

GROWTH, LAYERS = 32, (6, 12, 24, 16)


def test_each_layer_of_a_block_adds_what_it_makes_of_everything_before_it():
    """Four inner channels hold the sum of all before; a quarter of their sum is appended: 1, 1, 2, 4."""
    block = make_summing(DenseBlock(1, 3, growth=1))
    with torch.no_grad():
        for layer in block:
            layer.conv2.weight.mul_(0.25)
    y = block(torch.ones(1, 1, 2, 2))
    assert torch.equal(y, torch.tensor([1.0, 1.0, 2.0, 4.0]).view(1, 4, 1, 1).expand(1, 4, 2, 2))


def test_a_layer_cuts_off_what_is_negative_but_hands_it_on():
    block = make_summing(DenseBlock(1, 1, growth=1))
    assert block(torch.full((1, 1, 1, 1), -3.0)).flatten().tolist() == [-3, 0]


def test_a_dilated_layer_sees_two_pixels_away():
    block = make_summing(DenseBlock(1, 1, growth=1, dilation=2))
    with torch.no_grad():
        block[0].conv2.weight.fill_(0.25)
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 1
    every_other = torch.tensor([1.0, 0, 1, 0, 1])
    assert torch.equal(block(x)[0, 1], every_other[:, None] * every_other)


def test_a_transition_halves_channels_and_takes_the_mean_of_four_pixels():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    assert make_summing(Transition(2, halve=True))(x).tolist() == [[[[3.0 + 1.0]]]]
    assert make_summing(Transition(2, halve=False))(x).tolist() == [[[[2.0, 3.0], [4.0, 7.0]]]]


def test_features_stop_halving_at_a_sixteenth():
    network = DenseNet121(1, width=0.125).eval()
    features = network(torch.zeros(1, 1, 64, 32))
    assert [tuple(f.shape[2:]) for f in features] == [(32, 16), (16, 8), (8, 4), (4, 2), (4, 2)]
    assert tuple(f.shape[1] for f in features) == network.channels == (8, 32, 64, 128, 128)


def by_hand(in_channels):
    total, channels = 7 * 7 * in_channels * 64 + 2 * 64, 64
    for number, layers in enumerate(LAYERS):
        for _ in range(layers):
            total += 2 * channels + channels * 4 * GROWTH + 2 * 4 * GROWTH + 9 * 4 * GROWTH * GROWTH
            channels += GROWTH
        if number < 3:
            total += 2 * channels + channels * channels // 2
            channels //= 2
    return total + 2 * channels


def test_parameters_are_the_well_known_ones():
    with torch.device("meta"):
        found = {c: sum(p.numel() for p in DenseNet121(c).parameters()) for c in (3, 5)}
    assert found == {c: by_hand(c) for c in (3, 5)}
    assert found[5] == 6_960_128
    assert found[3] + 1024 * 1000 + 1000 == 7_978_856
