import pytest
import torch
from torch import nn

from models.network_layout import TileNorm, for_inference

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
