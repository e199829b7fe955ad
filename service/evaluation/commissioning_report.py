"""What a commissioning report says: which models, how many cases, figures with limits, examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from service.backlog.review_records import GRADES
from service.evaluation.agreement import Agreement, agreement_of
from service.evaluation.charted import CHARTED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.volume import FloatArray
    from service.backlog.review_records import ReviewedStructure
    from service.evaluation.quality import StructureChart

PLACES: Final = ("best", "median", "worst")


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """A model version.

    Attributes:
        reference: ``name@version``.
        sha256: of its weights, or program, as verified now; a sentence where that cannot be said.
        validated, validation: as the card has it.
        intended_use: in the card's words.
    """

    reference: str
    sha256: str
    validated: bool
    validation: str
    intended_use: str


@dataclass(frozen=True, slots=True, repr=False)
class CasePicture:
    """The most changed slice of one case, cut to the contours.

    Attributes:
        place: one of ``PLACES``.
        hu: ``(rows, columns)``.
        ours, theirs: contours, each ``(n, 2)``, column and row in the pixels of ``hu``.
        aspect: height of a pixel over its width.
    """

    place: str
    hu: NDArray[np.int16] | NDArray[np.float32]
    ours: Sequence[FloatArray]
    theirs: Sequence[FloatArray]
    aspect: float


@dataclass(frozen=True, slots=True, repr=False)
class StructureUnderTest:
    """A structure under one protocol and model version.

    Attributes:
        chart: all its cases.
        cases: those of the commissioning; all so far as long as that lacks cases.
        examples: the case at each of ``PLACES`` by the charted measure; fewer if there are fewer cases.
        pictures: by place, of those whose files are still there.
    """

    chart: StructureChart
    cases: tuple[ReviewedStructure, ...]
    examples: Mapping[str, ReviewedStructure]
    pictures: Mapping[str, CasePicture]

    @property
    def is_complete(self) -> bool:
        """It has limits."""
        return self.chart.limits is not None

    def figures(self) -> list[tuple[str, int, str, str, str, str]]:
        """Of each measure: label, cases, median, quartiles, and the worst of all."""
        lines = []
        for key, measure in CHARTED.items():
            if values := [each.measures[key] for each in self.cases if key in each.measures]:
                told = [measure.told(float(each)) for each in np.percentile(values, (50, 25, 75))]
                worst = min(values) if measure.higher_is_better else max(values)
                lines.append((measure.label, len(values), *told, measure.told(worst)))
        return lines  # type: ignore[return-value]  # three told values

    def grades(self) -> dict[str, int]:
        """How often each grade was given by a reader, else estimated."""
        counted = Counter(each.reader_grade or each.estimated_grade for each in self.cases)
        return {grade: counted[grade] for grade in GRADES}


@dataclass(frozen=True, slots=True, repr=False)
class CommissioningReport:
    """All of it.

    Attributes:
        node: AE title.
        made: when, for people.
        software, configuration: versions.
        models: those that made the structures.
        structures: in the order of the charts; none of a model in the shadow.
        agreement: of estimated and readers' grades of all cases.
        rule: how limits and alarm are set, in a sentence.
    """

    node: str
    made: str
    software: str
    configuration: str
    models: Sequence[ModelUnderTest]
    structures: Sequence[StructureUnderTest]
    agreement: Agreement
    rule: str


def structures_under_test(
    charts: Sequence[StructureChart],
    picture: Callable[[ReviewedStructure, str], CasePicture | None],
) -> list[StructureUnderTest]:
    """Those whose contours were in use.

    Args:
        charts: of the node.
        picture: draws a case for one of ``PLACES``; None if its files are gone.
    """
    found = []
    for chart in charts:
        if chart.group.is_shadow:
            continue
        inside = [case for case, part in zip(chart.reviewed, chart.in_commissioning, strict=True) if part]
        cases = tuple(inside or chart.reviewed)
        examples = examples_of(chart, cases)
        pictures = {place: picture(case, place) for place, case in examples.items()}
        shown = {place: each for place, each in pictures.items() if each is not None}
        found.append(StructureUnderTest(chart, cases, examples, shown))
    return found


def examples_of(chart: StructureChart, cases: Sequence[ReviewedStructure]) -> dict[str, ReviewedStructure]:
    """The best, the median and the worst case by the charted measure; each case at most once."""
    key = chart.measure.key
    ordered = sorted(
        cases, key=lambda each: (each.measures[key], each.id), reverse=chart.measure.higher_is_better
    )
    numbers = {"best": 0, "worst": len(ordered) - 1, "median": len(ordered) // 2}
    chosen: dict[str, ReviewedStructure] = {}
    for place, number in numbers.items():
        if ordered and ordered[number] not in chosen.values():
            chosen[place] = ordered[number]
    return {place: chosen[place] for place in PLACES if place in chosen}


def agreement_under_test(structures: Sequence[StructureUnderTest]) -> Agreement:
    """Of the cases that the report is about."""
    return agreement_of(case for each in structures for case in each.cases)
