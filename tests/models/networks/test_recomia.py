import pytest
import torch
from overfitting import overfitted_dsc

from models.networks.recomia import ENTRIES, Convolution, Recomia


def test_parameters_are_those_of_the_table():
    channels, depths = (8, 32, 64, 128), (1, 2, 3, 4)

    def convolutions(channels, count):
        return count * (27 * channels * channels + 2 * channels)

    total = 27 * 8 + 2 * 8
    for a, b, depth in zip(channels, channels[1:], depths[1:], strict=False):
        total += 8 * a * b + 2 * b + convolutions(b, depth)
    for a, b, depth in zip(channels, channels[1:], depths, strict=False):
        total += a * b + a + convolutions(a, depth)
    assert ENTRIES["recomia"].parameters == total + 8 * 6 + 6


@pytest.mark.parametrize(("stride", "middle"), [(1, 27.0), (2, 8.0)])
def test_a_convolution_of_ones_counts_the_voxels_it_sees_and_halving_sees_eight(stride, middle):
    block = Convolution(1, 1, stride).eval()
    with torch.no_grad():
        block[0].weight.fill_(1.0)
        block[1].eps = 0.0
    found = block(torch.ones(1, 1, 4, 4, 4))
    assert found.shape[2:] == (4 // stride,) * 3
    assert found[0, 0, 1, 1, 1].item() == middle


def test_training_keeps_little_enough_for_fifty_patches():
    """410 bytes a voxel: 50 * 136 * 136 * 72 voxels then take 27 GB, which the docstring promises."""
    network = Recomia(1, 6)
    x = torch.randn(2, 1, 32, 32, 32)
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    a_voxel = sum(size for pointer, size in kept.items() if pointer not in own) / x.numel()
    assert 300 < a_voxel < 420


def test_it_learns_two_cases_by_heart():
    assert overfitted_dsc(ENTRIES["recomia"], learning_rate=2e-2) > 0.95
