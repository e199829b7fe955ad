"""A MONAI bundle over one CT by our own engine: its preprocessing, window and way back, equal in result.

MONAI itself is needed only for a network that its Python builds; a TorchScript archive runs without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.along_axes import scripted
from models.cards.card import BundleError, Card
from models.cards.catalog import verified_bytes
from models.cards.monai_card import MonaiCard, Window
from models.fine_logits import FineLogits
from models.network_run import Attempt, NotFinite, attempts, stepping_down
from models.runtimes.field_answer import FieldAnswer
from models.runtimes.installed_extras import imported
from models.runtimes.model_axes import ModelAxes
from models.runtimes.monai_networks import load_built
from models.runtimes.monai_steps import prepared
from models.stages import Stages
from models.volume import CtVolume

Place = tuple[slice, slice, slice]

_LEAST_WEIGHT: Final = 1e-3  # MONAI's
_LEAST_PROBABILITY: Final = 1e-12
_WHOLE_AXIS: Final = 96  # voxels for the size of batches where a window is as long as the CT


class MonaiRun:
    """The network of a bundle with its weights.

    Args:
        card: of kind ``monai``.
        device: where it runs while memory lasts.
        precision: of its arithmetic; None for the device's own.
    """

    def __init__(self, card: Card, device: torch.device, precision: torch.dtype | None = None) -> None:
        if card.monai is None or card.weights is None:
            raise BundleError("model.card-invalid", f"{card.reference} is no MONAI bundle.")
        self.device = device
        self._card = card
        self._said: MonaiCard = card.monai
        self.sha256 = card.weights.sha256.lower()
        self._network, self.runtime = load_network(card, card.monai)
        self._network.to(device)
        self._ways = attempts(device, [size or _WHOLE_AXIS for size in self._said.window.roi], precision)

    @torch.inference_mode()
    def run(
        self, volume: CtVolume, wanted: Sequence[str], progress: Callable[[float], None], stages: Stages
    ) -> FieldAnswer:
        """The answer for the outputs ``wanted``; ``progress`` is told the part of the windows that is done.

        Raises:
            OutsideTrainedRegion: ``model.oblique``, ``model.uneven-slices`` or ``region.only-air``.
        """
        with stages.stage("resample"):
            shown = prepared(volume, self._said)
        with stages.stage("network"):
            found, tried = stepping_down(self._ways, lambda way: self._answer(way, shown.image, progress))
        a, b, c = shown.back
        with stages.stage("fields"):
            fine = FineLogits(found, (a, b, c), self._compared, apart=self._card.activation == "sigmoid")
            fields = fine.fields([self._card.outputs.index(name) for name in wanted])
        axes = ModelAxes.of(volume.grid, shown.letters)
        shape = [len(back) for back in shown.back]
        return FieldAnswer(
            {
                name: axes.field(one[0], one[1], shape)
                for name, one in zip(wanted, fields, strict=True)
                if one is not None
            },
            bool(found.isfinite().all()),
            tuple(way.step_down for way in tried if way.step_down),
            str(tried[-1].device),
            str(tried[-1].precision).removeprefix("torch."),
        )

    def _answer(self, way: Attempt, image: Tensor, progress: Callable[[float], None]) -> Tensor:
        """``(outputs, a, b, c)`` of the image: logits, or probabilities where these are what goes back."""
        with torch.autocast(way.device.type, way.precision, enabled=way.precision != torch.float32):
            found = windowed(
                self._network.to(way.device),
                image.to(way.device),
                self._said.window,
                outputs=len(self._card.outputs),
                batch=way.batch,
                progress=progress,
            )
        if way.precision is not torch.float32 and not found.isfinite().all():
            raise NotFinite
        if self._said.activated_first:
            found = found.softmax(dim=0) if self._card.activation == "softmax" else found.sigmoid_()
        return found.cpu()

    def _compared(self, slab: Tensor) -> Tensor:
        """What outputs are compared by on the CT's grid: logits; under sigmoid, over the threshold's."""
        if self._card.activation == "softmax":
            return slab.clamp_(min=_LEAST_PROBABILITY).log_() if self._said.activated_first else slab
        logits = slab.logit(eps=1e-6) if self._said.activated_first else slab
        least = [self._card.thresholds.get(name, 0.5) for name in self._card.outputs]
        return logits - torch.tensor(least).logit()[:, None, None, None]


def load_network(card: Card, said: MonaiCard) -> tuple[nn.Module, str]:
    """The network of a card, and what runs it.

    Raises:
        BundleError: it does not fit its card, or MONAI is needed and is not there.
    """
    assert card.weights is not None  # noqa: S101 - for the type checker: the card was checked
    if said.network is not None:
        version = imported("monai").__version__
        return load_built(card, said.network), f"monai {version} on torch {torch.__version__}"
    content = verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference)
    return scripted(content, card.reference), f"torchscript of monai on torch {torch.__version__}"


def windowed(
    network: Callable[[Tensor], Any],
    image: Tensor,
    window: Window,
    *,
    outputs: int,
    batch: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Logits ``(outputs, a, b, c)`` float32 of ``image`` ``(a, b, c)``, as ``SlidingWindowInferer`` has them.

    Raises:
        BundleError: ``model.answer-invalid``: the network does not give logits of the size that it is shown.
    """
    roi = [size or have for size, have in zip(window.roi, image.shape, strict=True)]
    low = [max(need - have, 0) // 2 for need, have in zip(roi, image.shape, strict=True)]
    large = _padded(image, roi, low, window)
    places = window_places(large.shape, roi, window.overlap)
    weights = window_weights(roi, window).to(image.device)
    total = torch.zeros((outputs, *large.shape), device=image.device)
    sums = torch.zeros(large.shape, device=image.device)
    for first in range(0, len(places), batch):
        group = places[first : first + batch]
        shown = torch.stack([large[place] for place in group])[:, None]
        found = network(shown)
        wanted = (len(group), outputs, *roi)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            have = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            sentence = f"The network must give logits of shape {wanted} and gave {have}."
            raise BundleError("model.answer-invalid", sentence)
        for place, part in zip(group, found.float(), strict=True):
            total[(slice(None), *place)].addcmul_(part, weights)
            sums[place] += weights
        if progress is not None:
            progress(min(first + batch, len(places)) / len(places))
    inside = tuple(slice(at, at + have) for at, have in zip(low, image.shape, strict=True))
    return total.div_(sums)[(slice(None), *inside)]


def _padded(image: Tensor, roi: Sequence[int], low: Sequence[int], window: Window) -> Tensor:
    """At least one window large along each axis."""
    sides: list[int] = []
    for need, have, before in reversed(list(zip(roi, image.shape, low, strict=True))):
        sides += [before, max(need - have, 0) - before]
    value = window.padding_value if window.padding == "constant" else None
    return functional.pad(image[None, None], sides, window.padding, value)[0, 0] if any(sides) else image


def window_places(shape: Sequence[int], roi: Sequence[int], overlap: Sequence[float]) -> list[Place]:
    """Windows a fixed step apart from the first voxel; along each axis the last ends with the image."""
    starts: list[list[int]] = []
    for size, length, shared in zip(shape, roi, overlap, strict=True):
        step = length if length == size else max(int(length * (1 - shared)), 1)
        count = 1 + max(0, -(-(size - length) // step))
        starts.append([min(i * step, size - length) for i in range(count)])
    a, b, c = roi
    return [(slice(i, i + a), slice(j, j + b), slice(k, k + c)) for i, j, k in product(*starts)]


def window_weights(roi: Sequence[int], window: Window) -> Tensor:
    """Ones, or a Gaussian about the middle; never less than a thousandth."""
    if window.mode == "constant":
        return torch.ones(tuple(roi))
    a, b, c = (
        torch.exp(-0.5 * ((torch.arange(size) - (size - 1) / 2) / (size * scale)) ** 2)
        for size, scale in zip(roi, window.sigma_scale, strict=True)
    )
    weights = a[:, None, None] * b[None, :, None] * c[None, None, :]
    return weights.clamp_(min=max(float(weights.min()), _LEAST_WEIGHT))
