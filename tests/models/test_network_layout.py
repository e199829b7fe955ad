import pytest
import torch
from torch import nn

from models.network_layout import TileNorm, for_inference
from models.networks import NETWORKS

CPU = torch.device("cpu")


@pytest.mark.parametrize("tiles", [1, 3])
def test_a_tile_norm_is_an_instance_norm(tiles):
    norm = nn.InstanceNorm3d(2, affine=True, eps=1e-9)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 10.0]))
        norm.bias.copy_(torch.tensor([0.0, 5.0]))
    tile = torch.tensor([[1.0, 3.0], [4.0, 8.0]]).reshape(1, 2, 2, 1, 1)  # means 2 and 6, deviations 1 and 2
    found = TileNorm(norm)(tile.expand(tiles, 2, 2, 1, 1))
    expected = torch.tensor([[-1.0, 1.0], [-5.0, 15.0]]).reshape(1, 2, 2, 1, 1)
    torch.testing.assert_close(found, expected.expand(tiles, 2, 2, 1, 1))


def test_each_tile_has_its_own_statistics():
    norm = TileNorm(nn.InstanceNorm2d(1, eps=1e-9))
    found = norm(torch.tensor([[0.0, 2.0], [10.0, 30.0]]).reshape(2, 1, 1, 2))
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.0, 1.0, -1.0, 1.0]))


def test_weights_lie_channels_last_under_their_old_names_and_say_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 4, 3), nn.InstanceNorm3d(4, affine=True), nn.Conv3d(4, 2, 1)).eval()
    names, shown = list(network.state_dict()), torch.randn(1, 2, 5, 6, 7)
    expected = network(shown)
    assert for_inference(network, CPU) is network
    assert isinstance(network[1], TileNorm)
    assert list(network.state_dict()) == names
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(network(shown), expected)


def test_a_norm_with_running_statistics_is_left_alone():
    network = for_inference(nn.Sequential(nn.InstanceNorm2d(3, track_running_stats=True)), CPU)
    assert isinstance(network[0], nn.InstanceNorm2d)


def normed(convolution, mean, variance, weight, bias):
    norm = nn.BatchNorm2d(1, eps=0.0)
    norm.running_mean.fill_(mean)
    norm.running_var.fill_(variance)
    with torch.no_grad():
        convolution.weight.fill_(3.0)
        norm.weight.fill_(weight)
        norm.bias.fill_(bias)
    return nn.Sequential(convolution, norm, nn.ReLU()).eval()


def test_a_batch_norm_behind_a_convolution_becomes_part_of_it():
    """3 x, less 2, by a deviation of 4, times 8, plus 1: that is 6 x - 3."""
    network = normed(nn.Conv2d(1, 1, 1, bias=False), mean=2.0, variance=16.0, weight=8.0, bias=1.0)
    shown = torch.tensor([[1.0, 2.0]]).reshape(1, 1, 1, 2)
    assert network(shown).flatten().tolist() == [3.0, 9.0]
    for_inference(network, CPU)
    assert isinstance(network[1], nn.Identity)
    assert (network[0].weight.item(), network[0].bias.item()) == (6.0, -3.0)
    assert network(shown).flatten().tolist() == [3.0, 9.0]


def test_a_convolution_that_is_used_twice_keeps_its_weights():
    shared = nn.Conv2d(1, 1, 1, bias=False)
    network = nn.ModuleList([normed(shared, 2.0, 16.0, 8.0, 1.0), nn.Sequential(shared)]).eval()
    for_inference(network, CPU)
    assert isinstance(network[0][1], nn.BatchNorm2d)
    assert network[1][0] is shared


def test_a_batch_norm_that_still_learns_is_left_alone():
    network = normed(nn.Conv2d(1, 1, 1), 0.0, 1.0, 1.0, 0.0).train()
    assert isinstance(for_inference(network, CPU)[1], nn.BatchNorm2d)


@pytest.mark.parametrize("name", ["ce-net", "resunet-3d"])
def test_a_network_says_the_same_with_its_norms_folded(name):
    torch.manual_seed(0)
    entry = NETWORKS[name]
    network = entry.build(in_channels=entry.in_channels, classes=2, width=0.0625).eval()
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d))]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    shown = torch.randn(1, entry.in_channels, *([16] * entry.dimensions))
    with torch.inference_mode():
        expected = network(shown)
        found = for_inference(network, CPU)(shown)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    left = [m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d))]
    assert len(left) < len(norms) / 2
