"""Two models on the same cases, case by case: an old one and one that may follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from models.evaluation.comparison.tables import ComparisonTable
from models.evaluation.evaluation import CaseResult, Evaluation
from models.evaluation.pictures import new_figure, save_figure
from models.evaluation.report import number

PICTURE: Final = "old-and-new.png"
_METRIC: Final = "DSC"
_ALIKE: Final = 0.005  # of a DSC: less is not told from how a contour falls between voxels
_FEWEST_PATIENTS: Final = 5  # for an interval
_DRAWS: Final = 2000
_SEED: Final = 1
_BETTER, _WORSE, _ALIKE_COLOR = "#2a9d5c", "#c0392b", "#888888"
_COLUMNS: Final = 5


@dataclass(frozen=True, slots=True)
class PairedStructure:
    """One structure in the cases in which both models have the DSC, in the order of their names.

    Attributes:
        structure: its name.
        patients: of each case.
        old, new: the DSC of each case.
        hd95_mm: medians of both over the cases in which both have it; None if there is none.
    """

    structure: str
    patients: tuple[str, ...]
    old: tuple[float, ...]
    new: tuple[float, ...]
    hd95_mm: tuple[float, float] | None

    @property
    def differences(self) -> tuple[float, ...]:
        """New less old."""
        return tuple(b - a for a, b in zip(self.old, self.new, strict=True))

    def interval(self) -> tuple[float, float] | None:
        """95 % of the mean difference, by drawing patients anew; None for fewer than five of them."""
        by_patient: dict[str, list[float]] = {}
        for patient, difference in zip(self.patients, self.differences, strict=True):
            by_patient.setdefault(patient, []).append(difference)
        if len(by_patient) < _FEWEST_PATIENTS:
            return None
        sums = np.array([sum(each) for each in by_patient.values()])
        counts = np.array([len(each) for each in by_patient.values()])
        drawn = np.random.default_rng(_SEED).integers(len(sums), size=(_DRAWS, len(sums)))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        low, high = np.percentile(means, (2.5, 97.5))
        return float(low), float(high)


def paired(old: Evaluation, new: Evaluation) -> list[PairedStructure]:
    """The structures that both offer, in the old one's order; nothing if they were measured on other data."""
    if _ground(old) != _ground(new):
        return []
    cases = _both_answered(old, new)
    shared = [name for name in old.setting.structures if name in new.setting.structures]
    found = [_of_structure(name, cases) for name in shared]
    return [each for each in found if each.old]


def _ground(evaluation: Evaluation) -> tuple[object, ...]:
    setting = evaluation.setting
    return setting.data_fingerprint, setting.part, setting.tolerance_mm


def _both_answered(old: Evaluation, new: Evaluation) -> list[tuple[CaseResult, CaseResult]]:
    by_name: Mapping[str, CaseResult] = {case.name: case for case in new.answered}
    return [(case, by_name[case.name]) for case in old.answered if case.name in by_name]


def _of_structure(name: str, cases: Sequence[tuple[CaseResult, CaseResult]]) -> PairedStructure:
    both = [(a, b) for a, b in cases if name in a.figures and name in b.figures]
    with_dsc = [(a, b) for a, b in both if all(_METRIC in each.figures[name].values for each in (a, b))]
    with_hd95 = [(a, b) for a, b in both if all("HD95_mm" in each.figures[name].values for each in (a, b))]
    distances = [[each.figures[name].values["HD95_mm"] for each in pair] for pair in with_hd95]
    return PairedStructure(
        structure=name,
        patients=tuple(a.patient for a, _ in with_dsc),
        old=tuple(a.figures[name].values[_METRIC] for a, _ in with_dsc),
        new=tuple(b.figures[name].values[_METRIC] for _, b in with_dsc),
        hd95_mm=(median(each[0] for each in distances), median(each[1] for each in distances))
        if distances
        else None,
    )


def paired_table(old: str, new: str, pairs: Sequence[PairedStructure]) -> ComparisonTable:
    """A line for each structure: medians, mean difference, its interval, how often the new one is better."""
    head = (
        "structure", "cases", f"DSC {old}", f"DSC {new}", "mean difference", "95 % interval", "better",
        "worse", "HD95 mm, old", "HD95 mm, new",
    )  # fmt: skip
    title = f"{new} after {old}, case by case (medians; better or worse by .005 and more)"
    return ComparisonTable(title, head, tuple(_line(each) for each in pairs))


def _line(each: PairedStructure) -> tuple[str, ...]:
    interval, differences = each.interval(), each.differences
    distances = ("", "") if each.hd95_mm is None else each.hd95_mm
    return (
        each.structure,
        str(len(differences)),
        number(_METRIC, median(each.old)),
        number(_METRIC, median(each.new)),
        f"{sum(differences) / len(differences):+.3f}",
        "-" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}",
        str(sum(difference >= _ALIKE for difference in differences)),
        str(sum(difference <= -_ALIKE for difference in differences)),
        *("" if isinstance(value, str) else number("HD95_mm", value) for value in distances),
    )


def draw_pairs(old: str, new: str, pairs: Sequence[PairedStructure], file: Path) -> None:
    """A line for each case from the old model's DSC to the new one's: green better, red worse, grey alike."""
    columns = min(_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = new_figure((2.3 * columns + 0.8, 3.0 * rows + 0.9), "white")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(pairs) :]:
        axis.set_axis_off()
    for axis, each in zip(axes.flat, pairs, strict=False):
        for before, after in zip(each.old, each.new, strict=True):
            change = after - before
            color = _ALIKE_COLOR if abs(change) < _ALIKE else _BETTER if change > 0 else _WORSE
            points = {"marker": "o", "markersize": 3, "linewidth": 1.0, "alpha": 0.8}
            axis.plot((0, 1), (before, after), color=color, **points)
        axis.plot((0, 1), (median(each.old), median(each.new)), color="black", linewidth=2.5)
        axis.set_xticks((0, 1), labels=("old", "new"))
        axis.set_xlim(-0.25, 1.25)
        axis.set_title(f"{each.structure}\nn = {len(each.old)}", fontsize=9)
        axis.grid(axis="y", alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel(_METRIC)
    figure.suptitle(f"old: {old}, new: {new}; black: medians", fontsize=10)
    save_figure(figure, file)
