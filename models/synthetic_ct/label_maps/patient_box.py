"""The box of a tissue map, and labels brought into it without stairs between slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.synthetic_ct.tissues.deformation import MAP_SPACING_MM
from models.synthetic_ct.tissues.tissue_maps import Tissue
from models.volume import FloatArray

BOX_ZYX: Final = (230, 165, 220)
"""Voxels of 2 mm: 460 mm along the patient, 330 mm from front to back, 440 mm across."""

HEADS_IN_BOX_ZYX_MM: Final = (130.0, 200.0, 220.0)
"""Where the midpoint of the femoral heads lies in it."""

UNSEEN: Final = 255
"""Code outside of what the label map shows."""

_THIN_SLICE_MM = 2.01
_FAR_MM = 1e4  # between slices while distances are measured within them


@dataclass(frozen=True, slots=True)
class BoxPlace:
    """How the voxels of a label map lie to those of the box.

    Attributes:
        rows: ``(165,)`` nearest row of the label map for each row of the box, outside ones too.
        columns: ``(220,)`` the same for columns.
        slices: ``(230,)`` slice of the label map, fractions allowed.
        shape_zyx: of the label map.
        spacing_zyx_mm: of the label map.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    slices: FloatArray
    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: FloatArray

    @classmethod
    def of(
        cls,
        shape_zyx: tuple[int, int, int],
        spacing_zyx_mm: FloatArray,
        origin_zyx_mm: FloatArray,
        heads_zyx_mm: FloatArray,
    ) -> BoxPlace:
        """The box about ``heads_zyx_mm``, the midpoint of the femoral heads in the frame of the label map."""
        corner = heads_zyx_mm - HEADS_IN_BOX_ZYX_MM
        z, y, x = (
            (corner[i] + MAP_SPACING_MM * np.arange(n) - origin_zyx_mm[i]) / spacing_zyx_mm[i]
            for i, n in enumerate(BOX_ZYX)
        )
        return cls(np.rint(y).astype(int), np.rint(x).astype(int), z, shape_zyx, spacing_zyx_mm)

    def seen(self) -> NDArray[np.bool_]:
        """``BOX_ZYX`` True where the label map reaches."""
        n, rows, columns = self.shape_zyx
        z = (self.slices > -0.5) & (self.slices < n - 0.5)
        y = (self.rows >= 0) & (self.rows < rows)
        x = (self.columns >= 0) & (self.columns < columns)
        return z[:, None, None] & y[None, :, None] & x[None, None, :]

    def of_codes(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``BOX_ZYX`` codes; thick slices are interpolated by shape (Raya and Udupa, 1990), `UNSEEN` outside.

        Between two slices a tissue is where the mean of its signed distances to its outlines, weighted by
        the nearness of the slices, is positive; at its end it narrows to nothing half way to the next slice.
        """
        found = self._nearest(codes) if self.spacing_zyx_mm[0] <= _THIN_SLICE_MM else self._between(codes)
        return np.where(self.seen(), found, UNSEEN).astype(np.uint8)

    def _plane(self, codes: NDArray[np.generic]) -> NDArray[Any]:
        """Every slice of the label map on the rows and columns of the box."""
        rows, columns = (
            np.clip(at, 0, n - 1) for at, n in zip((self.rows, self.columns), self.shape_zyx[1:], strict=True)
        )
        return codes[:, rows[:, None], columns[None, :]]

    def _nearest(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        at = np.clip(np.rint(self.slices).astype(int), 0, self.shape_zyx[0] - 1)
        found: NDArray[np.uint8] = self._plane(codes)[at]
        return found

    def _between(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        plane = self._plane(codes)
        at = np.clip(self.slices, 0, self.shape_zyx[0] - 1)
        lower = np.floor(at).astype(int)
        upper = np.minimum(lower + 1, self.shape_zyx[0] - 1)
        share = (at - lower).astype(np.float32)
        best = np.zeros(BOX_ZYX, np.float32)
        out = np.full(BOX_ZYX, int(Tissue.AIR), np.uint8)
        for code in np.unique(plane[plane > 0]):
            shown = (plane == code).any((1, 2))
            near = np.flatnonzero(shown[lower] | shown[upper])
            first, last = int(lower[near[0]]), int(upper[near[-1]]) + 1
            depth = depth_mm(plane[first:last] == code)
            for k in near:
                a, b = _ends(depth, shown, lower[k], upper[k], first)
                field = (1 - share[k]) * a + share[k] * b
                wins = field > best[k]
                best[k][wins] = field[wins]
                out[k][wins] = code
        return out


def _ends(
    depth: NDArray[np.float32], shown: NDArray[np.bool_], low: int, high: int, first: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The distances of two neighbouring slices; one without the tissue is as far as the other is deep."""
    a, b = depth[low - first], depth[high - first]
    if not shown[low]:
        a = np.full_like(b, -float(b.max()))
    elif not shown[high]:
        b = np.full_like(a, -float(a.max()))
    return a, b


def depth_mm(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``(n, y, x)`` distance within each slice of 2 mm pixels to the outline, positive inside, mm."""
    import SimpleITK

    sitk: Any = SimpleITK
    sides = []
    for side in (mask, ~mask):
        image = sitk.GetImageFromArray(side.astype(np.uint8))
        image.SetSpacing((MAP_SPACING_MM, MAP_SPACING_MM, _FAR_MM))
        distance = sitk.SignedMaurerDistanceMap(
            image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
        )
        sides.append(sitk.GetArrayFromImage(distance) - MAP_SPACING_MM / 2)  # to the edge of the pixel
    outside, inside = sides
    depth: NDArray[np.float32] = np.where(mask, inside, -outside).astype(np.float32)
    return depth
