"""Masks as files, for workers of every environment: NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def masks_of(task: dict[str, Any]) -> Iterable[tuple[str, np.ndarray]]:
    """Name and ``(slices, rows, columns)`` bool of every file in the folder ``masks``.

    All in memory, unless the task says ``in_turn``: then each is read when it is asked for.
    """
    files = sorted(Path(task["masks"]).glob("*.npy"))

    def read() -> Iterator[tuple[str, np.ndarray]]:
        for file in files:
            yield file.stem, np.load(file)

    return read() if task.get("in_turn") else list(read())
