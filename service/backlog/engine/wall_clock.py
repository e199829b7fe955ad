"""Noticing that the clock was set back: what is delayed until a time of day would wait that much longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_LEAST_SECONDS: Final = 2.0  # less is an ordinary correction


class WallClock:
    """Holds the time of day against a clock that only runs forward.

    Args:
        wall, steady: the two clocks, in seconds.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._ahead = wall() - steady()

    def set_back_by(self) -> float:
        """By how many seconds the time of day was set back since this was last asked; 0 if it was not."""
        ahead = self._wall() - self._steady()
        back, self._ahead = self._ahead - ahead, ahead
        return back if back >= _LEAST_SECONDS else 0.0
