"""CT numbers in memory that a model process can be handed without a copy.

Fresh memory costs more than what is written into it: the system finds and clears 26,000 pages for a CT of
105 MB, several times as long as it takes to decode it, and as long again to take them back. So a process
keeps the memory of one CT for the next.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.volume import Grid
from service.contouring.model_link import mapped, new_memory

Fill = Callable[[NDArray[Any]], None]
"""Writes the CT numbers of a volume into an array of its shape, all of them."""

MOST_KEPT_BYTES: Final = 128 << 20
"""A CT of 256 slices of 512 x 512. What a larger one takes goes back to the system after it."""


class CtMemory:
    """A CT volume in a memory file. Called, it is a :data:`Fill` that copies what it holds.

    Attributes:
        descriptor: of the memory file, open until :meth:`close`.
    """

    def __init__(self, grid: Grid, dtype: np.dtype[Any]) -> None:
        self._grid, self._dtype = grid, dtype
        self.descriptor = new_memory("ct", _bytes_of(grid, dtype))
        self._mapping = mapped(self.descriptor, writable=True)
        self._arrays: list[weakref.ref[NDArray[Any]]] = []

    @classmethod
    def filled(cls, fill: Fill, grid: Grid, dtype: np.dtype[Any]) -> Self:
        """The volume that ``fill`` writes; what it raises comes through, and nothing is left."""
        return cls(grid, dtype)._written(fill)

    def __call__(self, hu: NDArray[Any]) -> None:
        """Copy the CT numbers into ``hu``, of the volume's shape."""
        hu[...] = self._array()

    def has_room(self, grid: Grid, dtype: np.dtype[Any]) -> bool:
        """Whether another volume fits, and no array in this memory is left that somebody could look at."""
        looked_at = any(array() is not None for array in self._arrays)
        return not looked_at and _bytes_of(grid, dtype) <= self.held_bytes

    def refilled(self, fill: Fill, grid: Grid, dtype: np.dtype[Any]) -> Self:
        """Another volume in its place, as :meth:`filled` has it; only where there is room."""
        self._grid, self._dtype = grid, dtype
        return self._written(fill)

    @property
    def held_bytes(self) -> int:
        """Size of the memory, which may be larger than the volume."""
        return len(self._mapping)

    def close(self) -> None:
        """Let go; who has been handed the memory, or an array in it, keeps it."""
        os.close(self.descriptor)

    def _written(self, fill: Fill) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            fill(self._array())
            on_failure.pop_all()
        return self

    def _array(self) -> NDArray[Any]:
        """The volume; views of it, however made, keep the flat array that :meth:`has_room` asks for."""
        shape_zyx = self._grid.shape_zyx
        flat = np.frombuffer(self._mapping, self._dtype, math.prod(shape_zyx))
        self._arrays = [each for each in self._arrays if each() is not None]
        self._arrays.append(weakref.ref(flat))
        return flat.reshape(shape_zyx)


def _bytes_of(grid: Grid, dtype: np.dtype[Any]) -> int:
    return math.prod(grid.shape_zyx) * dtype.itemsize


class KeptMemory:
    """The memory of the last CT, for the next one that fits into it once nobody looks at the last one."""

    def __init__(self) -> None:
        self._kept: CtMemory | None = None
        self._lock = threading.Lock()

    def filled(self, fill: Fill, grid: Grid, dtype: np.dtype[Any]) -> CtMemory:
        """The volume that ``fill`` writes, for :meth:`give_back`; what it raises comes through."""
        kept = self._taken(grid, dtype)
        return CtMemory.filled(fill, grid, dtype) if kept is None else kept.refilled(fill, grid, dtype)

    def give_back(self, memory: CtMemory) -> None:
        """No model process reads it any more; arrays in it may live on."""
        let_go: CtMemory | None = memory
        with self._lock:
            if memory.held_bytes <= MOST_KEPT_BYTES:
                let_go, self._kept = self._kept, memory
        if let_go is not None:
            let_go.close()

    def _taken(self, grid: Grid, dtype: np.dtype[Any]) -> CtMemory | None:
        with self._lock:
            if self._kept is None or not self._kept.has_room(grid, dtype):
                return None
            memory, self._kept = self._kept, None
            return memory


KEPT: Final = KeptMemory()
"""Of this process, whoever contours in it."""
