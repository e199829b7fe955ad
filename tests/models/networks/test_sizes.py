import pytest
import torch

from models.networks.sizes import cropped_to, padded_to_multiple, scaled


def test_the_last_voxel_is_repeated_at_the_far_end_of_each_axis():
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    padded, size = padded_to_multiple(x, 4)
    assert tuple(size) == (1, 3)
    assert padded[0, 0].tolist() == [[1, 2, 3, 3]] * 4


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 15), (4, 5, 6), (8, 16, 8), (1, 1, 1)])
def test_padding_and_cropping_give_the_input_back(size):
    x = torch.arange(2 * 3 * torch.tensor(size).prod().item(), dtype=torch.float32).reshape(2, 3, *size)
    padded, original = padded_to_multiple(x, 8)
    assert tuple(padded.shape[2:]) == tuple(8 if length <= 8 else 16 for length in size)
    assert torch.equal(cropped_to(padded, original), x)


def test_nothing_is_copied_where_nothing_is_missing():
    x = torch.zeros(1, 1, 8, 16)
    assert padded_to_multiple(x, 8)[0] is x


@pytest.mark.parametrize("size", [(5, 4), (4,), (4, 4, 4)])
def test_cropping_to_more_than_there_is_or_to_other_axes_is_refused(size):
    with pytest.raises(ValueError, match="cannot be cropped"):
        cropped_to(torch.zeros(1, 1, 4, 4), size)


def test_a_narrow_network_keeps_a_channel():
    assert scaled(0.25, 64, 128, 2) == (16, 32, 1)
    assert scaled(0.1, 1) == (1,)
