"""What readers say of contours, in the four grades of the papers, counted as their tables count.

A score sheet is a CSV with the columns ``case``, ``structure``, ``slice`` (empty: the whole structure) and
one that names the scale: ``revision`` (Liu X. table 2, Liu Z. table 2; slice by slice) or ``quality`` (Sartor
table 3; structure by structure). A line whose grade is empty is not scored yet. Scores are people's: nothing
here gives one.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.evaluation.evaluation import Evaluation, EvaluationRefused

SCALES: Final[Mapping[str, tuple[str, ...]]] = {
    "revision": ("acceptable", "minor revision", "major revision", "not acceptable"),
    "quality": ("excellent", "good", "acceptable", "not acceptable"),
}
SHEET: Final = "score-sheet.csv"
USABLE: Final = SCALES["revision"][:2]
"""Grades of ``revision`` that Liu X. calls clinically acceptable."""


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """How often each grade was given, by structure.

    Attributes:
        scale: key of ``SCALES``.
        counts: by structure, in the order of the evaluation, one for each grade of the scale.
    """

    scale: str
    counts: Mapping[str, tuple[int, ...]]

    @property
    def grades(self) -> tuple[str, ...]:
        """Of the scale, the best first."""
        return SCALES[self.scale]

    def percentages(self, structure: str) -> tuple[float, ...]:
        """Of the structure's scores, by grade."""
        counted = self.counts[structure]
        return tuple(100 * n / sum(counted) for n in counted)

    def usable(self, structure: str) -> float | None:
        """Percentage that is clinically acceptable as Liu X. counts it; None on the other scale."""
        if self.scale != "revision":
            return None
        return sum(self.percentages(structure)[: len(USABLE)])

    def mean_percentages(self) -> tuple[float, ...]:
        """Mean over structures of their percentages, each structure counting alike ("Mean Percentage")."""
        columns = zip(*(self.percentages(name) for name in self.counts), strict=True)
        return tuple(sum(column) / len(self.counts) for column in columns)


def table_of(scores: ReaderScores) -> tuple[list[str], list[list[str]]]:
    """Head and lines as the papers print them: number and percentage of each grade, then the mean."""
    usable = ["clinically acceptable"] if scores.scale == "revision" else []
    lines = []
    for name, counted in scores.counts.items():
        percent = scores.percentages(name)
        cells = [f"{n} ({share:.2f}%)" for n, share in zip(counted, percent, strict=True)]
        lines.append([name, *cells, *(f"{scores.usable(name):.2f}%" for _ in usable)])
    means = scores.mean_percentages()
    total = [f"{sum(means[: len(USABLE)]):.2f}%" for _ in usable]
    lines.append(["mean percentage", *(f"{share:.2f}%" for share in means), *total])
    return ["structure", *scores.grades, *usable], lines


def write_table(scores: ReaderScores, file: Path) -> None:
    """The same as a CSV."""
    head, lines = table_of(scores)
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *lines])


def write_sheet(evaluation: Evaluation, file: Path) -> None:
    """A score sheet to be filled in: a line for each structure that was contoured, the scale ``revision``."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "structure", "slice", "revision"])
        for case in evaluation.cases:
            writer.writerows([case.name, name, "", ""] for name, f in case.figures.items() if f.answer_cm3)


def read_scores(file: Path, evaluation: Evaluation) -> ReaderScores:
    """The scores of a sheet that was filled in.

    Raises:
        EvaluationRefused: ``evaluation.scores``, with the number of the line that is wrong.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refusal(f"The score sheet cannot be read ({type(error).__name__}).") from error
    scale = lines[0][-1] if lines and lines[0][:-1] == ["case", "structure", "slice"] else ""
    if scale not in SCALES:
        raise _refusal(
            f"A score sheet begins with the columns case, structure, slice and one of {', '.join(SCALES)}."
        )
    slices = {case.name: case.slices for case in evaluation.cases}
    counts = {name: [0] * len(SCALES[scale]) for name in evaluation.setting.structures}
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (len(cells) == 4 and not cells[3]):
            continue
        wrong = _wrong(cells, slices, counts, SCALES[scale]) or (
            "scored twice" if tuple(cells[:3]) in seen else ""
        )
        if wrong:
            raise _refusal(f"Line {number} of the score sheet: {wrong}.")
        seen.add(tuple(cells[:3]))
        counts[cells[1]][SCALES[scale].index(cells[3].lower())] += 1
    found = {name: tuple(each) for name, each in counts.items() if any(each)}
    if not found:
        raise _refusal("Nothing in the score sheet is scored yet.")
    return ReaderScores(scale, found)


def _wrong(
    cells: Sequence[str], slices: Mapping[str, int], structures: Mapping[str, object], grades: Sequence[str]
) -> str:
    if len(cells) != 4:
        return f"{len(cells)} cells instead of 4"
    case, structure, where, grade = cells
    if case not in slices:
        return f"there is no case {case}"
    if structure not in structures:
        return f"there is no structure {structure}"
    if where and not (where.isdecimal() and 1 <= int(where) <= slices[case]):
        return f"{where} is none of the slices 1 to {slices[case]}"
    return "" if grade.lower() in grades else f"{grade} is none of {', '.join(grades)}"


def _refusal(sentence: str) -> EvaluationRefused:
    return EvaluationRefused("evaluation.scores", sentence)
