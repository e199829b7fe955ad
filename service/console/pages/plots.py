"""Small plots as numbers for a template that draws SVG: no library, no script, readable without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 120
_LEFT: Final = 34
_BOTTOM: Final = 18
_TOP: Final = 8
_DAY_SECONDS: Final = 86400.0
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Plot:
    """In the units of the picture, origin top left.

    Attributes:
        bars: x, y, width, height.
        points: x, y.
        ticks_y: y and what stands there; ticks_x: x and the hour.
    """

    bars: tuple[tuple[float, float, float, float], ...]
    points: tuple[tuple[float, float], ...]
    ticks_y: tuple[tuple[float, str], ...]
    ticks_x: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    bottom: int = HEIGHT - _BOTTOM


def bars_by_hour(at: Sequence[float], begins: float) -> Plot:
    """How many fell into each of the 24 hours after ``begins``."""
    counts = [0] * 24
    for each in at:
        counts[min(23, max(0, int((each - begins) // 3600)))] += 1
    top = round_up(max(*counts, 1))
    wide = (WIDTH - _LEFT) / 24
    bars = []
    for hour, count in enumerate(counts):
        x, y = _LEFT + hour * wide + 1, _y(count, top)
        if count:
            bars.append((round(x, 1), round(y, 1), round(wide - 2, 1), round(_y(0, top) - y, 1)))
    return Plot(tuple(bars), (), _ticks_y(top, whole=True), _hours())


def points_of_day(measured: Sequence[tuple[float, float]], begins: float) -> Plot:
    """A value at its moment."""
    top = round_up(max([value for _, value in measured], default=1.0))
    points = tuple(
        (round(_x(at - begins), 1), round(_y(value, top), 1)) for at, value in measured if at >= begins
    )
    return Plot((), points, _ticks_y(top), _hours())


def _x(seconds: float) -> float:
    return _LEFT + (WIDTH - _LEFT) * min(1.0, seconds / _DAY_SECONDS)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top


def round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ..."""
    scale = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return next((scale * step for step in (*_STEPS, 10) if scale * step >= value), scale * 10)


def _ticks_y(top: float, *, whole: bool = False) -> tuple[tuple[float, str], ...]:
    middle = (top / 2,) if whole is False or top % 2 == 0 else ()
    return tuple((round(_y(value, top), 1), f"{value:g}") for value in (0.0, *middle, top))


def _hours() -> tuple[tuple[float, str], ...]:
    return tuple((round(_x(hour * 3600.0), 1), f"{hour}") for hour in range(0, 24, 4))
