"""The files of a comparison: tables as Markdown, figures as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from models.evaluation.comparison.comparison import ALL, OVER_STRUCTURES, TIMES, Measured, structures_of
from models.evaluation.comparison.tables import ComparisonTable
from models.evaluation.figures import NAMES

_STATISTICS: Final = ("mean", "median", "sd")


def markdown(entries: Sequence[Measured], shown: Iterable[ComparisonTable], notes: Sequence[str]) -> str:
    """Tables with what must be known to read them.

    Args:
        entries: that were compared.
        shown: the tables.
        notes: what every recipe was given, one sentence each.
    """
    said = [*_data(entries), *notes]
    if any(each.entry.published for each in entries):
        said.append(
            "In brackets: what the paper printed, of its own patients. The two cannot be compared figure by "
            "figure."
        )
    parts = ["\n".join(f"- {sentence}" for sentence in said)]
    for table in shown:
        lines = [table.head, tuple("---" for _ in table.head), *table.lines]
        parts.append(f"### {table.title}")
        parts.append("\n".join(f"| {' | '.join(_cell(each) for each in line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _data(entries: Sequence[Measured]) -> list[str]:
    """What was measured on, once where it is the same for all."""
    said = []
    for each in entries:
        setting = each.entry.evaluation.setting
        part = f"{setting.part} part" if setting.part else "all parts"
        cases = len(each.entry.evaluation.cases)
        said.append(
            f"Measured on {cases} cases ({part}) of: {setting.data_source}; fingerprint "
            f"{setting.data_fingerprint[:12]}. Tolerance {setting.tolerance_mm:g} mm."
        )
    return list(dict.fromkeys(said))


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def write_csv(entries: Sequence[Measured], file: Path) -> None:
    """A line for each model, structure and metric, with what the paper printed."""
    metrics = (*NAMES, *OVER_STRUCTURES, *TIMES)
    printed = [f"published_{name}" for name in _STATISTICS]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", "paper", "structure", "metric", *_STATISTICS, *printed])
        for each in entries:
            for structure in (*structures_of([each], published=True), ALL):
                for metric in metrics:
                    figures = [each.value(metric, structure, name) for name in _STATISTICS]
                    figures += [each.published(metric, structure, name) for name in _STATISTICS]
                    if any(value is not None for value in figures):
                        texts = ["" if value is None else f"{value:.6g}" for value in figures]
                        writer.writerow([each.entry.name, each.entry.paper or "", structure, metric, *texts])
