"""From the figures of cases to those of a model: over cases, over slices, over structures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluation.evaluation import CaseResult, Evaluation
from models.evaluation.figures import FOUND, NAMES

BACKGROUND: Final = "background"


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of ``n`` values; not a number where there are none, or for ``sd`` fewer than two.

    ``sd`` divides by n - 1. Quartiles and median are linear between ranks.
    """

    n: int
    mean: float
    sd: float
    median: float
    q1: float
    q3: float
    minimum: float
    maximum: float


def statistics(values: Iterable[float]) -> Statistics:
    """Of finite values."""
    all_of_them = np.array(list(values), dtype=float)
    if not len(all_of_them):
        return Statistics(0, *[float("nan")] * 7)
    sd = float(all_of_them.std(ddof=1)) if len(all_of_them) > 1 else float("nan")
    low, q1, median, q3, high = (float(v) for v in np.percentile(all_of_them, [0, 25, 50, 75, 100]))
    return Statistics(len(all_of_them), float(all_of_them.mean()), sd, median, q1, q3, low, high)


def over_cases(evaluation: Evaluation) -> Mapping[str, Mapping[str, Statistics]]:
    """Statistics by structure and metric, over the cases in which the metric is defined."""
    return {
        structure: {metric: statistics(values_of(evaluation, structure, metric)) for metric in NAMES}
        for structure in evaluation.setting.structures
    }


def values_of(evaluation: Evaluation, structure: str, metric: str) -> list[float]:
    """The values of a metric, in the order of the cases; cases in which it is not defined are left out."""
    figures = (case.figures[structure] for case in evaluation.cases if structure in case.figures)
    return [each.values[metric] for each in figures if metric in each.values]


def over_slices(evaluation: Evaluation) -> Mapping[str, Mapping[str, Statistics]]:
    """``DSC_slices`` and ``HD95_slices_mm`` with the slices of all cases in one heap, as Liu Z. has them."""
    found: dict[str, dict[str, Statistics]] = {}
    for structure in evaluation.setting.structures:
        figures = [case.figures[structure] for case in evaluation.cases if structure in case.figures]
        found[structure] = {
            "DSC_slices": statistics(value for each in figures for value in each.slice_dsc),
            "HD95_slices_mm": statistics(value for each in figures for value in each.slice_hd95_mm),
        }
    return found


def over_structures(evaluation: Evaluation) -> Mapping[str, float]:
    """Means over structures of their means over cases (Liu X.), without background and with it as one more.

    A structure whose metric is defined in no case is left out. Keys: ``mDSC``, ``mDSC_background``,
    ``mHD95_mm``, ``mHD95_mm_background``.
    """
    found: dict[str, float] = {}
    for metric in ("DSC", "HD95_mm"):
        means = [
            statistics(values_of(evaluation, name, metric)).mean for name in evaluation.setting.structures
        ]
        means = [mean for mean in means if np.isfinite(mean)]
        behind = [case.background[metric] for case in evaluation.cases if metric in case.background]
        found[f"m{metric}"] = statistics(means).mean
        found[f"m{metric}_background"] = (
            statistics([*means, statistics(behind).mean]).mean if behind else float("nan")
        )
    return found


def of_case(case: CaseResult) -> Mapping[str, float]:
    """``mDSC`` and ``mHD95_mm`` of one case, not a number where no structure has the metric."""
    return {
        f"m{metric}": statistics(f.values[metric] for f in case.figures.values() if metric in f.values).mean
        for metric in ("DSC", "HD95_mm")
    }


def counts(evaluation: Evaluation) -> Mapping[str, Mapping[str, int]]:
    """By structure, in how many answered cases it was ``both``, ``missed`` and so on, or ``unknown``."""
    found: dict[str, dict[str, int]] = {}
    for structure in evaluation.setting.structures:
        states = [case.figures[structure].found for case in evaluation.answered if structure in case.figures]
        found[structure] = {str(state): states.count(state) for state in FOUND}
        found[structure]["unknown"] = len(evaluation.answered) - len(states)
    return found


def contouring_times(evaluation: Evaluation) -> Mapping[str, Statistics]:
    """Seconds for each CT, for each structure of a CT, and for each slice; refused cases are left out."""
    timed = [(case.seconds, case.slices) for case in evaluation.cases if case.seconds is not None]
    structures = len(evaluation.setting.structures)
    return {
        "seconds": statistics(seconds for seconds, _ in timed),
        "seconds_per_structure": statistics(seconds / structures for seconds, _ in timed),
        "seconds_per_slice": statistics(seconds / slices for seconds, slices in timed),
    }
