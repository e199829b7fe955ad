"""Losses that measure overlap: soft Dice and the Lovász extension of the Jaccard index.

All take logits ``(n, channels, *spatial)`` of one scale and the `Target` at that scale, compute in float32
and give a scalar. A structure that is unknown in a case is left out there, and under softmax out of that
case's softmax too (`Target.restricted`). Under softmax the truth of a voxel is its one label, so of two
structures that overlap only the first has it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.training.losses.target import Target


def sigmoid_dice(logits: Tensor, target: Target, *, smooth: float = 1.0) -> Tensor:
    """``1 - (2 sum(y p) + s) / (sum(y) + sum(p) + s)``, mean over samples and known structures.

    A structure that is absent from a sample counts: it costs nothing where nothing is predicted, and
    ``1 - s / (sum(p) + s)``, which is near 1, where much is. So samples without the target are negatives
    (Xiao 2022, discussion), and ``smooth`` says how many voxels of probability are still forgiven there.

    Args:
        logits: one channel a structure.
        target: at this scale.
        smooth: s, in voxels. Xiao and Huang give none, with which an empty sample would be 0 / 0.
    """
    return _dice(logits.float().sigmoid(), target.masks.float(), target, smooth)


def softmax_dice(logits: Tensor, target: Target, *, smooth: float = 1.0) -> Tensor:
    """As `sigmoid_dice`, of the classes of a softmax; background is not one of those averaged."""
    probability = target.restricted(logits).softmax(1)
    return _dice(probability[:, 1:], _one_hot(target, logits.shape[1])[:, 1:], target, smooth)


def _dice(probability: Tensor, truth: Tensor, target: Target, smooth: float) -> Tensor:
    both, said, true = (part.flatten(2).sum(2) for part in (probability * truth, probability, truth))
    costs = 1 - (2 * both + smooth) / (said + true + smooth)
    known = target.known.to(costs.dtype)
    return (costs * known).sum() / known.sum().clamp(min=1)


def lovasz_softmax(logits: Tensor, target: Target) -> Tensor:
    """Lovász-softmax (Berman et al., CVPR 2018), the loss that Liu X. 2024 chose.

    For a class c the error of a voxel is ``m = 1 - p_c`` where it is of class c and ``p_c`` elsewhere; the
    class costs the Lovász extension, at m, of the set function ``1 - Jaccard`` of the voxels that are wrong.
    Voxels of the whole batch are pooled. The mean is over the classes that the batch shows, background being
    one, as in the authors' published code: false positives of a class that is absent cost through background.
    """
    probability = target.restricted(logits).softmax(1)
    labels = target.labels
    costs: list[Tensor] = []
    for c in range(logits.shape[1]):
        told = slice(None) if c == 0 else target.known[:, c - 1]
        truth = (labels[told] == c).flatten()
        if bool(truth.any()):
            errors = (truth.float() - probability[told, c].flatten()).abs()
            costs.append(lovasz_extension_of_jaccard(errors, truth))
    return torch.stack(costs).mean()


def lovasz_hinge(logits: Tensor, target: Target) -> Tensor:
    """The Lovász hinge (Berman et al., CVPR 2018) of each structure of a sigmoid.

    The error of a voxel is ``max(0, 1 - F)`` inside and ``max(0, 1 + F)`` outside, F its logit. Voxels of the
    samples in which the structure is known are pooled; mean over structures known anywhere in the batch. One
    that is absent from them all costs the error of its worst voxel, which is the extension's value there.
    """
    costs = [logits.float().sum() * 0]
    for s in range(logits.shape[1]):
        told = target.known[:, s]
        truth = target.masks[told, s].bool().flatten()
        if len(truth):
            sign = truth.float() * 2 - 1
            errors = (1 - logits[told, s].float().flatten() * sign).relu()
            costs.append(lovasz_extension_of_jaccard(errors, truth))
    return torch.stack(costs).sum() / max(1, len(costs) - 1)


def lovasz_extension_of_jaccard(errors: Tensor, truth: Tensor) -> Tensor:
    """``sum m_i [D({1..i}) - D({1..i-1})]`` with the errors m in falling order (Berman et al., definition 2).

    ``D(M)`` is one minus the Jaccard index of the truth and what is predicted if exactly the voxels M are
    wrong: ``|M| / |truth or M|``. Counts are whole numbers, so many voxels cost no precision.

    Args:
        errors: ``(p,)``, not negative.
        truth: ``(p,)`` bool.
    """
    order = errors.detach().argsort(descending=True, stable=True)  # stable: the same gradient after a resume
    true = truth[order]
    wrong = torch.arange(1, len(order) + 1, device=errors.device)
    union = true.sum() + (~true).cumsum(0)
    loss_of_set = wrong / union.double()
    steps = torch.diff(loss_of_set, prepend=loss_of_set.new_zeros(1))
    return errors[order] @ steps.to(errors.dtype)


def _one_hot(target: Target, classes: int) -> Tensor:
    """``(n, classes, *spatial)`` float32."""
    return functional.one_hot(target.labels, classes).movedim(-1, 1).float()
