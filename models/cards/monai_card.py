"""What a MONAI bundle says that decides its answer: the section ``monai`` of a bundle's card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.cards.patient_axes import AXES_RULE, axes_fit

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Orientation:
    """``Orientationd``: axes then run to these letters."""

    do: Literal["orientation"]
    axes: str

    def __post_init__(self) -> None:
        if not axes_fit(self.axes):
            raise ValueError(AXES_RULE)


@dataclass(frozen=True, slots=True)
class Spacing:
    """``Spacingd``, linear: the first voxel stays where it is; null along an axis keeps its voxels."""

    do: Literal["spacing"]
    mm: tuple[float | None, float | None, float | None]

    def __post_init__(self) -> None:
        if any(mm is not None and mm <= 0 for mm in self.mm):
            message = "a spacing is above 0 mm"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Crop:
    """``CropForegroundd``: to the box of what is above 0."""

    do: Literal["crop"]


@dataclass(frozen=True, slots=True)
class ScaleRange:
    """``ScaleIntensityRanged``: ``low`` to ``high`` become 0 to 1, and these ``to``."""

    do: Literal["scale-range"]
    low: float
    high: float
    to: tuple[float, float] = (0.0, 1.0)
    clip: bool = False

    def __post_init__(self) -> None:
        if self.low == self.high:
            message = "the range to scale from is empty"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Normalise:
    """``NormalizeIntensityd``; null is the image's mean or deviation; ``nonzero``: only what is not 0."""

    do: Literal["normalise"]
    subtract: float | None = None
    divide: float | None = None
    nonzero: bool = False


@dataclass(frozen=True, slots=True)
class Rescale:
    """``ScaleIntensityd``: the least and the greatest of the image become these."""

    do: Literal["rescale"]
    to: tuple[float, float]


Step = Orientation | Spacing | Crop | ScaleRange | Normalise | Rescale


@dataclass(frozen=True, slots=True)
class Window:
    """``SlidingWindowInferer``.

    Attributes:
        roi: voxels along each axis; 0 for the whole axis.
        overlap: part of a window that its neighbour repeats.
        mode: weights within a window; ``sigma_scale`` times its size is the deviation of a Gaussian.
        padding, padding_value: beyond an image that is smaller than a window.
    """

    roi: Triple
    overlap: tuple[float, float, float] = (0.25, 0.25, 0.25)
    mode: Literal["constant", "gaussian"] = "constant"
    sigma_scale: tuple[float, float, float] = (0.125, 0.125, 0.125)
    padding: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    padding_value: float = 0.0

    def __post_init__(self) -> None:
        if min(self.roi) < 0 or not all(0 <= part < 1 for part in self.overlap) or min(self.sigma_scale) <= 0:
            message = "a window has no negative size, overlaps by 0 to below 1, and has a deviation above 0"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class MonaiNetwork:
    """A class of ``monai.networks.nets`` and its arguments: numbers, texts, lists and mappings of these."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MonaiCard:
    """How a bundle is run.

    Attributes:
        window: how the network is moved over the image.
        steps: of ``preprocessing``, in order.
        axes: to where the image's axes run before the first step: ``LPS`` is how DICOM slices usually lie.
        back: how the answer goes back to the CT's voxels.
        activated_first: softmax or sigmoid before it goes back, not after.
        network: built by MONAI; None for a TorchScript archive.
    """

    window: Window
    steps: tuple[Step, ...] = ()
    axes: str = "LPS"
    back: Literal["linear", "nearest"] = "linear"
    activated_first: bool = True
    network: MonaiNetwork | None = None

    def __post_init__(self) -> None:
        if not axes_fit(self.axes):
            raise ValueError(AXES_RULE)
