"""MONAI's preprocessing of one CT, equal in result, and the way back as one matrix for each axis.

A linear ``Spacingd`` keeps the first voxel where it is and interpolates along each axis by itself; so does
its inverse. What ``CropForegroundd`` cut off comes back as zeros. So each step and its inverse is a matrix
along each axis, and the inverse of all steps is their product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards.monai_card import Crop, MonaiCard, Normalise, Orientation, Rescale, ScaleRange, Spacing
from models.cards.patient_axes import AXIS_OF
from models.fine_logits import box_of
from models.nnunet_resampling import Matrix, along
from models.runtimes.model_axes import ModelAxes
from models.volume import CtVolume, OutsideTrainedRegion

_SAME_MM: Final = 1e-3  # MONAI's AFFINE_TOL: so near, voxels are left as they are


@dataclass(slots=True)
class Prepared:
    """What the network is shown, and the way back from its answer.

    Attributes:
        image: ``(a, b, c)`` float32 along the axes ``letters``.
        letters: to where its axes run.
        mm: its voxels along each axis.
        back: ``(CT's voxels, image's voxels)`` for each axis.
    """

    image: Tensor
    letters: str
    mm: list[float]
    back: list[Matrix]


def prepared(volume: CtVolume, card: MonaiCard) -> Prepared:
    """The CT after every step of the card.

    Raises:
        OutsideTrainedRegion: ``model.oblique``, ``model.uneven-slices`` or ``region.only-air``.
    """
    axes = ModelAxes.of(volume.grid, card.axes)
    image = axes.to_model(torch.from_numpy(np.ascontiguousarray(volume.hu))).float()
    back: list[Matrix] = [np.eye(count) for count in image.shape]
    state = Prepared(image, card.axes, list(axes.spacing_mm(volume.grid)), back)
    for step in card.steps:
        _STEPS[type(step)](state, step, card)
    return state


def _turn(state: Prepared, step: Orientation, _card: MonaiCard) -> None:
    order = [[AXIS_OF[letter] for letter in state.letters].index(AXIS_OF[letter]) for letter in step.axes]
    turned = [i for i, letter in enumerate(step.axes) if letter != state.letters[order[i]]]
    state.image = state.image.permute(*order).flip(turned)
    state.mm = [state.mm[axis] for axis in order]
    state.back = [state.back[axis] for axis in order]
    for axis in turned:
        state.back[axis] = np.ascontiguousarray(state.back[axis][::-1, ::-1])
    state.letters = step.axes


def _space(state: Prepared, step: Spacing, card: MonaiCard) -> None:
    for axis, mm in enumerate(step.mm):
        have = state.mm[axis]
        if mm is None or abs(mm - have) <= _SAME_MM:
            continue
        count = state.image.shape[axis]
        new = int(np.round((count - 1) * have / mm + 1))
        state.image = along(state.image, axis, sampled(count, np.arange(new) * (mm / have)))
        there = sampled(new, np.arange(count) * (have / mm), nearest=card.back == "nearest")
        state.back[axis] = state.back[axis] @ there
        state.mm[axis] = mm


def _crop(state: Prepared, _step: Crop, _card: MonaiCard) -> None:
    box = box_of(state.image > 0)
    if box is None:
        sentence = "Nothing on this CT is what this model takes for a body; there is nothing to contour."
        raise OutsideTrainedRegion("region.only-air", sentence)
    state.image = state.image[box]
    state.back = [back[:, part] for back, part in zip(state.back, box, strict=True)]


def _scale_range(state: Prepared, step: ScaleRange, _card: MonaiCard) -> None:
    low, high = step.to
    image = (state.image - step.low) / (step.high - step.low) * (high - low) + low
    state.image = image.clamp(low, high) if step.clip else image


def _normalise(state: Prepared, step: Normalise, _card: MonaiCard) -> None:
    image = state.image
    taken = image != 0 if step.nonzero else torch.ones_like(image, dtype=torch.bool)
    if not taken.any():
        return
    values = image[taken].double()
    mean = float(values.mean()) if step.subtract is None else step.subtract
    deviation = float(values.std(unbiased=False)) if step.divide is None else step.divide
    state.image = torch.where(taken, (image - mean) / (deviation or 1.0), image)


def _rescale(state: Prepared, step: Rescale, _card: MonaiCard) -> None:
    least, greatest = (float(value) for value in state.image.aminmax())
    low, high = step.to
    same = least == greatest
    state.image = (
        state.image * low if same else (state.image - least) / (greatest - least) * (high - low) + low
    )


_STEPS: Final[Mapping[type, Callable[[Prepared, Any, MonaiCard], None]]] = {
    Orientation: _turn,
    Spacing: _space,
    Crop: _crop,
    ScaleRange: _scale_range,
    Normalise: _normalise,
    Rescale: _rescale,
}


def sampled(count: int, at: NDArray[np.floating], *, nearest: bool = False) -> Matrix:
    """``(len(at), count)``: a line of ``count`` voxels at the positions ``at``, its ends repeated."""
    rows = np.arange(len(at))
    at = np.clip(at, 0, count - 1)
    found = np.zeros((len(at), count))
    if nearest:
        found[rows, np.rint(at).astype(int)] = 1  # half to even, as grid_sample does
        return found
    lower = np.minimum(at.astype(int), max(count - 2, 0))
    found[rows, lower] = 1 - (at - lower)
    found[rows, np.minimum(lower + 1, count - 1)] += at - lower
    return found
