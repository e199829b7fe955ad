"""Overfitting: a network that is wired as it should be learns two small cases by heart.

It shows that gradients reach every part that matters and that the output can follow an edge. It shows nothing
about accuracy on patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

STRUCTURES: Final = 2
"""Outputs that the network must have: an ellipsoid and a box, as sigmoid channels."""

_SIZE: Final = {2: (64, 64), 3: (8, 64, 64)}
# For each case: centre and half axes of the ellipsoid, then of the box, as shares of the size, (z, y, x).
_CASES: Final = (
    (((0.50, 0.35, 0.34), (0.30, 0.20, 0.24)), ((0.50, 0.72, 0.68), (0.25, 0.14, 0.22))),
    (((0.45, 0.62, 0.66), (0.35, 0.26, 0.19)), ((0.55, 0.28, 0.25), (0.30, 0.16, 0.13))),
)
_NOISE: Final = 0.3
_CHECK_EVERY: Final = 10
_STATISTICS_STEPS: Final = 30


def overfit(  # noqa: PLR0913 - what a slow learner may need changed
    network: nn.Module,
    dimensions: int,
    *,
    in_channels: int = 1,
    size: Sequence[int] | None = None,
    goal: float = 0.95,
    steps: int = 200,
    learning_rate: float = 1e-2,
    report: Callable[[int, float], None] | None = None,
) -> float:
    """Train ``network`` on two cases of a bright ellipsoid and a dark box until it knows them by heart.

    Args:
        network: with ``STRUCTURES`` outputs, on the device where it is to be trained; its weights change.
        dimensions: 2 or 3.
        in_channels: channels of its input; each is the same image with noise of its own.
        size: of the crops, (y, x) or (z, y, x); else 64 x 64, and 8 slices in three dimensions.
        goal: training ends when every structure of both cases has a higher DSC.
        steps: at most so many, each on both cases.
        learning_rate: of Adam at the start; it falls along a cosine to nothing. The default is for the narrow
            networks of the tests; full width wants less.
        report: told the step that is done and the DSC of the last check, 0 before the first.

    Returns:
        The lowest DSC of the two structures in the two cases, in evaluation mode, at a threshold of 0.5.
    """
    x, masks = _cases(tuple(size or _SIZE[dimensions]), in_channels)
    device = next(network.parameters()).device
    layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d  # a quarter faster on a CPU
    network.to(memory_format=layout)  # type: ignore[call-overload]
    x, masks = x.to(device, memory_format=layout), masks.to(device)
    optimiser = torch.optim.Adam(network.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    dsc = 0.0
    for step in range(1, steps + 1):
        # Two crops of slices leave batch norm eight numbers a channel at 1/32: statistics that never come to
        # rest. So they are learned first and then held, and what is trained is what is evaluated.
        network.train(dimensions == 3 or step <= _STATISTICS_STEPS)
        optimiser.zero_grad()
        loss = _loss(network.scales(x), masks)  # type: ignore[operator]
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % _CHECK_EVERY == 0 or step == steps:
            dsc = _lowest_dsc(network, x, masks)
        if report is not None:
            report(step, dsc)
        if dsc > goal:
            break
    return dsc


def _cases(size: tuple[int, ...], in_channels: int) -> tuple[Tensor, Tensor]:
    """Images ``(2, in_channels, *size)`` and masks ``(2, STRUCTURES, *size)``, the same at every call."""
    axes = [(torch.arange(length) + 0.5) / length for length in size]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (axes, *size)
    masks = torch.zeros(len(_CASES), STRUCTURES, *size)
    for number, shapes in enumerate(_CASES):
        for structure, (centre, half) in enumerate(shapes):
            column = (len(size), *[1] * len(size))
            share = (position - torch.tensor(centre[-len(size) :]).view(column)).abs()
            share = share / torch.tensor(half[-len(size) :]).view(column)  # 1 at the surface along each axis
            inside = share.square().sum(0) if structure == 0 else share.amax(0)
            masks[number, structure] = (inside <= 1).float()
    noise = torch.randn(len(_CASES), in_channels, *size, generator=torch.Generator().manual_seed(0))
    return masks[:, :1] - masks[:, 1:] + _NOISE * noise, masks


def _loss(scales: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Binary cross-entropy plus one minus soft Dice, the mean over the scales."""
    total = masks.new_zeros(())
    for logits in scales:
        pool = functional.adaptive_avg_pool2d if masks.ndim == 4 else functional.adaptive_avg_pool3d
        truth = masks if logits.shape == masks.shape else pool(masks, logits.shape[2:])  # type: ignore[arg-type]
        said = logits.float().sigmoid()
        spatial = tuple(range(2, masks.ndim))
        dice = 2 * (said * truth).sum(spatial) / ((said + truth).sum(spatial) + 1e-3)
        total = total + functional.binary_cross_entropy_with_logits(logits.float(), truth) + 1 - dice.mean()
    return total / len(scales)


@torch.no_grad()
def _lowest_dsc(network: nn.Module, x: Tensor, masks: Tensor) -> float:
    network.eval()
    said = network(x) > 0
    truth = masks > 0.5
    spatial = tuple(range(2, masks.ndim))
    dsc = 2 * (said & truth).sum(spatial) / (said.sum(spatial) + truth.sum(spatial))
    return float(dsc.min())
