"""Models beside one another: what was measured of each, and what its paper printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from models.evaluation.evaluation import Evaluation
from models.evaluation.figures import NAMES
from models.evaluation.summary import (
    Statistics,
    contouring_times,
    over_cases,
    over_slices,
    over_structures,
    statistics,
)

Statistic = Literal["mean", "median", "sd", "variance"]
ALL: Final = "all"
OVER_STRUCTURES: Final = ("mDSC", "mDSC_background", "mHD95_mm", "mHD95_mm_background")
TIMES: Final = ("seconds", "seconds_per_slice")
PUBLISHED: Final = frozenset({*NAMES, *OVER_STRUCTURES, *TIMES})
"""What `Recipe.published` may have figures of."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a comparison.

    Attributes:
        name: of the recipe, or the bundle's reference.
        paper: key of the paper, or None.
        dimensions: of its network, or None for a program.
        training: how it came to its weights, in words.
        evaluation: what was measured.
        published: figures of the paper, as `Recipe.published`.
    """

    name: str
    paper: str | None
    dimensions: int | None
    training: str
    evaluation: Evaluation
    published: Mapping[str, Any]


class Measured:
    """The figures of one entry by metric, structure and statistic; ``all`` is a structure here."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        evaluation = entry.evaluation
        self.structures = evaluation.setting.structures
        self._over = {"cases": over_cases(evaluation), "slices": over_slices(evaluation)}
        self._means = over_structures(evaluation)
        self._times = contouring_times(evaluation)

    def value(
        self, metric: str, structure: str, statistic: Statistic = "mean", over: str = "cases"
    ) -> float | None:
        """One figure; None where there is none.

        ``seconds`` of a structure is the contouring time of a CT over the number of structures. Of ``all``,
        a metric of structures is the mean over them of their means.
        """
        if metric in OVER_STRUCTURES:
            return _finite(self._means[metric]) if statistic == "mean" and structure == ALL else None
        if metric in TIMES:
            each = "seconds_per_structure" if metric == "seconds" and structure != ALL else metric
            return _of(self._times[each], statistic) if structure in (*self.structures, ALL) else None
        if structure == ALL:
            means = [self.value(metric, name, "mean", over) for name in self.structures]
            return _of(statistics(mean for mean in means if mean is not None), statistic)
        found = self._over[over].get(structure, {}).get(metric)
        return None if found is None else _of(found, statistic)

    def published(self, metric: str, structure: str, statistic: Statistic = "mean") -> float | None:
        """What the paper printed, or None."""
        return published_figure(self.entry.published, metric, structure, statistic)

    def published_structures(self) -> tuple[str, ...]:
        """Structures of which the paper printed something, in its order, each once."""
        named = [name for by_structure in self.entry.published.values() for name in by_structure]
        return tuple(dict.fromkeys(name for name in named if name != ALL))


def published_figure(
    published: Mapping[str, Any], metric: str, structure: str, statistic: Statistic = "mean"
) -> float | None:
    """A figure of `Recipe.published`; a plain number there is a mean."""
    value = published.get(metric, {}).get(structure)
    if isinstance(value, Mapping):
        value = value.get(statistic)
    elif statistic != "mean":
        value = None
    return None if value is None else float(value)


def wrongly_published(published: Mapping[str, Any]) -> list[str]:
    """What in `Recipe.published` cannot be read: metrics that are none, values that are no figures."""
    wrong = [f"{metric} is no metric" for metric in published if metric not in PUBLISHED]
    for metric, by_structure in published.items():
        if not isinstance(by_structure, Mapping):
            wrong.append(f"{metric} is no mapping by structure")
            continue
        for structure, value in by_structure.items():
            figures = value if isinstance(value, Mapping) else {"mean": value}
            if not set(figures) <= {"mean", "median", "sd", "variance"} or not all(
                map(_is_number, figures.values())
            ):
                wrong.append(f"{metric} of {structure} is no figure")
    return wrong


def structures_of(entries: Iterable[Measured], *, published: bool) -> tuple[str, ...]:
    """Every structure that some entry was measured on, or, if so wished, that its paper printed."""
    names: list[str] = []
    for entry in entries:
        names += entry.structures
        if published:
            names += entry.published_structures()
    return tuple(dict.fromkeys(names))


def of_paper(entries: Sequence[Measured], paper: str, dimensions: int | None = None) -> list[Measured]:
    """The entries of a paper, or those of them with networks of so many dimensions."""
    return [
        each for each in entries if each.entry.paper == paper and dimensions in (None, each.entry.dimensions)
    ]


def _of(each: Statistics, statistic: Statistic) -> float | None:
    return _finite(each.sd**2 if statistic == "variance" else getattr(each, statistic))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
