"""The files of an evaluation: one that is read back, three tables for spreadsheets.

::

    OUT/evaluation.json    everything, to the last digit; what ``delineate compare`` reads
    OUT/figures.csv        a line for each structure of each case
    OUT/cases.csv          a line for each case
    OUT/summary.csv        a line for each structure and metric

A cell is empty where there is no such figure.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Final

import numpy as np

from models.cards.yaml_sections import section
from models.evaluation.evaluation import Evaluation, EvaluationRefused
from models.evaluation.figures import NAMES
from models.evaluation.summary import (
    BACKGROUND,
    Statistics,
    of_case,
    over_cases,
    over_slices,
    over_structures,
    statistics,
)

FILE: Final = "evaluation.json"
FORMAT: Final = "delineate evaluation 1"
_VOLUMES: Final = ("truth_cm3", "answer_cm3")
_UNREADABLE: Final = f"{FILE} in the folder cannot be read as an evaluation. Remove it and evaluate again."


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write the four files; ``evaluation.json`` comes last, so a folder that has it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(
        folder / "figures.csv",
        ["case", "patient", "structure", "found", *_VOLUMES, *NAMES],
        _lines(evaluation),
    )
    head = [
        "case",
        "patient",
        "slices",
        "seconds",
        "mDSC",
        "mHD95_mm",
        "background_DSC",
        "background_HD95_mm",
    ]
    _write_csv(folder / "cases.csv", [*head, "unknown", "refused", "warnings"], _case_lines(evaluation))
    names = [field.name for field in fields(Statistics)]
    _write_csv(folder / "summary.csv", ["structure", "metric", "over", *names], _summary_lines(evaluation))
    content = {"format": FORMAT} | asdict(evaluation)
    unfinished = folder / f"{FILE}.part"
    unfinished.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )
    unfinished.replace(folder / FILE)


def read_evaluation(folder: Path) -> Evaluation:
    """What ``write_evaluation`` wrote.

    Raises:
        EvaluationRefused: ``evaluation.unreadable``.
    """
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.pop("format", None) == FORMAT:
            return section(Evaluation, content, "evaluation")
    except (OSError, ValueError) as error:
        raise EvaluationRefused("evaluation.unreadable", _UNREADABLE) from error
    raise EvaluationRefused("evaluation.unreadable", _UNREADABLE)


def _lines(evaluation: Evaluation) -> Iterable[Sequence[object]]:
    for case in evaluation.cases:
        for structure, each in case.figures.items():
            volumes = (_text(each.truth_cm3), _text(each.answer_cm3))
            values = [_text(each.values.get(name)) for name in NAMES]
            yield case.name, case.patient, structure, each.found, *volumes, *values


def _case_lines(evaluation: Evaluation) -> Iterable[Sequence[object]]:
    for case in evaluation.cases:
        means = of_case(case)
        unknown = [name for name in evaluation.setting.structures if name not in case.figures]
        yield (
            case.name,
            case.patient,
            case.slices,
            _text(case.seconds),
            _text(means["mDSC"]),
            _text(means["mHD95_mm"]),
            _text(case.background.get("DSC")),
            _text(case.background.get("HD95_mm")),
            " ".join(unknown) if case.refused is None else "",
            case.refused or "",
            " ".join(case.warnings),
        )


def _summary_lines(evaluation: Evaluation) -> Iterable[Sequence[object]]:
    for over, table in (("cases", over_cases(evaluation)), ("slices", over_slices(evaluation))):
        for structure, by_metric in table.items():
            for metric, each in by_metric.items():
                yield structure, metric, over, *map(_text, astuple(each))
    for metric in ("DSC", "HD95_mm"):
        behind = [case.background[metric] for case in evaluation.cases if metric in case.background]
        yield BACKGROUND, metric, "cases", *map(_text, astuple(statistics(behind)))
    for name, value in over_structures(evaluation).items():
        yield "all", name, "structures", "", _text(value), *[""] * 6


def _text(value: float | None) -> str:
    """Six digits, enough for any of the figures; nothing where there is none."""
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"


def _write_csv(file: Path, head: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(lines)
