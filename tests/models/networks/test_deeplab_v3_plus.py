import pytest
import torch
from known_weights import make_summing
from overfitting import overfitted_dsc

from models.networks.deeplab_v3_plus import ENTRIES, AtrousSpatialPyramidPooling, DeepLabV3Plus

ENCODERS = {"resnet": (23_508_032 + 2 * 49 * 64, 2048), "densenet": (6_960_128, 1024)}


def test_the_aspp_looks_through_a_pixel_at_two_rates_and_at_the_whole():
    """One pixel of 25 is 1. Joined with weights 1, 10, 100 and 2500: the whole gives 2500 / 25 = 100 everywhere.

    The pixel itself adds 1 + 10 + 100; its neighbours are seen at rate 1 (10), those two away at rate 2 (100).
    """
    aspp = make_summing(AtrousSpatialPyramidPooling(1, 1, rates=(1, 2)))
    with torch.no_grad():
        for branch in aspp.branches[1:]:
            branch[0][0].weight.fill_(1.0)
        aspp.join[0][0].weight.copy_(torch.tensor([1.0, 10, 100, 2500]).view(1, 4, 1, 1))
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 1
    expected = [
        [200, 100, 200, 100, 200],
        [100, 110, 110, 110, 100],
        [200, 110, 211, 110, 200],
        [100, 110, 110, 110, 100],
        [200, 100, 200, 100, 200],
    ]
    assert torch.allclose(aspp(x), torch.tensor(expected, dtype=torch.float32))


def test_the_published_rates_are_6_12_and_18():
    aspp = AtrousSpatialPyramidPooling(1, 1)
    assert [branch[0][0].dilation for branch in aspp.branches] == [(1, 1), (6, 6), (12, 12), (18, 18)]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_decoder_joins_features_at_a_quarter_and_at_a_sixteenth(encoder):
    network = DeepLabV3Plus(1, 2, width=1 / 16, encoder=encoder).eval()
    seen = {}
    for name in ("aspp", "low", "decoder"):
        getattr(network, name).register_forward_hook(
            lambda _module, inputs, _output, name=name: seen.update({name: tuple(inputs[0].shape[2:])})
        )
    assert tuple(network(torch.zeros(1, 1, 61, 47)).shape) == (1, 2, 61, 47)
    assert seen == {"aspp": (4, 3), "low": (16, 12), "decoder": (16, 12)}


def test_both_features_of_the_decoder_reach_the_output():
    """The ASPP's side is made 3, the fine features 5, and the decoder adds up one channel of each."""
    network = make_summing(DeepLabV3Plus(1, 1, width=1 / 256))
    network.aspp.register_forward_hook(lambda _module, _inputs, output: torch.full_like(output, 3.0))
    network.low.register_forward_hook(lambda _module, _inputs, output: torch.full_like(output, 5.0))
    assert torch.allclose(network(torch.zeros(1, 1, 20, 20)), torch.full((1, 1, 20, 20), 8.0))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_parameters_are_those_of_the_table(encoder):
    total, h = ENCODERS[encoder]
    total += h * 256 + 512 + 3 * (9 * h * 256 + 512) + h * 256 + 512 + 5 * 256 * 256 + 512
    total += 256 * 48 + 2 * 48 + 9 * (256 + 48) * 256 + 512 + 9 * 256 * 256 + 512 + 256 + 1
    assert ENTRIES[f"deeplab-v3-plus-{encoder}"].parameters == total


@pytest.mark.parametrize("name", ENTRIES)
def test_it_learns_two_cases_by_heart(name):
    assert overfitted_dsc(ENTRIES[name]) > 0.95
