import pytest
import torch

from models.training.losses.target import Target


def masks_of(*rows: list[list[int]]) -> torch.Tensor:
    """One sample of structures given as pixels, ``(1, structures, y, x)`` bool."""
    return torch.tensor(rows, dtype=torch.bool)[None]


ALL_KNOWN = torch.ones((1, 2), dtype=torch.bool)


def test_of_two_structures_that_overlap_the_first_one_has_the_voxel():
    masks = masks_of([[1, 1, 0, 0]], [[0, 1, 1, 0]])
    assert Target(masks, ALL_KNOWN).labels.tolist() == [[[1, 1, 2, 0]]]


def test_an_unknown_structure_is_drawn_nowhere_whatever_its_mask_says():
    target = Target(masks_of([[1, 1, 0, 0]], [[0, 1, 1, 0]]), torch.tensor([[False, True]]))
    assert target.labels.tolist() == [[[0, 2, 2, 0]]]
    assert target.drawn.int().tolist() == [[[[0, 0, 0, 0]], [[0, 1, 1, 0]]]]


def test_logits_of_an_unknown_structure_become_minus_infinity_in_its_case_alone():
    known = torch.tensor([[True, False], [True, True]])
    logits = torch.ones(2, 3, 1, 1)
    found = Target(torch.zeros(2, 2, 1, 1, dtype=torch.bool), known).restricted(logits)[..., 0, 0]
    assert found.tolist() == [[1, 1, -float("inf")], [1, 1, 1]]


def test_a_coarse_voxel_belongs_to_what_fills_more_than_half_of_it():
    masks = masks_of([[1, 1, 1, 0], [1, 0, 1, 0]])  # three quarters of the left block, half of the right one
    found = Target(masks, torch.ones((1, 1), dtype=torch.bool)).averaged_to((1, 2))
    assert found.masks.tolist() == [[[[True, False]]]]


@pytest.mark.parametrize("size", [(8, 6, 4), (9, 7, 5)])
def test_at_half_the_size_every_second_voxel_is_sampled(size):
    masks = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) > 0.5
    half = [-(-n // 2) for n in size]
    found = Target(masks, torch.ones(2, 3, dtype=torch.bool)).sampled_at(half)
    assert torch.equal(found.masks, masks[:, :, ::2, ::2, ::2])


def test_at_its_own_size_a_target_is_the_same_either_way():
    target = Target(torch.rand(1, 2, 5, 5) > 0.5, ALL_KNOWN)
    assert torch.equal(target.averaged_to((5, 5)).masks, target.masks)
    assert torch.equal(target.sampled_at((5, 5)).masks, target.masks)


def test_masks_and_what_is_known_must_be_of_the_same_structures():
    with pytest.raises(ValueError, match="do not fit"):
        Target(torch.zeros(1, 3, 2, 2), ALL_KNOWN)
