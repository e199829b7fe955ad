"""What a card says of a model's accuracy as charts: a row a structure, a bar a figure, a line its range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.console.pages.plots import round_up

WIDTH: Final = 480
_LEFT: Final = 128
_RIGHT: Final = 96
_ROW: Final = 18
_TOP: Final = 4
_BOTTOM: Final = 18
_CENTRES: Final = ("mean", "median")
_RANGES: Final = (("p5", "p95"), ("q1", "q3"), ("low", "high"), ("min", "max"))

Series = Mapping[str, "Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, and its range where the card gives one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One structure, in the units of the picture.

    Attributes:
        name: of the structure.
        y: middle of the row.
        bar: width of the bar of the first series; None where that has no figure.
        line: from x to x, the range of the first series.
        marks: x of the figures of the other series.
        said: all of it in words.
    """

    name: str
    y: float
    bar: float | None
    line: tuple[float, float] | None
    marks: tuple[float, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures of one kind; ``series`` names them, the first drawn as bars and the others as marks."""

    title: str
    series: tuple[str, ...]
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    width: int = WIDTH
    left: int = _LEFT
    top: int = _TOP


def charts_of(figures: object, title: str = "") -> Iterator[Chart]:
    """Every group of figures by structure, wherever it stands among the texts of the card."""
    if not isinstance(figures, Mapping):
        return
    for key, found in figures.items():
        name = f"{title} {key}".strip().replace("_", " ")
        series = _series(found)
        if series is not None:
            yield _chart(name, {"": series})
            continue
        several = _several(found)
        if several is not None:
            yield _chart(name, several)
        else:
            yield from charts_of(found, name)


def _several(found: object) -> dict[str, Series] | None:
    """The same figures of several models or versions."""
    if not isinstance(found, Mapping):
        return None
    series = {str(key).replace("_", " "): _series(each) for key, each in found.items()}
    sure = {key: each for key, each in series.items() if each is not None}
    return sure if sure and len(sure) == len(series) else None


def _series(found: object) -> Series | None:
    if not isinstance(found, Mapping) or not found or _figure(found) is not None:
        return None
    figures = {str(name): _figure(each) for name, each in found.items()}
    sure = {name: each for name, each in figures.items() if each is not None}
    return sure if len(sure) == len(figures) else None


def _figure(found: object) -> Figure | None:
    """A number that is not negative, or a mean or median of such with or without its range."""
    if not isinstance(found, Mapping):
        value = _number(found)
        return None if value is None else Figure(value)
    centre = next((value for name in _CENTRES if (value := _number(found.get(name))) is not None), None)
    if centre is None:
        return None
    for low, high in _RANGES:
        ends = _number(found.get(low)), _number(found.get(high))
        if ends[0] is not None and ends[1] is not None:
            return Figure(centre, *ends)
    sd = _number(found.get("sd"))
    return Figure(centre) if sd is None else Figure(centre, max(0.0, centre - sd), centre + sd)


def _number(found: Any) -> float | None:  # noqa: ANN401 - whatever the card holds
    try:
        value = float(found)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _chart(title: str, series: Mapping[str, Series]) -> Chart:
    names = list(dict.fromkeys(name for each in series.values() for name in each))
    figures = [figure for each in series.values() for figure in each.values()]
    highest = max(max(figure.value, figure.high or 0.0) for figure in figures)
    top = 1.0 if highest <= 1 else round_up(highest)
    first, *others = series.values()
    rows = []
    for number, name in enumerate(names):
        figure = first.get(name)
        line = None
        if figure is not None and figure.low is not None and figure.high is not None:
            line = (_x(figure.low, top), _x(figure.high, top))
        rows.append(
            Row(
                name,
                _TOP + _ROW * (number + 0.5),
                None if figure is None else round(_x(figure.value, top) - _LEFT, 1),
                line,
                tuple(_x(each[name].value, top) for each in others if name in each),
                " | ".join(_said(each.get(name)) for each in series.values()),
            )
        )
    ticks = tuple((_x(value, top), f"{value:g}") for value in (0.0, top / 2, top))
    return Chart(title, tuple(series), tuple(rows), ticks, _TOP + _ROW * len(rows) + _BOTTOM)


def _x(value: float, top: float) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * value / top, 1)


def _said(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{figure.value:g}"
    return f"{figure.value:g} ({figure.low:g}–{figure.high:g})"
