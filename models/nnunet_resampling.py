"""nnU-Net's resampling as one matrix for each axis, equal to what it does through scikit-image and SciPy.

``skimage.transform.resize(..., order, mode="edge", anti_aliasing=False)`` puts the voxels' outer faces upon
one another and takes a spline of the volume, extended by its border values; a spline of three dimensions is
one for each axis. Splines of order 3 are prefiltered over the volume extended by 12 voxels, as SciPy does.
Where slices are far apart, each is resampled by itself, and between slices the nearest one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards.nnunet_card import Resampling

_FAR_APART: Final = 3.0  # ANISO_THRESHOLD of nnU-Net
_EXTENSION: Final = 12

Matrix = NDArray[np.float64]


def new_shape(shape: Sequence[int], spacing_mm: Sequence[float], new_mm: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each axis after resampling, never none."""
    pairs = zip(spacing_mm, new_mm, shape, strict=True)
    return tuple(max(1, round(mm / new * count)) for mm, new, count in pairs)


def apart_axis(how: Resampling, spacing_mm: Sequence[float], new_mm: Sequence[float]) -> int | None:
    """The axis along which slices are resampled by themselves, if there is one."""
    if how.separate_z is False:
        return None
    of = spacing_mm
    if how.separate_z is None:
        far = [max(each) / min(each) > _FAR_APART for each in (spacing_mm, new_mm)]
        if not any(far):
            return None
        of = spacing_mm if far[0] else new_mm
    thickest = [axis for axis, mm in enumerate(of) if mm == max(of)]
    return thickest[0] if len(thickest) == 1 else None


def matrix(count: int, new: int, order: int) -> Matrix:
    """``(new, count)``: a line of ``count`` voxels becomes ``new`` by a spline of ``order`` 0, 1 or 3."""
    if new == count:
        return np.eye(count)
    at = count / new * (np.arange(new) + 0.5) - 0.5
    rows = np.arange(new)
    found = np.zeros((new, count))
    if order == 0:
        found[rows, np.clip(np.floor(at + 0.5).astype(int), 0, count - 1)] = 1
        return found
    if order == 1:
        at = np.clip(at, 0, count - 1)
        lower = np.minimum(at.astype(int), max(count - 2, 0))
        found[rows, lower] = 1 - (at - lower)
        found[rows, np.minimum(lower + 1, count - 1)] += at - lower
        return found
    return _cubic(count, at.astype(np.float64))


def _cubic(count: int, at: NDArray[np.float64]) -> Matrix:
    long = count + 2 * _EXTENSION
    basis = np.zeros((len(at), long))
    at = at + _EXTENSION
    lower = np.floor(at).astype(int)
    t = at - lower
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for i, weight in enumerate(weights):
        basis[np.arange(len(at)), lower - 1 + i] = weight / 6
    samples = np.zeros((long, long))  # coefficients to values, mirrored at the ends
    inside = np.arange(long)
    samples[inside, inside] = 4 / 6
    samples[inside[1:], inside[:-1]] = samples[inside[:-1], inside[1:]] = 1 / 6
    samples[0, 1] = samples[-1, -2] = 2 / 6
    filtered = np.linalg.solve(samples.T, basis.T).T  # basis @ inverse(samples)
    found = filtered[:, _EXTENSION:-_EXTENSION].copy()
    found[:, 0] += filtered[:, :_EXTENSION].sum(axis=1)
    found[:, -1] += filtered[:, -_EXTENSION:].sum(axis=1)
    return found.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Resampler:
    """From one grid to another.

    Attributes:
        matrices: ``(new, old)`` for each of the three axes.
        apart: the axis along which slices are resampled by themselves.
    """

    matrices: tuple[Matrix, Matrix, Matrix]
    apart: int | None

    @classmethod
    def between(
        cls, shape: Sequence[int], new: Sequence[int], how: Resampling, apart: int | None
    ) -> Resampler:
        """From ``shape`` to ``new``, as ``how`` says."""
        orders = [how.order_z if axis == apart else how.order for axis in range(3)]
        z, y, x = (matrix(a, b, order) for a, b, order in zip(shape, new, orders, strict=True))
        return cls((z, y, x), apart)

    def image(self, image: Tensor) -> Tensor:
        """``(z, y, x)`` resampled; a spline does not leave the range of what it passes through."""
        flat = tuple(axis for axis in range(3) if axis != self.apart)
        low, high = image.amin(flat, keepdim=True), image.amax(flat, keepdim=True)
        for axis in flat:
            image = along(image, axis, self.matrices[axis])
        image = image.clamp(low, high)
        return image if self.apart is None else along(image, self.apart, self.matrices[self.apart])


def along(image: Tensor, axis: int, by: Matrix) -> Tensor:
    """``image`` with its ``axis`` multiplied by a matrix."""
    if by.shape[0] == by.shape[1] and np.array_equal(by, np.eye(len(by))):
        return image
    weights = torch.from_numpy(by).to(image.device, image.dtype)
    found: Tensor = torch.tensordot(image, weights, dims=([axis], [1]))
    return found.movedim(-1, axis)
