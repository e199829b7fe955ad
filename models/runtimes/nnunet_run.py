"""An nnU-Net model over one CT by our own engine: the steps of nnU-Net's predictor, equal in result.

Crop to what is not zero, CT normalisation, resampling, tiles that overlap by half with Gaussian weights,
mirrored tiles, mean over folds, resampling of logits, and only then the largest of them. Logits on the CT's
grid are made a few slices at a time and never held as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

from models.cards.card import BundleError, Card
from models.cards.catalog import verified_bytes
from models.fine_logits import Box, FineLogits, box_of
from models.network_layout import for_inference
from models.network_run import Attempt, attempts, stepping_down
from models.nnunet_resampling import Resampler, apart_axis, new_shape
from models.runtimes.field_answer import FieldAnswer
from models.runtimes.model_axes import ModelAxes
from models.runtimes.nnunet_networks import PlannedUnet
from models.sliding_window import tiles
from models.stages import Stages
from models.volume import CtVolume, OutsideTrainedRegion


class NnunetRun:
    """The networks of all folds with their weights.

    Args:
        card: of kind ``nnunet``.
        device: where they run while memory lasts.
        precision: of their arithmetic; None for the device's own.
    """

    def __init__(self, card: Card, device: torch.device, precision: torch.dtype | None = None) -> None:
        if card.nnunet is None:
            raise BundleError("model.card-invalid", f"{card.reference} is no nnU-Net model.")
        self.device = device
        self.runtime = f"nnunet plan on torch {torch.__version__}"
        self._card = card
        self._plan = card.nnunet
        self.sha256, self._folds = load_folds(card)
        for network in self._folds:
            for_inference(network.eval().requires_grad_(requires_grad=False), device)
        self._ways = attempts(device, self._plan.patch, precision)

    @torch.inference_mode()
    def run(
        self, volume: CtVolume, wanted: Sequence[str], progress: Callable[[float], None], stages: Stages
    ) -> FieldAnswer:
        """The answer for the outputs ``wanted``; ``progress`` is told the part of the tiles that is done.

        Raises:
            OutsideTrainedRegion: ``model.oblique``, ``model.uneven-slices`` or ``region.only-air``.
        """
        axes = ModelAxes.of(volume.grid, [self._plan.axes[axis] for axis in self._plan.transpose])
        spacing_mm = axes.spacing_mm(volume.grid)
        with stages.stage("resample"):
            whole = axes.to_model(torch.from_numpy(np.ascontiguousarray(volume.hu)))
            box = _not_zero(whole)
            shape, plan = whole[box].shape, self._plan
            small = new_shape(shape, spacing_mm, plan.spacing_mm)
            there = apart_axis(plan.data, spacing_mm, plan.spacing_mm)
            image = Resampler.between(shape, small, plan.data, there).image(self._normal(whole[box]))
        with stages.stage("network"):
            logits, tried = stepping_down(self._ways, lambda way: self._logits(way, image, progress))
        back = apart_axis(plan.logits, plan.spacing_mm, spacing_mm)
        with stages.stage("fields"):
            fine = FineLogits(logits, Resampler.between(small, shape, plan.logits, back).matrices)
            found = fine.fields([self._card.outputs.index(name) for name in wanted])
        corner = [part.start for part in box]
        fields = {
            name: axes.field(values, [a + b for a, b in zip(corner, at, strict=True)], whole.shape)
            for name, one in zip(wanted, found, strict=True)
            if one is not None
            for values, at in [one]
        }
        return FieldAnswer(
            fields,
            bool(torch.isfinite(logits).all()),
            tuple(way.step_down for way in tried if way.step_down),
            str(tried[-1].device),
            str(tried[-1].precision).removeprefix("torch."),
        )

    def _normal(self, hu: Tensor) -> Tensor:
        deviation = max(self._plan.deviation_hu, 1e-8)
        return hu.float().clamp_(*self._plan.clip_hu).sub_(self._plan.mean_hu).div_(deviation)

    def _logits(self, way: Attempt, image: Tensor, progress: Callable[[float], None]) -> Tensor:
        """``(outputs, z, y, x)`` on the network's grid, the mean over folds.

        Sums are float16 and in nnU-Net's order: where two outputs are all but equal, its rounding decides.
        """
        patch = self._plan.patch
        low = [max(need - have, 0) // 2 for have, need in zip(image.shape, patch, strict=True)]
        inside = tuple(slice(at, at + have) for at, have in zip(low, image.shape, strict=True))
        sizes = [max(have, need) for have, need in zip(image.shape, patch, strict=True)]
        large = torch.zeros(sizes, device=way.device)
        large[inside] = image.to(way.device)
        places = tiles(sizes, patch, 0.5)
        weights = tile_weights(patch).to(way.device)
        sums = torch.zeros(sizes, device=way.device, dtype=torch.float16)
        for place in places:
            sums[place] += weights
        steps, done = len(places) * len(self._folds), 0
        mean: Tensor | None = None
        for network in self._folds:
            network.to(way.device)
            total = torch.zeros((len(self._card.outputs), *sizes), device=way.device, dtype=torch.float16)
            for first in range(0, len(places), way.batch):
                group = places[first : first + way.batch]
                shown = torch.stack([large[place] for place in group])[:, None]
                with torch.autocast(way.device.type, way.precision, enabled=way.precision != torch.float32):
                    answers = self._mirrored(network, shown)
                for place, part in zip(group, answers, strict=True):
                    total[(slice(None), *place)] += part * weights
                done += len(group)
                progress(done / steps)
            found = total.div_(sums)[(slice(None), *inside)]
            mean = found if mean is None else mean + found
        assert mean is not None  # noqa: S101 - for the type checker: there is one fold at least
        return (mean / len(self._folds) if len(self._folds) > 1 else mean).float().cpu()

    def _mirrored(self, network: nn.Module, shown: Tensor) -> Tensor:
        """Mean of the answers to ``(n, 1, z, y, x)`` and to its mirror images."""
        mirrors = [
            m for n in range(len(self._plan.mirror_axes) + 1) for m in combinations(self._plan.mirror_axes, n)
        ]
        total: Tensor | None = None
        for mirror in mirrors:
            axes = [2 + axis for axis in mirror]
            found = network(shown.flip(axes)).flip(axes)
            total = found if total is None else total + found
        assert total is not None  # noqa: S101 - for the type checker: the empty mirror is always there
        return total / len(mirrors)


def load_folds(card: Card) -> tuple[str, list[PlannedUnet]]:
    """SHA-256 of the weights, and a network of each fold.

    Raises:
        BundleError: the file is not the card's, or does not fit the plan.
    """
    if card.nnunet is None or card.weights is None:
        raise BundleError("model.card-invalid", f"{card.reference} is no nnU-Net model.")
    tensors = load(verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference))
    networks: list[PlannedUnet] = []
    for fold in range(card.nnunet.folds):
        prefix = f"{fold}."
        of_fold = {n.removeprefix(prefix): t.float() for n, t in tensors.items() if n.startswith(prefix)}
        network = PlannedUnet(card.nnunet.architecture, len(card.outputs))
        try:
            network.load_state_dict(of_fold, strict=True)
        except RuntimeError as error:
            sentence = f"The weights of {card.reference} do not fit the network of its plan."
            raise BundleError("model.weights-do-not-fit", sentence) from error
        if not all(bool(torch.isfinite(tensor).all()) for tensor in of_fold.values()):
            sentence = f"The weights of {card.reference} hold numbers that are not finite."
            raise BundleError("model.weights-do-not-fit", sentence)
        networks.append(network)
    return card.weights.sha256.lower(), networks


def tile_weights(patch: Sequence[int]) -> Tensor:
    """nnU-Net's: a Gaussian about voxel ``n // 2``, deviation an eighth of the patch, cut at four of them."""
    lines: list[NDArray[np.float64]] = []
    for size in patch:
        off, sigma = np.arange(size) - size // 2, size / 8
        line = np.exp(-0.5 * (off / sigma) ** 2)
        line[np.abs(off) > int(4 * sigma + 0.5)] = 0
        lines.append(line)
    product = 10 * lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :]
    short = product.astype(np.float16)
    short[short == 0] = short[short > 0].min()
    return torch.from_numpy(short.astype(np.float32))


def _not_zero(hu: Tensor) -> Box:
    """nnU-Net's crop: around every voxel that is not 0."""
    box = box_of(hu != 0)
    if box is None:
        sentence = "This CT is 0 HU throughout; there is nothing to contour."
        raise OutsideTrainedRegion("region.only-air", sentence)
    return box
