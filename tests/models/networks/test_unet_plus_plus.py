import torch
from known_weights import make_summing
from overfitting import overfitted_dsc

from models.networks.unet_plus_plus import ENTRIES, NestedNode, UnetPlusPlus

ONE_CHANNEL = 1 / 512


def test_a_node_sees_all_before_it_and_the_one_below_upsampled():
    """X(i, 0) = 1 2 3 4, X(i, 1) = 10 and 5 below: 15 more everywhere."""
    node = make_summing(NestedNode(1, 1, 2))
    first = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    y = node([first, torch.full((1, 1, 2, 2), 10.0)], torch.full((1, 1, 1, 1), 5.0))
    assert torch.equal(y, first + 15)


def test_on_ones_by_hand():
    """X(i, 0) = 1; X(i, 1) = 1 + 1; X(i, 2) = 1 + 2 + 2; X(i, 3) = 1 + 2 + 5 + 5; X(0, 4) = 1 + 2 + 5 + 13 + 13."""
    network = make_summing(UnetPlusPlus(1, 1, width=ONE_CHANNEL))
    scales = network.scales(torch.ones(1, 1, 16, 16))
    for logits, expected in zip(scales, (34, 13, 5, 2), strict=True):
        assert torch.equal(logits, torch.full((1, 1, 16, 16), float(expected)))


def test_each_output_is_supervised_at_full_size_and_teaches_its_own_head():
    network = UnetPlusPlus(1, 2, width=ONE_CHANNEL).eval()
    scales = network.scales(torch.randn(1, 1, 33, 47))
    assert [tuple(logits.shape) for logits in scales] == [(1, 2, 33, 47)] * 4
    for number, logits in enumerate(scales):
        network.zero_grad()
        logits.sum().backward(retain_graph=True)
        assert [head.bias.grad is not None for head in network.heads] == [3 - number == i for i in range(4)]


def test_parameters_are_those_of_the_table():
    channels = (32, 64, 128, 256, 512)
    seen = (5, *channels[:4])
    total = sum(9 * a * c + 9 * c * c + 2 * 2 * c for a, c in zip(seen, channels, strict=True))
    for j in range(1, 5):
        for c in channels[: 5 - j]:
            total += 4 * 2 * c * c + c + 9 * (j + 1) * c * c + 9 * c * c + 2 * 2 * c
    assert ENTRIES["unet-plus-plus"].parameters == total + 4 * (32 + 1)


def test_parameters_are_about_those_that_zhou_prints():
    assert abs(ENTRIES["unet-plus-plus"].parameters - 9.04e6) < 0.02 * 9.04e6


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["unet-plus-plus"]) > 0.95
