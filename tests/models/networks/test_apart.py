import torch

from models.cards.card import NetworkCard
from models.networks import build, network_of
from models.networks.apart import NetworksApart

SMALL = {"features": [4, 6]}


def test_each_output_comes_from_its_own_network():
    torch.manual_seed(3)
    network = network_of(NetworkCard("unet-res-enc", SMALL, apart=True), in_channels=2, outputs=3)
    assert isinstance(network, NetworksApart)
    x = torch.randn(1, 2, 8, 8, 8)
    network.eval()
    out = network(x)
    assert out.shape == (1, 3, 8, 8, 8)
    alone = build("unet-res-enc", in_channels=2, classes=1, **SMALL)
    state = network.state_dict()
    alone.load_state_dict({k.removeprefix("networks.1."): v for k, v in state.items() if "networks.1." in k})
    torch.testing.assert_close(out[:, 1:2], alone(x))
    assert (network.dimensions, network.stride) == (3, 2)


def test_every_scale_has_every_output():
    network = network_of(NetworkCard("unet-res-enc", SMALL, apart=True), in_channels=1, outputs=2)
    full, half = network.scales(torch.randn(1, 1, 8, 8, 8))
    assert full.shape == (1, 2, 8, 8, 8)
    assert half.shape == (1, 2, 4, 4, 4)


def test_one_network_has_all_outputs_unless_asked():
    network = network_of(NetworkCard("unet-res-enc", SMALL), in_channels=1, outputs=3)
    assert network(torch.zeros(1, 1, 4, 4, 4)).shape[1] == 3
