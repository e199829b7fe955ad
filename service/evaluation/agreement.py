"""Whether the estimated grades are a reader's: the agreement table and Cohen's weighted kappa.

Kappa is 1 where both always agree and 0 where they agree as often as chance would have it. Weights are
quadratic (Cohen 1968): a grade apart by one step counts 1/9 of a disagreement, by two 4/9, by three 1. The
standard error is that of Fleiss, Cohen and Everitt (Psychological Bulletin 1969; 72: 323-327), which replaced
the formulas of the papers that introduced kappa; the interval is the normal one, within -1 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from service.backlog.review_records import GRADES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.backlog.review_records import ReviewedStructure

_Z_95: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of grades that were both estimated and given by a reader.

    Attributes:
        counts: ``[estimated][reader]`` in the order of ``GRADES``, the best first.
        kappa: None if there are no two grades among them, so that chance alone would agree.
        interval: of 95 %, None where kappa is.
    """

    counts: tuple[tuple[int, ...], ...]
    kappa: float | None
    interval: tuple[float, float] | None

    @property
    def n(self) -> int:
        """How many were graded by both."""
        return sum(map(sum, self.counts))

    @property
    def same(self) -> int:
        """How often both gave the same grade."""
        return sum(self.counts[i][i] for i in range(len(self.counts)))

    @property
    def too_kind(self) -> int:
        """How often the estimate was better than what the reader said."""
        return sum(n for i, row in enumerate(self.counts) for j, n in enumerate(row) if i < j)


def agreement_of(reviewed: Iterable[ReviewedStructure]) -> Agreement:
    """Of those that have both grades."""
    counts = np.zeros((len(GRADES), len(GRADES)), dtype=np.int64)
    for each in reviewed:
        if each.estimated_grade in GRADES and each.reader_grade in GRADES and not each.superseded:
            counts[GRADES.index(each.estimated_grade), GRADES.index(each.reader_grade)] += 1
    table = tuple(tuple(int(n) for n in row) for row in counts)
    found = weighted_kappa(counts)
    if found is None:
        return Agreement(table, None, None)
    kappa, error = found
    return Agreement(table, kappa, (max(-1.0, kappa - _Z_95 * error), min(1.0, kappa + _Z_95 * error)))


def weighted_kappa(counts: NDArray[np.int64]) -> tuple[float, float] | None:
    """Kappa with quadratic weights, and its standard error; None if both raters only ever gave one grade.

    Args:
        counts: ``(grades, grades)``, one rater by rows, the other by columns.
    """
    n, size = int(counts.sum()), len(counts)
    if not n:
        return None
    steps = np.arange(size)
    weights = 1.0 - (steps[:, None] - steps[None, :]) ** 2 / (size - 1) ** 2  # (grades, grades)
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float((weights * p).sum()), float(rows @ weights @ columns)
    if math.isclose(chance, 1.0):
        return None
    kappa = (observed - chance) / (1.0 - chance)
    by_row, by_column = weights @ columns, rows @ weights  # mean weight of each grade, (grades,)
    inner = weights * (1.0 - chance) - (by_row[:, None] + by_column[None, :]) * (1.0 - observed)
    spread = float((p * inner**2).sum()) - (observed * chance - 2.0 * chance + observed) ** 2
    return kappa, math.sqrt(max(0.0, spread) / n) / (1.0 - chance) ** 2
