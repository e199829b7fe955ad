"""Where each voxel of a patch is looked up, and looking it up: rotation, scale, shear, bending; 2D and 3D.

Axes are (z, y, x) to head, posterior and left, or (y, x) in one slice. Angles turn as a right hand does about
the axes x to left, y to posterior, z to head: about z from left to posterior, which is clockwise on an axial
image as it is usually shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.chance import Chance

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """A patch: ``shape`` voxels, ``spacing_mm`` apart, along two or three axes."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """From the first voxel's outer face to the last one's."""
        return tuple(n * mm for n, mm in zip(self.shape, self.spacing_mm, strict=True))


@dataclass(frozen=True, slots=True)
class Warp:
    """From a place in the patch to the place in the CT that is seen there, in mm from the patch's centre.

    ``source = matrix @ (place + bend(place)) + shift``

    Attributes:
        matrix: ``(d, d)``.
        shift_mm: ``(d,)``.
        bend_mm: ``(d, *knots)``, spread evenly from the patch's first voxels to its last, or None.
    """

    matrix: Matrix
    shift_mm: NDArray[np.float64]
    bend_mm: Tensor | None = None

    @classmethod
    def none(cls, dimensions: int) -> Warp:
        """Every voxel where it is."""
        return cls(np.eye(dimensions), np.zeros(dimensions))

    @property
    def moves(self) -> bool:
        """False if every voxel is looked up where it is."""
        still = np.array_equal(self.matrix, np.eye(len(self.matrix))) and not self.shift_mm.any()
        return not still or self.bend_mm is not None

    def then(self, forward: Matrix, by_mm: NDArray[np.float64] | None = None) -> Warp:
        """After this, what is seen at ``p`` moves to ``forward @ p + by_mm``; bending stays the last."""
        matrix = self.matrix @ np.linalg.inv(forward)
        shift_mm = self.shift_mm if by_mm is None else self.shift_mm - matrix @ by_mm
        return replace(self, matrix=matrix, shift_mm=shift_mm)

    def bent(self, by_mm: Tensor) -> Warp:
        """Bent by ``(d, *knots)`` too."""
        return replace(self, bend_mm=by_mm if self.bend_mm is None else self.bend_mm + by_mm)

    def sources(self, view: View, device: torch.device) -> Tensor:
        """``(d, *shape)`` float32: where each voxel is looked up, in voxels from the centre of the patch."""
        axes = [
            (torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2) * mm
            for n, mm in zip(view.shape, view.spacing_mm, strict=True)
        ]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (d, *shape)
        if self.bend_mm is not None:
            mode = "bilinear" if len(view.shape) == 2 else "trilinear"
            bend = self.bend_mm.to(device)[None]
            places = places + functional.interpolate(bend, view.shape, mode=mode, align_corners=True)[0]
        spacing = np.array(view.spacing_mm)
        to_voxels = torch.from_numpy(self.matrix / spacing[:, None]).to(places)
        shift = torch.from_numpy(self.shift_mm / spacing).to(places)
        found: Tensor = torch.tensordot(to_voxels, places, dims=1)
        return found + shift.reshape(-1, *[1] * len(view.shape))


def rotation(radians: Sequence[float]) -> Matrix:
    """``(3, 3)`` on (z, y, x) for angles about (z, y, x), done about x first; one angle gives ``(2, 2)``."""
    cosine, sine = math.cos(radians[0]), math.sin(radians[0])
    if len(radians) == 1:
        return np.array([[cosine, sine], [-sine, cosine]])
    about_z = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    (cy, sy), (cx, sx) = ((math.cos(a), math.sin(a)) for a in radians[1:])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[cx, sx, 0], [-sx, cx, 0], [0, 0, 1]])
    turned: Matrix = about_z @ about_y @ about_x
    return turned


def moved_points(view: View, by_mm: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """The affine map that moves the patch's centre, and a point on each axis, as ``by_mm`` says.

    The points lie a third of the patch's extent from the centre: three points in a slice, four in a volume.

    Args:
        view: the patch.
        by_mm: ``(1 + d, d)``, the centre's displacement first.

    Returns:
        matrix ``(d, d)`` and shift ``(d,)`` in mm, ``p -> matrix @ p + shift``.
    """
    reach = np.array(view.extent_mm) / 3
    matrix = np.eye(len(reach)) + (by_mm[1:] - by_mm[0]).T / reach
    return matrix, by_mm[0]


def smooth_bend(view: View, smooth_mm: float, displacement_mm: float, chance: Chance) -> Tensor:
    """``(d, *knots)`` random displacements in mm, convolved with a Gaussian (Simard et al., ICDAR 2003).

    They are drawn on knots half a ``smooth_mm`` apart and not at every voxel, which after the convolution is
    the same but for what a straight line between knots misses.

    Args:
        view: the patch.
        smooth_mm: standard deviation of the Gaussian.
        displacement_mm: standard deviation of each component of the outcome.
        chance: what is drawn.
    """
    lengths = [(n - 1) * mm for n, mm in zip(view.shape, view.spacing_mm, strict=True)]
    counts = [max(2, math.ceil(length / (smooth_mm / 2)) + 1) for length in lengths]
    steps = [max(length, 1e-6) / (count - 1) for length, count in zip(lengths, counts, strict=True)]
    sigmas = [min(smooth_mm / step, 8.0) for step in steps]
    rims = [math.ceil(3 * sigma) for sigma in sigmas]
    field = chance.normal(len(counts), *(n + 2 * rim for n, rim in zip(counts, rims, strict=True)))
    for axis, (sigma, rim) in enumerate(zip(sigmas, rims, strict=True), start=1):
        at = torch.arange(-rim, rim + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (at / sigma) ** 2)
        kernel = (kernel / kernel.norm()).to(field)
        field = field.unfold(axis, len(kernel), 1) @ kernel
    return field * displacement_mm


def looked_up_linear(image: Tensor, at: Tensor, padding: float) -> Tensor:
    """``(c, *shape)`` of ``image`` ``(c, *size)`` at voxels ``(d, *shape)``; ``padding`` beyond it."""
    sizes = torch.tensor(image.shape[1:], device=at.device).reshape(-1, *[1] * (at.dim() - 1))
    grid = ((2 * at + 1) / sizes - 1).flip(0).movedim(0, -1)  # (*shape, d), x first
    found = functional.grid_sample(image[None] - padding, grid[None], mode="bilinear", align_corners=False)
    return found[0] + padding


def looked_up_nearest(image: Tensor, at: Tensor) -> Tensor:
    """``(*shape)`` of ``image`` ``(*size)`` at the voxels nearest to ``(d, *shape)``; 0 beyond it.

    No value is made up: structures that touch without overlapping do so afterwards too.
    """
    index = (at + 0.5).floor().long()
    flat = torch.zeros_like(index[0])
    inside = torch.ones_like(index[0], dtype=torch.bool)
    for of_axis, size in zip(index, image.shape, strict=True):
        inside &= (of_axis >= 0) & (of_axis < size)
        flat = flat * size + of_axis.clamp(0, size - 1)
    return image.reshape(-1)[flat] * inside
