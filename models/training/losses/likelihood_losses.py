"""Losses that are a sum over voxels: cross entropy and its relatives.

All take logits ``(n, channels, *spatial)`` of one scale and the `Target` at that scale, compute in float32
and give a scalar. Under sigmoid a structure that is unknown in a case is left out of the mean. Under softmax
its channel is left out of that case's softmax (`Target.restricted`), so that nothing is learned of it there;
only `marginal_likelihood` counts its probability, as background's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.training.losses.target import Target
from models.training.recipes.recipe_book import RecipeInvalid


def binary_cross_entropy(logits: Tensor, target: Target) -> Tensor:
    """Mean over samples, known structures and voxels of ``-[y log p + (1 - y) log(1 - p)]`` (Xiao, 3D)."""
    return _mean_of_known(_binary_cross_entropies(logits, target), target)


def weighted_binary_cross_entropy(logits: Tensor, target: Target, *, weights: Sequence[float]) -> Tensor:
    """Class-weighted binary cross entropy, Liu Z. 2020, eq. 1 and 2.

    ``L = mean(l_1, ..., l_n)``, ``l_n = -w_n [y_n log x_n + (1 - y_n) log(1 - x_n)]``: the mean over
    structures of the weight times the mean over voxels. The weights are not divided by their sum.

    Args:
        logits: one channel a structure, no background.
        target: at this scale.
        weights: one for each structure, in order; fixed, by the organ's size, the small ones heavier.
    """
    _check_count(weights, logits.shape[1])
    costs = _binary_cross_entropies(logits, target)
    return _mean_of_known(costs * costs.new_tensor(weights), target)


def cross_entropy(logits: Tensor, target: Target) -> Tensor:
    """Mean over voxels of ``-log p_y``, y being the voxel's class."""
    return functional.cross_entropy(target.restricted(logits), target.labels)


def weighted_cross_entropy(logits: Tensor, target: Target, *, weights: Sequence[float]) -> Tensor:
    """``-sum(w_y log p_y) / sum(w_y)`` over voxels, y being the voxel's class.

    Args:
        logits: background first.
        target: at this scale.
        weights: background's first, then one for each structure, in order.
    """
    _check_count(weights, logits.shape[1])
    restricted = target.restricted(logits)
    return functional.cross_entropy(restricted, target.labels, restricted.new_tensor(weights))


def symmetric_cross_entropy(
    logits: Tensor, target: Target, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0
) -> Tensor:
    """``alpha CE + beta RCE`` (Wang et al., ICCV 2019; named and not defined in Liu X. 2024).

    The reverse cross entropy of a voxel is ``-sum_k p_k log q_k`` with q the one-hot truth and ``log 0``
    replaced by ``log_zero``, which is ``-log_zero (1 - p_y)``. Liu X. gives none of the three numbers; those
    here are this project's choice.
    """
    restricted, labels = target.restricted(logits), target.labels
    right = restricted.softmax(1).gather(1, labels[:, None])
    reverse = -log_zero * (1 - right).mean()
    return alpha * functional.cross_entropy(restricted, labels) + beta * reverse


def marginal_likelihood(logits: Tensor, target: Target) -> Tensor:
    """Negative log-likelihood with the labels missing in a case merged with background (Sartor 2020, 2.3).

    A voxel of a known structure y costs ``-log p_y``; any other voxel costs ``-log(p_0 + sum p_m)`` over the
    structures m that are unknown in its case. So a network that says there what nobody drew pays exactly what
    it pays for background, while a structure known to be absent costs its full price. Mean over voxels.
    """
    log_p = logits.float().log_softmax(1)
    background = torch.zeros_like(target.known[:, :1])
    elsewhere = torch.cat([background, target.known], 1)
    elsewhere = elsewhere.reshape(*elsewhere.shape, *[1] * (logits.dim() - 2))
    merged = log_p.masked_fill(elsewhere, -torch.inf).logsumexp(1)
    labels = target.labels
    own = log_p.gather(1, labels[:, None])[:, 0]
    return -torch.where(labels == 0, merged, own).mean()


def _binary_cross_entropies(logits: Tensor, target: Target) -> Tensor:
    """``(n, structures)`` means over voxels."""
    costs = functional.binary_cross_entropy_with_logits(
        logits.float(), target.masks.float(), reduction="none"
    )
    return costs.flatten(2).mean(2)


def _mean_of_known(costs: Tensor, target: Target) -> Tensor:
    known = target.known.to(costs.dtype)
    return (costs * known).sum() / known.sum().clamp(min=1)


def _check_count(weights: Sequence[float], channels: int) -> None:
    if len(weights) != channels:
        sentence = (
            f"The loss has {len(weights)} weights and the network {channels} outputs; "
            "give one weight for each output, in the order of the outputs."
        )
        raise RecipeInvalid("recipe.loss", sentence)
