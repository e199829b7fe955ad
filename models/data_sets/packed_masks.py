"""Masks of one CT at a bit a voxel: forty structures of a large CT are 0.3 GiB instead of 2.6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray


class PackedMasks(Mapping[str, NDArray[np.bool_]]):
    """Masks by structure, unpacked anew at each look-up: take one, use it, let it go.

    Args:
        shape_zyx: of every mask.
        rows: packed masks to begin with, as ``rows`` gives them.
    """

    def __init__(
        self, shape_zyx: tuple[int, int, int], rows: Mapping[str, NDArray[np.uint8]] | None = None
    ) -> None:
        self.shape_zyx = shape_zyx
        self.rows: dict[str, NDArray[np.uint8]] = dict(rows or {})
        """By structure, ``(voxels / 8,)`` rounded up: C order, first voxel in the highest bit."""
        if any(row.shape != (-(-self._voxels // 8),) or row.dtype != np.uint8 for row in self.rows.values()):
            message = f"a packed mask does not hold the voxels of {shape_zyx}"
            raise ValueError(message)

    def put(self, structure: str, mask: NDArray[np.bool_]) -> None:
        """Keep a mask ``(z, y, x)``."""
        if mask.shape != self.shape_zyx or mask.dtype != np.bool_:
            message = f"the mask of {structure} is {mask.dtype} {mask.shape}, not bool {self.shape_zyx}"
            raise ValueError(message)
        self.rows[structure] = np.packbits(mask)

    def __getitem__(self, structure: str) -> NDArray[np.bool_]:
        bits = np.unpackbits(self.rows[structure], count=self._voxels)
        return bits.view(np.bool_).reshape(self.shape_zyx)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def _voxels(self) -> int:
        z, y, x = self.shape_zyx
        return z * y * x
