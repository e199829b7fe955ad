import pytest
import torch
from overfitting import overfitted_dsc
from torch.nn import functional

from models.networks.fcn import ENTRIES, Fcn8s, doubling


@pytest.mark.parametrize("size", [(64, 64), (65, 33), (50, 95), (1, 1)])
def test_logits_have_the_images_size(size):
    network = Fcn8s(1, 2, 0.0625).eval()
    x = torch.randn(2, 1, *size)
    assert network(x).shape == (2, 2, *size)
    assert torch.equal(network.scales(x)[0], network(x))


def test_doubling_begins_as_bilinear_interpolation_of_each_class():
    x = torch.zeros(1, 2, 1, 4)
    x[0, 0, 0] = torch.tensor([0.0, 0.0, 4.0, 4.0])
    y = doubling(2)(x)
    # Along x, between 0 and 4: 1 and 3. Along y there is one row, of which each new row gets three quarters.
    assert y[0, 0].tolist() == [[0, 0, 0, 0.75, 2.25, 3, 3, 2.25]] * 2
    assert torch.equal(y[0, 1], torch.zeros(2, 8))


def test_scores_meet_at_a_sixteenth_and_an_eighth():
    network = Fcn8s(1, 1, 0.0625).eval()
    for number, score in enumerate(network.scores):
        torch.nn.init.zeros_(score.weight)
        torch.nn.init.constant_(score.bias, 10.0**number)  # 1/8: 1, 1/16: 10, 1/32: 100
    y = network(torch.zeros(1, 1, 128, 128))[0, 0]
    # In the middle, away from borders, interpolation changes nothing: the three scores add up.
    assert y[64, 64].item() == pytest.approx(111.0)


def test_the_last_eightfold_upsampling_is_bilinear():
    network = Fcn8s(1, 1, 0.0625).eval()
    seen = {}
    network.scores[0].register_forward_hook(lambda *a: seen.update(eighth=a[2]))
    for score in list(network.scores)[1:]:
        torch.nn.init.zeros_(score.weight)
        torch.nn.init.zeros_(score.bias)
    x = torch.randn(1, 1, 64, 64)
    assert torch.allclose(
        network(x), functional.interpolate(seen["eighth"], scale_factor=8, mode="bilinear"), atol=1e-6
    )


def test_parameters_are_those_of_the_table():
    by_hand = 23_508_032 - 2 * 49 * 64 + (2048 + 1) + (1024 + 1) + (512 + 1) + 2 * 16
    network = Fcn8s(1, 1)
    assert sum(p.numel() for p in network.parameters()) == by_hand == ENTRIES["fcn"].parameters


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["fcn"]) > 0.95
