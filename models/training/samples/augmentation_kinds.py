"""The kinds of augmentation and what each draws for one sample.

A class is what a recipe names; its fields are the arguments. All have ``probability``, of happening at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from torch import Tensor

from models.cards.input_card import Channel
from models.chance import Chance
from models.training.samples.warp import View, Warp, moved_points, rotation, smooth_bend


@dataclass(frozen=True, slots=True)
class Drawn:
    """What happens to one sample.

    Attributes:
        warp: where voxels are looked up.
        mirrored: left has become right an odd number of times.
        hu: added to every CT number, before the channels' windows.
        noise_hu: standard deviation of noise.
        contrast, brightness: of each channel, after its window.
    """

    warp: Warp
    mirrored: bool = False
    hu: float = 0.0
    noise_hu: float = 0.0
    contrast: float = 1.0
    brightness: float = 0.0

    def of_hu(self, hu: Tensor, chance: Chance) -> Tensor:
        """CT numbers shifted, with noise."""
        if self.hu:
            hu = hu + self.hu
        if self.noise_hu:
            hu = hu + chance.normal(*hu.shape).to(hu) * self.noise_hu
        return hu

    def of_channels(self, x: Tensor, channels: Sequence[Channel]) -> Tensor:
        """``(slices * channels, *spatial)`` with contrast and brightness, within the window as before."""
        if self.contrast == 1.0 and self.brightness == 0.0:
            return x
        shown = [channels[i % len(channels)] for i in range(len(x))]
        low = x.new_tensor([(one.clip_hu[0] - one.subtract_hu) / one.divide_hu for one in shown])
        high = x.new_tensor([(one.clip_hu[1] - one.subtract_hu) / one.divide_hu for one in shown])
        low, high = (bound.reshape(-1, *[1] * (x.dim() - 1)) for bound in (low, high))
        mean = x.mean(dim=tuple(range(1, x.dim())), keepdim=True)
        changed = mean + self.contrast * (x - mean) + self.brightness * (high - low)
        return changed.clamp(low.minimum(high), high.maximum(low))


class Augmentation(Protocol):
    """One kind of change, drawn anew for each sample."""

    @property
    def probability(self) -> float:
        """How often it happens, 0 to 1."""
        ...

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:
        """``drawn`` and this as well."""
        ...


@dataclass(frozen=True, slots=True)
class Rotation:
    """Turned about the patch's centre, by angles drawn evenly from minus to plus those given.

    Sartor 2020: +-0.15 rad, about which axes is not said; Xiao 2022: no angle. A slice turns about z alone.
    """

    degrees_zyx: tuple[float, float, float] | None = None
    radians_zyx: tuple[float, float, float] | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        if (self.degrees_zyx is None) == (self.radians_zyx is None):
            raise ValueError("give either degrees_zyx or radians_zyx")

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:
        """See the class."""
        most = self.radians_zyx or [math.radians(d) for d in self.degrees_zyx or ()]
        angles = [chance.between(-a, a) for a in (most[:1] if len(view.shape) == 2 else most)]
        return replace(drawn, warp=drawn.warp.then(rotation(angles)))


@dataclass(frozen=True, slots=True)
class Scale:
    """Made larger (above 1) or smaller about the patch's centre, the same along every axis.

    ``factor`` is drawn evenly; Sartor 2020: 0.9 to 1.1. In a slice z stays.
    """

    factor: tuple[float, float]
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.factor[0] <= self.factor[1]:
            raise ValueError("factor is a rising pair above 0")

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:
        """See the class."""
        return replace(drawn, warp=drawn.warp.then(np.eye(len(view.shape)) * chance.between(*self.factor)))


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirrored along one axis; along x, left and right change their names. Liu X. 2024 does not say which."""

    axis: Literal["z", "y", "x"] = "x"
    probability: float = 0.5

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:  # noqa: ARG002
        """See the class."""
        signs = [-1.0 if axis == self.axis else 1.0 for axis in "zyx"]
        warp = drawn.warp.then(np.diag(signs[-len(view.shape) :]))
        return replace(drawn, warp=warp, mirrored=drawn.mirrored ^ (self.axis == "x"))


@dataclass(frozen=True, slots=True)
class Affine:
    """Affine map that moves three points of a slice, or four of a volume, by up to ``points_mm`` an axis.

    The "three-point method" of Liu X. 2024: rotation, scale, translation and shear at once. The points are
    the patch's centre, and on each axis one a third of the patch away from it; the paper gives neither points
    nor distances.
    """

    points_mm: float
    probability: float = 1.0

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:
        """See the class."""
        count = len(view.shape)
        by_mm = np.array(
            [
                [chance.between(-self.points_mm, self.points_mm) for _ in range(count)]
                for _ in range(count + 1)
            ]
        )
        return replace(drawn, warp=drawn.warp.then(*moved_points(view, by_mm)))


@dataclass(frozen=True, slots=True)
class Elastic:
    """Bent by random displacements smoothed with a Gaussian; always after everything affine (Liu X. 2024).

    With `Affine` it is their random affine elastic distortion; they give neither of the two numbers.

    Attributes:
        smooth_mm: standard deviation of the Gaussian.
        displacement_mm: standard deviation of the displacement along each axis, their control factor. Above
            half of ``smooth_mm`` tissue begins to fold.
    """

    smooth_mm: float
    displacement_mm: float
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.smooth_mm <= 0:
            raise ValueError("smooth_mm must be above 0")

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:
        """See the class."""
        bend = smooth_bend(view, self.smooth_mm, self.displacement_mm, chance)
        return replace(drawn, warp=drawn.warp.bent(bend))


@dataclass(frozen=True, slots=True)
class HuShift:
    """One number, drawn evenly, added to all CT numbers before the windows; Sartor 2020: -100 to 100."""

    hu: tuple[float, float]
    probability: float = 1.0

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:  # noqa: ARG002
        """See the class."""
        return replace(drawn, hu=drawn.hu + chance.between(*self.hu))


@dataclass(frozen=True, slots=True)
class Noise:
    """Normal noise, its standard deviation drawn evenly from ``hu``, added before the windows."""

    hu: tuple[float, float]
    probability: float = 1.0

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:  # noqa: ARG002
        """See the class."""
        return replace(drawn, noise_hu=math.hypot(drawn.noise_hu, chance.between(*self.hu)))


@dataclass(frozen=True, slots=True)
class Colour:
    """Brightness and contrast of the windowed image, the "random colour augmentation" of Liu X. 2024.

    A CT has no colour and the paper does not say what was done: here each channel's distance from its mean is
    multiplied by ``1 +- contrast``, ``+- brightness`` of the window's width is added, both drawn evenly, and
    what leaves the window is cut off as in any windowed image.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    probability: float = 1.0

    def add(self, drawn: Drawn, view: View, chance: Chance) -> Drawn:  # noqa: ARG002
        """See the class."""
        contrast = drawn.contrast * (1 + chance.between(-self.contrast, self.contrast))
        brightness = drawn.brightness + chance.between(-self.brightness, self.brightness)
        return replace(drawn, contrast=contrast, brightness=brightness)
