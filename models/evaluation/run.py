"""``delineate evaluate`` without the command line: a bundle and a data set in, a folder full of figures out.

::

    OUT/report.html, OUT/evaluation.json, OUT/figures.csv, OUT/cases.csv, OUT/summary.csv
    OUT/score-sheet.csv, for readers to fill in; one that is there is left as it is
    OUT/pictures/box-<metric>.png, OUT/pictures/worst-<place>-<structure>-<number>.png
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from models.cards.card import Card
from models.data_sets.data_set import DataSet, Part
from models.evaluation.evaluation import Evaluation, EvaluationRefused, Progress, evaluate, setting_of
from models.evaluation.figures import METRICS
from models.evaluation.files import FILE, write_evaluation
from models.evaluation.pictures import (
    WorstCase,
    WorstCases,
    draw_box_plot,
    draw_worst,
    why_no_pictures,
)
from models.evaluation.reader_scores import SHEET, write_sheet
from models.evaluation.report import write_report
from models.evaluation.summary import values_of
from models.full_disk import disk_errors
from models.predictor import load

REPORT: Final = "report.html"
_PICTURES: Final = "pictures"


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        part: of the data set; None for all cases.
        tolerance_mm: of the surface Dice and the surface overlap.
        worst: how many of the worst cases of each structure are drawn.
        device: ``auto``, ``cpu``, ``cuda``.
    """

    part: Part | None = "test"
    tolerance_mm: float = 2.0
    worst: int = 3
    device: str = "auto"


def run_evaluation(
    card: Card, data: DataSet, folder: Path, options: Options, progress: Progress
) -> Evaluation:
    """Evaluate a bundle and write everything into ``folder``.

    Raises:
        EvaluationRefused: ``evaluation.folder-in-use``, ``evaluation.disk-full``,
            ``evaluation.unwritable``, or as `setting_of`.
        DataSetInvalid: a case cannot be read.
        BundleError: the bundle cannot be used.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).is_file():
        sentence = "The folder holds something else than an earlier evaluation. Give a new one (--out)."
        raise EvaluationRefused("evaluation.folder-in-use", sentence)
    setting = setting_of(card, data, options.part, options.tolerance_mm, options.device)
    worst = WorstCases(options.worst)
    evaluation = evaluate(load(card, options.device), data, setting, watch=worst, progress=progress)
    with disk_errors(EvaluationRefused, "evaluation"):
        shutil.rmtree(folder / _PICTURES, ignore_errors=True)
        write_evaluation(evaluation, folder)
        if not (folder / SHEET).exists():
            write_sheet(evaluation, folder / SHEET)
        boxes = _draw_boxes(evaluation, folder / _PICTURES)
        drawn = _draw_worst_cases(worst, folder / _PICTURES)
        made = {"made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "delineate": version("delineate")}
        write_report(evaluation, boxes, drawn, folder / REPORT, made)
    return evaluation


def _draw_boxes(evaluation: Evaluation, folder: Path) -> Mapping[str, Path]:
    """A box plot of each metric that is defined in some case."""
    found: dict[str, Path] = {}
    if why_no_pictures() is not None:
        return found
    for metric in METRICS:
        values = {name: values_of(evaluation, name, metric.name) for name in evaluation.setting.structures}
        values = {name: each for name, each in values.items() if each}
        if values:
            found[metric.name] = folder / f"box-{metric.name}.png"
            draw_box_plot(values, metric.name, found[metric.name])
    return found


def _draw_worst_cases(worst: WorstCases, folder: Path) -> list[tuple[WorstCase, Path]]:
    found: list[tuple[WorstCase, Path]] = []
    if why_no_pictures() is not None:
        return found
    for place, (structure, cases) in enumerate(worst.cases().items(), start=1):
        simple = re.sub(r"[^A-Za-z0-9_-]", "_", structure)
        for number, case in enumerate(cases, start=1):
            file = folder / f"worst-{place:02}-{simple}-{number}.png"
            draw_worst(case, file)
            found.append((case, file))
    return found
