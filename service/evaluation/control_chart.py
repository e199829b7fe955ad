"""Control charts of one measure: limits from commissioning, outliers, and the drift of many small changes.

A DSC is skewed, ends at 1, and is exactly 1 wherever nobody changed anything. Limits that take it for normal
(a mean and 2.66 moving ranges, after Shewhart) do not fit it: a few bad cases widen them on both sides, and
the upper one may lie above 1. Two things are told apart here, and the second assumes no distribution at all:

*An outlier* is one case beyond the limit of single cases: as far on the bad side of the commissioning's
median as three standard deviations would be if the quartile on that side were a normal distribution's. Where
a quarter of the commissioning does not even leave the median, its worst case is the limit.

*A drift* is that cases have become worse in general. Each case after the commissioning is placed among the
commissioning's (its rank, ties halved, as a normal score), and an exponentially weighted moving average of
the scores must not fall below a limit that counts both the average's own scatter and that of a median that
was found in so few cases. The scores' distribution does not depend on the measure's, so neither does how
often there is a false alarm (``docs/quality.md`` has the figures), and a single case, however bad, raises
none: its score is bounded.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from service.evaluation.charted import Measure

_SIGMAS: Final = 3.0
_QUARTILE_Z: Final = NormalDist().inv_cdf(0.75)
_STANDARD_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the commissioning says of single cases.

    Attributes:
        center: median.
        quartiles: first and third.
        limit: beyond it, on the bad side, a case is an outlier.
        values: all values of the commissioning, sorted.
    """

    center: float
    quartiles: tuple[float, float]
    limit: float
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many cases it is from."""
        return len(self.values)


def limits_of(values: Sequence[float], measure: Measure) -> Limits:
    """Of the commissioning's values, at least one."""
    first, center, third = (float(each) for each in np.percentile(values, (25, 50, 75)))
    if measure.higher_is_better:
        limit = center - _SIGMAS * (center - first) / _QUARTILE_Z if first < center else min(values)
        limit = max(limit, 0.0)
    else:
        limit = center + _SIGMAS * (third - center) / _QUARTILE_Z if third > center else max(values)
        limit = limit if measure.highest is None else min(limit, measure.highest)
    return Limits(center, (first, third), limit, tuple(sorted(values)))


def score(value: float, limits: Limits, measure: Measure) -> float:
    """Place among the commissioning's cases as a normal score: 0 in the middle, negative if worse."""
    below, upto = bisect_left(limits.values, value), bisect_right(limits.values, value)
    rank = (below + upto) / 2 + 0.5
    z = _STANDARD_NORMAL.inv_cdf(rank / (limits.n + 1))
    return z if measure.higher_is_better else -z


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How the drift is looked for.

    Attributes:
        weight: of the newest case in the moving average, 0 to 1; small: slow to see, and sees small drifts.
        width: distance of the limit in standard deviations.
    """

    weight: float = 0.1
    width: float = 3.0

    def limit(self, cases: int, n: int) -> float:
        """Lower limit of the average of scores, ``cases`` after it began, with ``n`` in commissioning."""
        settled = 1 - (1 - self.weight) ** (2 * cases)
        return -self.width * math.sqrt(self.weight / (2 - self.weight) * settled + 1 / n)


@dataclass(frozen=True, slots=True)
class Point:
    """One case on the chart.

    Attributes:
        at: when it was reviewed, seconds since the epoch.
        value: of the measure.
        average: of scores up to it; None in the commissioning.
        lower: limit of the average there; None in the commissioning.
        is_outlier: beyond the limit of single cases.
    """

    at: float
    value: float
    average: float | None
    lower: float | None
    is_outlier: bool

    @property
    def signals(self) -> bool:
        """The average is beyond its limit."""
        return self.average is not None and self.lower is not None and self.average < self.lower


def chart(
    values: Sequence[tuple[float, float]],
    in_commissioning: Sequence[bool],
    measure: Measure,
    smoothing: Smoothing,
    restarts: Sequence[float] = (),
) -> tuple[Limits | None, list[Point]]:
    """Limits and a point for each value.

    Args:
        values: time and value of each case, in the order of time.
        in_commissioning: whether the case belongs to it; if none does there are no limits and no averages.
        measure: what the values are.
        smoothing: how the drift is looked for.
        restarts: times, ascending, at which the average begins anew at 0: somebody has dealt with a drift.
    """
    base = [value for (_, value), part in zip(values, in_commissioning, strict=True) if part]
    if not base:
        return None, [Point(at, value, None, None, is_outlier=False) for at, value in values]
    limits = limits_of(base, measure)
    points: list[Point] = []
    average, cases, waiting = 0.0, 0, list(restarts)
    for (at, value), part in zip(values, in_commissioning, strict=True):
        outlier = measure.is_worse(value, limits.limit)
        if part:
            points.append(Point(at, value, None, None, outlier))
            continue
        while waiting and waiting[0] <= at:
            average, cases = 0.0, 0
            waiting.pop(0)
        cases += 1
        average += smoothing.weight * (score(value, limits, measure) - average)
        points.append(Point(at, value, average, smoothing.limit(cases, limits.n), outlier))
    return limits, points
