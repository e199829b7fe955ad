"""A protocol's model and the candidate in its shadow, against what reviewers left of the same CTs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.backlog.review_records import ReviewedStructure

COMPARED: Final = {"dsc": True, "surface_dsc": True, "hd95_mm": False, "added_path_mm": False}
"""The measures that are shown, and whether more of each is better."""
DECIDES: Final = "dsc"
"""The measure by which a case counts as better or worse."""
_ALIKE: Final = 0.005  # of a DSC: less is not told from how a contour falls between voxels


@dataclass(frozen=True, slots=True)
class Pair:
    """One structure of one CT as both contoured it, measured against the same approved contours."""

    model: ReviewedStructure
    candidate: ReviewedStructure


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One structure.

    Attributes:
        structure: TG-263 name.
        cases: on how many CTs both were measured.
        model, candidate: medians over these cases by the keys of ``COMPARED``.
        better, worse: on how many cases the candidate's DSC is larger, or smaller, by .005 and more.
    """

    structure: str
    cases: int
    model: Mapping[str, float]
    candidate: Mapping[str, float]
    better: int
    worse: int


def pairs_of(of_model: Iterable[ReviewedStructure], of_candidate: Iterable[ReviewedStructure]) -> list[Pair]:
    """What both contoured and both were measured on, oldest first.

    Two belong together that stand for one structure in one reviewed set. What could not be measured of either
    has no pair: a candidate must not win by the cases that it leaves out, so these are counted by
    :func:`unpaired`.
    """
    own = {(each.set_id, each.structure): each for each in of_model if each.measures}
    found = [
        Pair(own[each.set_id, each.structure], each)
        for each in of_candidate
        if each.measures and (each.set_id, each.structure) in own
    ]
    return sorted(found, key=lambda pair: (pair.candidate.received_at, pair.candidate.set_id))


def unpaired(of_model: Iterable[ReviewedStructure], pairs: Sequence[Pair]) -> dict[str, int]:
    """By structure, how often the model's was measured and the candidate's was not, or was not there."""
    paired = {(pair.model.set_id, pair.model.structure) for pair in pairs}
    missing: dict[str, int] = {}
    for each in of_model:
        if each.measures and (each.set_id, each.structure) not in paired:
            missing[each.structure] = missing.get(each.structure, 0) + 1
    return missing


def side_by_side(pairs: Sequence[Pair]) -> list[SideBySide]:
    """One line for each structure, by name."""
    names = sorted({pair.model.structure for pair in pairs})
    return [_of_structure(name, [pair for pair in pairs if pair.model.structure == name]) for name in names]


def _of_structure(name: str, pairs: Sequence[Pair]) -> SideBySide:
    differences = [
        pair.candidate.measures[DECIDES] - pair.model.measures[DECIDES]
        for pair in pairs
        if DECIDES in pair.candidate.measures and DECIDES in pair.model.measures
    ]
    return SideBySide(
        structure=name,
        cases=len(pairs),
        model=_medians([pair.model for pair in pairs]),
        candidate=_medians([pair.candidate for pair in pairs]),
        better=sum(each >= _ALIKE for each in differences),
        worse=sum(each <= -_ALIKE for each in differences),
    )


def _medians(rows: Sequence[ReviewedStructure]) -> dict[str, float]:
    found = {}
    for key in COMPARED:
        values = [row.measures[key] for row in rows if key in row.measures]
        if values:
            found[key] = median(values)
    return found
