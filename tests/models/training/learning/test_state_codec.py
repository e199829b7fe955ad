import pytest
import torch

from models.training.learning.state_codec import packed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_exact_keeps_every_bit_of_every_dtype(dtype):
    tensor = torch.randn(3, 4).mul(3).to(dtype)
    again = packed(tensor, "exact").tensor()
    assert again.dtype == dtype
    assert torch.equal(again, tensor)
    assert torch.equal(packed(torch.tensor(7.5), "exact").tensor(), torch.tensor(7.5))


@pytest.mark.parametrize(("codec", "bytes_each", "error"), [("bfloat16", 2, 2**-8), ("float24", 3, 2**-16)])
def test_shorter_floats_keep_their_part_of_the_mantissa_and_are_then_exact(codec, bytes_each, error):
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 0.05
    small = packed(tensor, codec)
    again = small.tensor()
    assert len(small.content) == 1000 * bytes_each
    assert ((again - tensor).abs() <= error * tensor.abs()).all()
    assert torch.equal(packed(again, codec).tensor(), again)


def test_three_bytes_by_hand():
    one_and_a_bit = torch.tensor([1 + 2**-15, 1 + 2**-16, 1 + 3 * 2**-17, -2.0])
    assert packed(one_and_a_bit, "float24").tensor().tolist() == [1 + 2**-15, 1 + 2**-15, 1 + 2**-15, -2.0]


def test_levels_of_the_logarithm_keep_nought_the_ends_and_what_lies_between():
    tensor = torch.logspace(-12, -2, 500)
    tensor[7] = 0
    small = packed(tensor, "log8")
    again = small.tensor()
    assert len(small.content) == 500
    assert again[7] == 0
    keep = torch.arange(500) != 7
    # 10 decades in 254 steps: half a step is exp(23.03 / 508) - 1
    assert ((again[keep] / tensor[keep] - 1).abs() < 0.0464).all()
    assert again[0] == pytest.approx(1e-12, rel=1e-5)
    assert packed(torch.zeros(3), "log8").tensor().tolist() == [0, 0, 0]
    assert packed(torch.tensor([4.0]), "log8").tensor().tolist() == [pytest.approx(4)]


def test_a_byte_for_a_number_by_hand():
    # the largest is 448 steps; 7 of them are exact, of 17 every second, of 35 every fourth is kept
    tensor = torch.tensor([4.48, -0.07, 0.17, 0.35, 0.0])
    again = packed(tensor, "float8").tensor()
    assert again.tolist() == pytest.approx([4.48, -0.07, 0.16, 0.36, 0.0], abs=1e-5)
    assert packed(torch.zeros(2), "float8").tensor().tolist() == [0, 0]


def test_a_tensor_near_another_loses_only_of_the_difference():
    weights = torch.tensor([100.0, -3.0, 0.5])
    average = weights + torch.tensor([0.448, -0.1, 0.0])
    again = packed(average, "near", weights).tensor(weights)
    # the largest difference is 448 steps of float8; 0.1 is 100 of them, and there float8 counts by 8: 96 or 104
    assert (again - weights).tolist() == [
        pytest.approx(0.448, abs=1e-5),
        pytest.approx(-0.1, abs=0.0041),
        0,
    ]
    assert torch.equal(packed(weights, "near", weights).tensor(weights), weights)
    with pytest.raises(ValueError, match="near another"):
        packed(weights, "near")
