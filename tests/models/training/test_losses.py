import math

import pytest
import torch

from models.training.losses import batch_dice_loss, deeply_supervised_loss, segmentation_loss


def sure(labels: torch.Tensor, classes: int, by: float = 40.0) -> torch.Tensor:
    """Logits that leave no doubt about ``labels``."""
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float() * by


def half_of_each(voxels: int = 4) -> torch.Tensor:
    labels = torch.zeros((1, voxels, voxels, voxels), dtype=torch.int64)
    labels[:, : voxels // 2] = 1
    return labels


def test_a_perfect_answer_costs_nothing():
    labels = half_of_each()
    assert float(segmentation_loss(sure(labels, 2), labels)) == pytest.approx(0, abs=1e-4)


def test_dice_of_an_undecided_network_by_hand():
    labels = (
        half_of_each()
    )  # 32 voxels of class 1 of 64, each given probability 1/2: (2 * 16 + 20) / (32 + 32 + 20)
    assert float(batch_dice_loss(torch.zeros(1, 2, 4, 4, 4), labels)) == pytest.approx(1 - 52 / 84, abs=1e-6)


def test_cross_entropy_of_an_undecided_network_is_the_logarithm_of_the_classes():
    labels = half_of_each()
    cross_entropy = segmentation_loss(torch.zeros(1, 3, 4, 4, 4), labels) - batch_dice_loss(
        torch.zeros(1, 3, 4, 4, 4), labels
    )
    assert float(cross_entropy) == pytest.approx(math.log(3), abs=1e-6)


def test_the_batch_is_pooled_before_the_ratio():
    whole, sliver = half_of_each(), torch.zeros((1, 4, 4, 4), dtype=torch.int64)
    sliver[0, 0, 0, :2] = 1  # two voxels that the network misses
    labels = torch.cat([whole, sliver])
    said = torch.cat([whole, torch.zeros_like(sliver)])
    expected = 1 - (2 * 32 + 20) / (32 + 34 + 20)
    assert float(batch_dice_loss(sure(said, 2), labels)) == pytest.approx(expected, abs=1e-4)


def test_a_class_of_thirty_voxels_or_fewer_is_left_to_cross_entropy():
    labels = torch.zeros((1, 4, 4, 4), dtype=torch.int64)
    labels.view(-1)[:30] = 1
    assert float(batch_dice_loss(torch.zeros(1, 2, 4, 4, 4), labels)) == 1.0
    labels.view(-1)[:31] = 1
    assert float(batch_dice_loss(torch.zeros(1, 2, 4, 4, 4), labels)) < 1.0


def test_the_coarse_head_is_told_every_second_voxel():
    labels = half_of_each(8)
    full, half = sure(labels, 2), sure(labels[:, ::2, ::2, ::2], 2)
    assert float(deeply_supervised_loss(full, half, labels)) == pytest.approx(0, abs=1e-3)
    wrong = sure(1 - labels[:, ::2, ::2, ::2], 2)
    assert float(deeply_supervised_loss(full, wrong, labels, 0.3)) == pytest.approx(
        0.3 * float(segmentation_loss(wrong, labels[:, ::2, ::2, ::2])), abs=1e-3
    )
