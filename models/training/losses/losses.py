"""Losses by the name that a recipe gives them, over all supervised scales of a network.

A loss of several scales is ``sum(w_i L_i)``, the finest scale first. Where a recipe gives no
``scale_weights`` the w are equal and sum to one: the mean of the scales' losses, as Huang 2023 has it for its
baselines; for its Mnet_Im, whose weights are not given, that differs from a plain sum by a factor only, which
Adam does not see.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor
from torch.nn import functional

from models.training.losses import likelihood_losses as likelihood
from models.training.losses import overlap_losses as overlap
from models.training.losses.target import Target as Target
from models.training.recipes.recipe_book import RecipeInvalid

Loss = Callable[[tuple[Tensor, ...], Target], Tensor]

_SMOOTH_VOXELS = 10.0
_PRESENT_VOXELS = 30


def batch_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the mean soft Dice of the classes that the batch shows, background left out.

    Voxels of the whole batch are pooled for each class before the ratio is taken, so that a class cut to a
    sliver in one sample does not weigh as much as a whole organ in another. A class with 30 voxels or
    fewer in the batch is not counted: cross entropy alone then tells the network not to draw it.

    Args:
        logits: ``(n, classes, *spatial)``.
        labels: ``(n, *spatial)`` class numbers.
    """
    probability = logits.float().softmax(1)
    truth = functional.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = (0, *range(2, logits.dim()))
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


def cross_entropy_and_batch_dice(logits: Tensor, target: Target) -> Tensor:
    """`segmentation_loss` of the `Target`; unknown structures are left out of the case's softmax."""
    return segmentation_loss(target.restricted(logits), target.labels)


def cross_entropy_and_dice(
    logits: Tensor, target: Target, *, alpha: float = 0.1, beta: float = 0.9, smooth: float = 1.0
) -> Tensor:
    """``alpha BCE + beta (1 - Dice)`` of one scale (Huang 2023, the equation before the sum of scales).

    Both terms are means over samples and known structures; ``smooth`` as in `sigmoid_dice`.
    """
    dice = overlap.sigmoid_dice(logits, target, smooth=smooth)
    return alpha * likelihood.binary_cross_entropy(logits, target) + beta * dice


@dataclass(frozen=True, slots=True)
class _Entry:
    """A loss of one scale: its function by activation, and how it is told the truth at a coarser scale."""

    by_activation: Mapping[str, Callable[..., Tensor]]
    coarser: Callable[[Target, Sequence[int]], Target] = Target.averaged_to


LOSSES: Final[Mapping[str, _Entry]] = {
    "dice": _Entry({"sigmoid": overlap.sigmoid_dice, "softmax": overlap.softmax_dice}),
    "binary-cross-entropy": _Entry({"sigmoid": likelihood.binary_cross_entropy}),
    "weighted-binary-cross-entropy": _Entry({"sigmoid": likelihood.weighted_binary_cross_entropy}),
    "cross-entropy": _Entry({"softmax": likelihood.cross_entropy}),
    "weighted-cross-entropy": _Entry({"softmax": likelihood.weighted_cross_entropy}),
    "symmetric-cross-entropy": _Entry({"softmax": likelihood.symmetric_cross_entropy}),
    "marginal-likelihood": _Entry({"softmax": likelihood.marginal_likelihood}),
    "lovasz-softmax": _Entry({"softmax": overlap.lovasz_softmax}),
    "lovasz-hinge": _Entry({"sigmoid": overlap.lovasz_hinge}),
    "cross-entropy-and-dice": _Entry({"sigmoid": cross_entropy_and_dice}),
    "cross-entropy-and-batch-dice": _Entry({"softmax": cross_entropy_and_batch_dice}, Target.sampled_at),
}
"""What ``loss.name`` of a recipe may be; arguments are those of the function, and ``scale_weights``."""


def loss_named(
    name: str,
    activation: str,
    *,
    scale_weights: Sequence[float] | None = None,
    **arguments: Any,  # noqa: ANN401 - the function's own
) -> Loss:
    """The loss of a network's ``scales`` and the `Target` at full resolution.

    Args:
        name: one of `LOSSES`.
        activation: ``softmax``, logits of background and of each structure; ``sigmoid``, of each structure.
        scale_weights: one for each scale, the finest first; None: the mean of all scales.
        arguments: of the loss's own function.

    Raises:
        RecipeInvalid: ``recipe.loss``, no such loss, not for this activation, or a foreign argument; when the
            loss is first computed, weights that are too many or too few.
    """
    entry = LOSSES.get(name)
    if entry is None:
        raise RecipeInvalid("recipe.loss", f"There is no loss {name}; choose one of {', '.join(LOSSES)}.")
    function = entry.by_activation.get(activation)
    if function is None:
        sentence = (
            f"The loss {name} is for {' or '.join(entry.by_activation)} and not for {activation}; "
            "change activation or loss.name."
        )
        raise RecipeInvalid("recipe.loss", sentence)
    _check_arguments(name, function, arguments)

    def loss(scales: tuple[Tensor, ...], target: Target) -> Tensor:
        weights = _weights(scale_weights, len(scales))
        parts = [
            weight * function(logits, entry.coarser(target, logits.shape[2:]), **arguments)
            for weight, logits in zip(weights, scales, strict=True)
        ]
        return sum(parts[1:], start=parts[0])

    return loss


def _check_arguments(name: str, function: Callable[..., Tensor], arguments: Mapping[str, object]) -> None:
    own = {
        key: parameter
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    foreign = sorted(set(arguments) - set(own))
    missing = [key for key, each in own.items() if each.default is each.empty and key not in arguments]
    if foreign or missing:
        sentence = (
            f"The loss {name} takes {', '.join([*own, 'scale_weights'])}; "
            f"not known: {', '.join(foreign) or 'none'}, missing: {', '.join(missing) or 'none'}."
        )
        raise RecipeInvalid("recipe.loss", sentence)


def _weights(given: Sequence[float] | None, scales: int) -> Sequence[float]:
    if given is None:
        return [1 / scales] * scales
    if len(given) != scales:
        sentence = (
            f"scale_weights of the loss names {len(given)} weights and the network has {scales} supervised "
            "scales; give one for each, the finest first."
        )
        raise RecipeInvalid("recipe.loss", sentence)
    return given
