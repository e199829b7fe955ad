"""Charts as SVG: no library, no script, no style of its own, readable without colour.

What is drawn has classes, to which ``STYLE`` gives colours; shapes differ too: a dot is a case, a ring one of
the commissioning, a cross an outlier, a triangle the beginning of a drift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.evaluation.charted import Measure
    from service.evaluation.quality import StructureChart

_WIDTH: Final = 960
_LEFT: Final = 56
_RIGHT: Final = 12
_VALUES: Final = (24.0, 214.0)  # top and bottom of the panel of values
_AVERAGES: Final = (240.0, 316.0)  # of that of averages
_HEIGHT: Final = 340
_SMALL: Final = (168.0, 26.0)
_NONE_AT_HALF: Final = 0.05  # of the range, left free at both ends

STYLE: Final = """
.q { width: 100%; height: auto; } .q text { font-size: 11px; fill: var(--quiet, #56606b); }
.q .grid { stroke: var(--line, #d5d9de); } .q .span { fill: var(--row, #f0f4f8); }
.q .center { stroke: var(--quiet, #56606b); stroke-dasharray: 2 3; }
.q .limit { stroke: var(--bad, #b3261e); stroke-dasharray: 7 4; fill: none; stroke-width: 1.3; }
.q .case { fill: var(--busy, #0b5a9c); }
.q .first { fill: none; stroke: var(--busy, #0b5a9c); stroke-width: 1.4; }
.q .outlier { stroke: var(--bad, #b3261e); stroke-width: 2; fill: none; }
.q .average { stroke: var(--busy, #0b5a9c); fill: none; stroke-width: 1.6; }
.q .drift { fill: var(--bad, #b3261e); }
.q .known { fill: none; stroke: var(--good, #1d6b35); stroke-width: 1.6; }
.q .version { stroke: var(--edge, #7d8792); }
.q .box { fill: var(--row, #f0f4f8); stroke: var(--edge, #7d8792); }
.q .middle { stroke: var(--text, #1b2127); stroke-width: 2; } .q a { cursor: pointer; }
"""
"""The variables are the console's colours; a page that has none gets those behind the comma."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a chart says in the reader's language.

    Attributes:
        title: read out in place of the picture.
        day: a moment as the label of an axis.
        point: a case when the pointer rests on it: its value and when it was.
        address: of the page of a case, by its row; None for a chart without links.
    """

    title: str
    day: Callable[[float], str]
    point: Callable[[str, float], str]
    address: Callable[[int], str] | None = None


class _Scale:
    """From values to the units of the picture."""

    def __init__(self, ends: tuple[float, float], at: tuple[float, float]) -> None:
        low, high = ends
        self.low, self.high = (low, high) if high > low else (low - 0.5, high + 0.5)
        self._from, self._to = at

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return round(self._from + (self._to - self._from) * min(1.0, max(0.0, part)), 1)


def control_chart(versions: Sequence[StructureChart], words: Words) -> str:
    """The charts of one structure and protocol, model version after model version, on one axis of time.

    Above the values with median and limit of single cases, below the moving average of ranks with its limit.
    """
    drawn = [each for each in versions if each.points]
    if not drawn:
        return ""
    measure = drawn[0].measure
    times = [point.at for each in drawn for point in each.points]
    x = _Scale((min(times), max(times)), (_LEFT + 8.0, _WIDTH - _RIGHT - 8.0))
    y = _scale_of_values(drawn, measure)
    averages = [p.average for each in drawn for p in each.points if p.average is not None]
    lowers = [p.lower for each in drawn for p in each.points if p.lower is not None]
    lowest = min([-0.5, *averages, *lowers])
    z = _Scale((lowest * 1.1, max([0.5, *averages]) * 1.1), (_AVERAGES[1], _AVERAGES[0]))
    parts = [*_frame(x, y, z, measure, words)]
    for number, each in enumerate(drawn):
        until = drawn[number + 1].points[0].at if number + 1 < len(drawn) else x.high
        parts += _limits(each, x, y, max(until, each.points[-1].at))
        parts += _version(each, x, first=number == 0)
        parts += _averages(each, x, z)
        parts += _cases(each, x, y, words)
    # What is a picture to a screen reader may hold no links.
    return _svg(_WIDTH, _HEIGHT, words.title, parts, "img" if words.address is None else "group")


def distribution(chart: StructureChart, title: str) -> str:
    """The values on a line: box from quartile to quartile, bar at the median, crosses beyond the limit."""
    width, height = _SMALL
    measure = chart.measure
    values = [point.value for point in chart.points]
    if not values:
        return ""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    ends = (min(low, 0.5), measure.highest) if measure.highest is not None else (0.0, max(high, 1e-6))
    x = _Scale(ends, (6.0, width - 6.0))
    q1, middle, q3 = (_quantile(ordered, part) for part in (0.25, 0.5, 0.75))
    center = height / 2
    parts = [_line("grid", (6.0, center), (width - 6.0, center))]
    parts.append(f'<rect class="box" x="{x(q1)}" y="5" width="{max(1.0, x(q3) - x(q1)):.1f}" height="16"/>')
    if chart.limits is not None:
        parts.append(_line("limit", (x(chart.limits.limit), 1.0), (x(chart.limits.limit), height - 1)))
    parts.append(_line("middle", (x(middle), 4.0), (x(middle), height - 4)))
    parts += [_cross(x(p.value), center) for p in chart.points if p.is_outlier]
    return _svg(int(width), int(height), title, parts)


def _scale_of_values(drawn: Sequence[StructureChart], measure: Measure) -> _Scale:
    values = [point.value for each in drawn for point in each.points]
    values += [each.limits.limit for each in drawn if each.limits is not None]
    low, high = min(values), max(values)
    free = (high - low) * _NONE_AT_HALF or 0.05
    low = max(0.0, low - free)
    high = high + free if measure.highest is None else min(measure.highest, high + free)
    return _Scale((low, high), (_VALUES[1], _VALUES[0]))


def _frame(x: _Scale, y: _Scale, z: _Scale, measure: Measure, words: Words) -> list[str]:
    parts = []
    for part in range(5):
        value = y.low + (y.high - y.low) * part / 4
        parts += [_line("grid", (_LEFT, y(value)), (_WIDTH - _RIGHT, y(value))),
                  _text(_LEFT - 6, y(value) + 4, measure.told(value), "end")]  # fmt: skip
    for value in (0.0, round(z.low / 1.1, 1)):
        parts += [_line("grid", (_LEFT, z(value)), (_WIDTH - _RIGHT, z(value))),
                  _text(_LEFT - 6, z(value) + 4, f"{value:.1f}", "end")]  # fmt: skip
    ticks = 6
    for tick in range(ticks):
        at = x.low + (x.high - x.low) * tick / (ticks - 1)
        anchor = "start" if tick == 0 else "end" if tick == ticks - 1 else "middle"
        parts.append(_text(x(at), _HEIGHT - 6, words.day(at), anchor))
    return parts


def _limits(chart: StructureChart, x: _Scale, y: _Scale, until: float) -> list[str]:
    if chart.limits is None:
        return []
    inside = [point.at for point, part in zip(chart.points, chart.in_commissioning, strict=True) if part]
    begin, wide = x(inside[0]) - 4, x(inside[-1]) - x(inside[0]) + 8
    top, tall = _VALUES[0], _VALUES[1] - _VALUES[0]
    ends = x(chart.points[0].at), x(until)
    return [
        f'<rect class="span" x="{begin:.1f}" y="{top:g}" width="{wide:.1f}" height="{tall:g}"/>',
        *(_line(kind, (ends[0], y(value)), (ends[1], y(value)))
          for kind, value in (("center", chart.limits.center), ("limit", chart.limits.limit))),
    ]  # fmt: skip


def _version(chart: StructureChart, x: _Scale, *, first: bool) -> list[str]:
    at = x(chart.points[0].at) - 5
    line = [] if first else [_line("version", (at, 10.0), (at, _AVERAGES[1]))]
    anchor, shift = ("end", -3) if at > _WIDTH * 0.8 else ("start", 3)
    return [*line, _text(at + shift, 14, chart.group.model, anchor)]


def _averages(chart: StructureChart, x: _Scale, z: _Scale) -> list[str]:
    shown = [point for point in chart.points if point.average is not None and point.lower is not None]
    averages = " ".join(f"{x(p.at)},{z(p.average or 0.0)}" for p in shown)
    lowers = " ".join(f"{x(p.at)},{z(p.lower or 0.0)}" for p in shown)
    parts = [f'<polyline class="{kind}" points="{points}"/>'
             for kind, points in (("limit", lowers), ("average", averages)) if points]  # fmt: skip
    for drift in chart.drifts:
        point = chart.points[drift.began]
        at, down = x(point.at), z(point.average or 0.0)
        kind = "drift" if drift.acknowledged_at is None else "known"
        parts.append(f'<path class="{kind}" d="M{at:g} {down + 2:g}l-6 11h12z"/>')
    return parts


def _cases(chart: StructureChart, x: _Scale, y: _Scale, words: Words) -> list[str]:
    parts = []
    for case, point, first in zip(chart.reviewed, chart.points, chart.in_commissioning, strict=True):
        at, down = x(point.at), y(point.value)
        said = f"<title>{escape(words.point(chart.measure.told(point.value), point.at))}</title>"
        if point.is_outlier:
            shape = _cross(at, down, said)
        else:
            shape = (
                f'<circle class="{"first" if first else "case"}" cx="{at}" cy="{down}" r="3">{said}</circle>'
            )
        if words.address is not None:
            label = escape(words.point(chart.measure.told(point.value), point.at))
            address = escape(words.address(case.id))
            shape = f'<a href="{address}" tabindex="-1" aria-label="{label}">{shape}</a>'
        parts.append(shape)
    return parts


def _quantile(ordered: Sequence[float], part: float) -> float:
    at = part * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _svg(width: int, height: int, title: str, parts: Sequence[str], role: str = "img") -> str:
    body, said = "".join(parts), escape(title)
    return f'<svg class="q" viewBox="0 0 {width} {height}" role="{role}" aria-label="{said}">{body}</svg>'


def _line(kind: str, one: tuple[float, float], other: tuple[float, float]) -> str:
    return f'<line class="{kind}" x1="{one[0]:g}" y1="{one[1]:g}" x2="{other[0]:g}" y2="{other[1]:g}"/>'


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(said)}</text>'


def _cross(x: float, y: float, inside: str = "") -> str:
    return f'<path class="outlier" d="M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8">{inside}</path>'
