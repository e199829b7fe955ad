"""What an nnU-Net plan says that decides its answer: the section ``nnunet`` of a bundle's card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.cards.patient_axes import AXES_RULE, axes_fit

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class NnunetArchitecture:
    """A network of a plan: convolutions with instance norm and leaky ReLU, without dropout.

    Attributes:
        name: its class in ``dynamic_network_architectures``.
        features, kernels, strides, convolutions: of each stage of the encoder, the finest first; of a
            residual encoder ``convolutions`` counts blocks.
        decoder_convolutions: of each stage of the decoder, the coarsest first.
        bias: whether convolutions have one.
        epsilon, affine: of instance norm.
    """

    name: Literal["PlainConvUNet", "ResidualEncoderUNet"]
    features: tuple[int, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    convolutions: tuple[int, ...]
    decoder_convolutions: tuple[int, ...]
    bias: bool = True
    epsilon: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.features, self.kernels, self.strides, self.convolutions)}
        if lengths != {len(self.decoder_convolutions) + 1} or not self.decoder_convolutions:
            message = "the stages of encoder and decoder do not fit one another"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Arguments of nnU-Net's ``resample_data_or_seg_to_shape``."""

    order: int
    order_z: int = 0
    separate_z: bool | None = None

    def __post_init__(self) -> None:
        if self.order not in (0, 1, 3) or self.order_z not in (0, 1):
            message = "only splines of order 0, 1 and 3 are known, between slices 0 and 1"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class NnunetCard:
    """How one configuration of a plan is run.

    Attributes:
        architecture: of the network; every fold has it.
        folds: how many networks' answers are averaged.
        axes: to where the axes of the images run as nnU-Net's reader gives them, before ``transpose``.
        transpose: the plan's ``transpose_forward``; spacing and patch follow the transposed axes.
        spacing_mm, patch: of the network's grid, voxels of a tile.
        clip_hu, mean_hu, deviation_hu: of CT normalisation, from the fingerprint of the training data.
        data, logits: how images go to the network's grid, and logits back.
        mirror_axes: over which the answers to mirrored tiles are averaged; empty for none.
    """

    architecture: NnunetArchitecture
    folds: int
    axes: str
    transpose: Triple
    spacing_mm: tuple[float, float, float]
    patch: Triple
    clip_hu: tuple[float, float]
    mean_hu: float
    deviation_hu: float
    data: Resampling
    logits: Resampling
    mirror_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if sorted(self.transpose) != [0, 1, 2] or not {*self.mirror_axes} <= {0, 1, 2} or self.folds < 1:
            message = "transpose and mirror_axes name axes 0, 1 and 2, and there is one fold at least"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class NnunetPredictorCard:
    """A plan that nnU-Net's own predictor runs, because our engine does not know what it asks for.

    Attributes:
        configuration: of the plan.
        plans, data_set: what plans.json and dataset.json say, as far as the predictor reads it.
        trainer: name of the trainer, which the predictor is told.
        folds: how many networks are averaged; tensors of fold 0 are named ``0.<name>``.
        axes: to where the training images' axes run, before any transposition.
        mirror_axes: that tiles are mirrored along.
    """

    configuration: str
    plans: Mapping[str, Any]
    data_set: Mapping[str, Any]
    trainer: str
    folds: int
    axes: str
    mirror_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not axes_fit(self.axes):
            raise ValueError(AXES_RULE)
        if self.folds < 1:
            message = "there is one fold at least"
            raise ValueError(message)


def label_values(data_set: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Every label of dataset.json but background and what is ignored: its name and its numbers, in order.

    Raises:
        TypeError or ValueError: dataset.json says something else.
    """
    labels = {
        name: value for name, value in data_set["labels"].items() if name not in ("background", "ignore")
    }
    found = [
        (str(name), tuple(int(n) for n in (value if isinstance(value, list | tuple) else [value])))
        for name, value in labels.items()
    ]
    return found if is_of_regions(data_set) else sorted(found, key=lambda one: one[1])


def is_of_regions(data_set: Mapping[str, Any]) -> bool:
    """True if a label is a region of several numbers, so that labels may overlap."""
    return any(isinstance(value, list | tuple) for value in data_set["labels"].values())
