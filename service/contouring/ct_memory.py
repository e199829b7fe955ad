"""CT numbers in memory that a model process can be handed without a copy."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.volume import Grid
from service.contouring.model_link import array_in, mapped, new_memory

Fill = Callable[[NDArray[Any]], None]
"""Writes the CT numbers of a volume into an array of its shape."""


class CtMemory:
    """A CT volume in a memory file. Called, it is a :data:`Fill` that copies what it holds.

    Attributes:
        descriptor: of the memory file, open until :meth:`close`.
    """

    def __init__(self, grid: Grid, dtype: np.dtype[Any]) -> None:
        self._shape_zyx = grid.shape_zyx
        self._dtype = dtype
        self.descriptor = new_memory("ct", int(np.prod(grid.shape_zyx)) * dtype.itemsize)

    @classmethod
    def filled(cls, fill: Fill, grid: Grid, dtype: np.dtype[Any]) -> Self:
        """The volume that ``fill`` writes; what it raises comes through, and nothing is left."""
        memory = cls(grid, dtype)
        with ExitStack() as on_failure:
            on_failure.callback(memory.close)
            fill(memory._array(writable=True))
            on_failure.pop_all()
        return memory

    def __call__(self, hu: NDArray[Any]) -> None:
        """Copy the CT numbers into ``hu``, of the volume's shape."""
        hu[...] = self._array(writable=False)

    def close(self) -> None:
        """Let go; who has been handed the memory keeps it."""
        os.close(self.descriptor)

    def _array(self, *, writable: bool) -> NDArray[Any]:
        return array_in(mapped(self.descriptor, writable=writable), self._shape_zyx, self._dtype)
