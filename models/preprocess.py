"""From the CT's own grid to the network's, and back, one axis at a time.

The network sees arrays whose axes run to the patient's head, posterior and left (LPS). Which array axis that
is, and in which direction, follows from the direction cosines alone. Every axis is resampled at its voxels'
real positions, so slices may be spaced unevenly; a stack that is tilted by a few degrees keeps its tilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards.input_card import Channel, InputCard
from models.volume import CtVolume, Grid, OutsideTrainedRegion

LARGEST_TILT_DEGREES: Final = 25.0
HU_RANGE: Final = (-1024.0, 3071.0)  # what scanners store; beyond it lie padding and metal
_SLAB: Final = 16  # slices that are float32 at one time


@dataclass(frozen=True, slots=True)
class Axis:
    """One array axis of the CT and what it becomes on the network's grid.

    Attributes:
        centers_mm: ``(n,)`` the CT's voxel centres along it, ascending.
        widths_mm: ``(n,)`` what each voxel stands for.
        count: voxels on the network's grid.
        spacing_mm: of the network's grid; a mean where that is the CT's own.
        own: the network's voxels are the CT's own.
    """

    centers_mm: NDArray[np.float64]
    widths_mm: NDArray[np.float64]
    count: int
    spacing_mm: float
    own: bool = False

    @property
    def network_centers_mm(self) -> NDArray[np.float64]:
        """``(count,)`` centres of the network's voxels; their middle is the middle of the CT."""
        if self.own:
            return self.centers_mm
        first = float(self.centers_mm[0] - self.widths_mm[0] / 2)
        last = float(self.centers_mm[-1] + self.widths_mm[-1] / 2)
        steps = np.arange(self.count, dtype=np.float64) - (self.count - 1) / 2
        return (first + last) / 2 + steps * self.spacing_mm

    def shrinking(self) -> NDArray[np.float32]:
        """``(count, n)`` weights: mean over a network voxel where the CT is finer, else linear."""
        if self.own:
            return np.eye(self.count, dtype=np.float32)
        lower = self.centers_mm - self.widths_mm / 2
        upper = self.centers_mm + self.widths_mm / 2
        at = self.network_centers_mm[:, None]
        half = self.spacing_mm / 2
        shared = np.minimum(at + half, upper) - np.maximum(at - half, lower)
        mean = np.clip(shared, 0.0, None)
        linear = self._linear()
        nearest = np.abs(at - self.centers_mm).argmin(axis=1)
        finer = (self.widths_mm[nearest] < self.spacing_mm * 0.999) & (mean.sum(axis=1) > 1e-6)
        weights = np.where(finer[:, None], mean, linear)
        weights /= weights.sum(axis=1, keepdims=True)
        return weights.astype(np.float32)

    def _linear(self) -> NDArray[np.float64]:
        at = np.clip(self.network_centers_mm, self.centers_mm[0], self.centers_mm[-1])
        upper = np.clip(np.searchsorted(self.centers_mm, at), 1, max(len(self.centers_mm) - 1, 1))
        weights = np.zeros((self.count, len(self.centers_mm)))
        if len(self.centers_mm) == 1:
            weights[:] = 1.0
            return weights
        gap = self.centers_mm[upper] - self.centers_mm[upper - 1]
        part = (at - self.centers_mm[upper - 1]) / gap
        rows = np.arange(self.count)
        weights[rows, upper] = part
        weights[rows, upper - 1] += 1 - part
        return weights


@dataclass(frozen=True, slots=True)
class NetworkGrid:
    """How a CT grid and the network's grid belong together.

    Attributes:
        axes: the CT's array axes, in its own order.
        order: for head, posterior, left: which array axis it is.
        reversed_: for head, posterior, left: True if the array runs the other way.
    """

    axes: tuple[Axis, Axis, Axis]
    order: tuple[int, int, int]
    reversed_: tuple[bool, bool, bool]

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Of the network's grid, head, posterior, left."""
        z, y, x = (self.axes[axis].spacing_mm for axis in self.order)
        return z, y, x

    def to_patient_order(self, array: Tensor) -> Tensor:
        """A view with the axes head, posterior, left of an array in the CT's order."""
        flips = [i for i, turned in enumerate(self.reversed_) if turned]
        return array.permute(*self.order).flip(flips)

    def to_array_order(self, array: Tensor) -> Tensor:
        """In the CT's order an array with the axes head, posterior, left; a view where none is reversed."""
        turned = [i for i, back in enumerate(self.reversed_) if back]
        order = [self.order.index(axis) for axis in range(3)]
        return (array.flip(turned) if turned else array).permute(order)


def network_grid(grid: Grid, spacing_zyx_mm: Sequence[float | None]) -> NetworkGrid:
    """The network's grid for a CT: same middle, same extent rounded up to whole voxels.

    Where a spacing is None the CT's own voxels are kept.

    Raises:
        OutsideTrainedRegion: ``model.oblique``, an axis is more than 25 degrees off the patient's.
    """
    steps = np.array([grid.normal, grid.row_step_lps_mm, grid.column_step_lps_mm])
    cosines = steps / np.linalg.norm(steps, axis=1, keepdims=True)  # array axes by x, y, z
    axis_of = np.abs(cosines).argmax(axis=0)[::-1]  # for z, y, x
    along = np.array([cosines[axis, 2 - i] for i, axis in enumerate(axis_of)])
    tilted = bool(np.abs(along).min() < np.cos(np.radians(LARGEST_TILT_DEGREES)))
    if tilted or len(set(axis_of.tolist())) < 3:
        sentence = (
            f"The slices lie more than {LARGEST_TILT_DEGREES:.0f} degrees off the patient's axes, "
            "which the model was not made for. Send a reconstruction that is not oblique."
        )
        raise OutsideTrainedRegion("model.oblique", sentence)
    offsets = np.round(grid.slice_offsets_mm, 6)
    centers: tuple[NDArray[np.float64], ...] = (
        offsets,
        np.arange(grid.rows, dtype=np.float64) * round(grid.row_spacing_mm, 9),
        np.arange(grid.columns, dtype=np.float64) * round(grid.column_spacing_mm, 9),
    )
    of_one_slice = spacing_zyx_mm[int(np.argmin(axis_of))] or 1.0
    widths = (
        grid.slice_widths_mm if len(offsets) > 1 else np.array([of_one_slice]),
        np.full(grid.rows, grid.row_spacing_mm),
        np.full(grid.columns, grid.column_spacing_mm),
    )
    axes: list[Axis] = []
    for a in range(3):
        spacing = spacing_zyx_mm[int(np.flatnonzero(axis_of == a)[0])]
        extent = centers[a][-1] - centers[a][0] + (widths[a][0] + widths[a][-1]) / 2
        if spacing is None:
            count = len(centers[a])
            axes.append(Axis(centers[a], widths[a], count, float(extent) / count, own=True))
        else:
            axes.append(Axis(centers[a], widths[a], max(1, int(np.ceil(extent / spacing - 1e-6))), spacing))
    z, y, x = (int(a) for a in axis_of)
    back = [bool(c < 0) for c in along]
    return NetworkGrid((axes[0], axes[1], axes[2]), (z, y, x), (back[0], back[1], back[2]))


def to_network(volume: CtVolume, grid: NetworkGrid, device: torch.device) -> Tensor:
    """``(z, y, x)`` float32 HU on the network's grid, axes head, posterior, left; a slab at a time."""
    rows, columns = grid.axes[1:]
    shares = grid.axes[0].shrinking()
    by_slice, by_row, by_column = (
        torch.from_numpy(one).to(device) for one in (shares, rows.shrinking(), columns.shrinking())
    )
    small = torch.zeros((grid.axes[0].count, grid.axes[1].count, grid.axes[2].count), device=device)
    for first in range(0, len(volume.hu), _SLAB):
        plane = _sent(volume.hu[first : first + _SLAB], device).float().clamp_(*HU_RANGE)
        plane = plane if columns.own else torch.matmul(plane, by_column.T)
        plane = plane if rows.own else torch.matmul(by_row, plane)
        touched = np.flatnonzero(shares[:, first : first + _SLAB].any(axis=1))
        if len(touched):
            part = slice(int(touched[0]), int(touched[-1]) + 1)
            weights = by_slice[part, first : first + _SLAB].contiguous()
            small[part] += torch.einsum("ks,syx->kyx", weights, plane)
    return grid.to_patient_order(small).contiguous()


def _sent(slab: NDArray[np.int16] | NDArray[np.float32], device: torch.device) -> Tensor:
    """``slab`` as it is, so int16 is half of what it becomes, on ``device``.

    To a GPU through page-locked memory: one slab is copied while another is on its way and a third computed.
    """
    array = torch.from_numpy(np.ascontiguousarray(slab))
    return array.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else array


def channels(hu: Tensor, wanted: Sequence[Channel]) -> Tensor:
    """``(..., z, y, x)`` HU to ``(..., c, z, y, x)``: what the network is shown, as the card declares it."""
    return torch.stack(
        [(hu.clamp(*one.clip_hu) - one.subtract_hu) / one.divide_hu for one in wanted], dim=hu.dim() - 3
    )


def padded(hu: Tensor, card: InputCard) -> tuple[Tensor, tuple[slice, slice, slice]]:
    """At least one tile large on every axis, the CT in the middle; and where the CT then lies."""
    sizes = [max(have, need) for have, need in zip(hu.shape, card.tile_zyx(hu.shape), strict=True)]
    low = [(size - have) // 2 for size, have in zip(sizes, hu.shape, strict=True)]
    inside = tuple(slice(at, at + have) for at, have in zip(low, hu.shape, strict=True))
    large = torch.full(sizes, card.padding_hu, dtype=hu.dtype, device=hu.device)
    large[inside] = hu
    return large, (inside[0], inside[1], inside[2])
