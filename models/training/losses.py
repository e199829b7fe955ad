"""The loss of `unet-res-enc`: cross entropy and batch Dice, at full and at half resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_SMOOTH_VOXELS = 10.0
_PRESENT_VOXELS = 30


def batch_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the mean soft Dice of the classes that the batch shows, background left out.

    Voxels of the whole batch are pooled for each class before the ratio is taken, so that a class cut to a
    sliver in one sample does not weigh as much as a whole organ in another. A class with 30 voxels or
    fewer in the batch is not counted: cross entropy alone then tells the network not to draw it.

    Args:
        logits: ``(n, classes, z, y, x)``.
        labels: ``(n, z, y, x)`` class numbers.
    """
    probability = logits.float().softmax(1)
    truth = functional.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = (0, 2, 3, 4)
    both, said, true = ((probability * truth).sum(axes), probability.sum(axes), truth.sum(axes))
    dice = (2 * both + 2 * _SMOOTH_VOXELS) / (said + true + 2 * _SMOOTH_VOXELS)
    counted = (true > _PRESENT_VOXELS).to(dice.dtype)
    counted[0] = 0
    return 1 - (dice * counted).sum() / counted.sum().clamp(min=1)


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy plus `batch_dice_loss`; shapes as there."""
    return functional.cross_entropy(logits.float(), labels.long()) + batch_dice_loss(logits, labels)


def deeply_supervised_loss(full: Tensor, half: Tensor, labels: Tensor, half_weight: float = 0.3) -> Tensor:
    """The loss at full resolution plus ``half_weight`` times that of the auxiliary head at half resolution.

    The labels of the coarse head are every second voxel: it is told about position, not about surfaces.
    """
    return segmentation_loss(full, labels) + half_weight * segmentation_loss(half, labels[:, ::2, ::2, ::2])
