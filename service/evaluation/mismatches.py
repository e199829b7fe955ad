"""What became of structures that no ROI of a reviewer's set stands for: said in words, and not measured.

Volumes tell the cases apart, and decide nothing more: an ROI that lies where a structure lay is pointed out
to a person and not taken for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from models.volume import Grid
from service.evaluation.measures import overlap
from service.evaluation.rois import DrawnRoi, OurStructure

INSIDE: Final = 0.9
"""So much of a part lies in the whole that it is a part of."""

COVERED: Final = 0.7
"""So much of the whole its parts make up together."""

SAME_DSC: Final = 0.8
"""So alike are an ROI and the structure that it is pointed out for."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a structure was not measured; the name is that of an ROI that a person should look at."""

    code: str
    sentence: str
    their_name: str | None = None


def ambiguous() -> Mismatch:
    """Several ROIs stand for one structure equally well."""
    sentence = "Several ROIs stand for this structure by their names. Give each a name of its own."
    return Mismatch("review.ambiguous", sentence)


def resampled(roi: DrawnRoi) -> Mismatch:
    """The ROI was drawn on other planes."""
    sentence = (
        "The contours lie on other planes than the slices of the CT: they were drawn on, or resampled to, "
        "another image. Export the structure set on the planning CT itself."
    )
    return Mismatch("review.resampled", sentence, roi.name)


def emptied(roi: DrawnRoi) -> Mismatch:
    """The ROI is there and encloses nothing."""
    sentence = "The ROI is in the set and has no contour: the reviewer emptied it, or never filled it."
    return Mismatch("review.empty", sentence, roi.name)


def swapped(apart: Mapping[str, tuple[OurStructure, DrawnRoi]], grid: Grid) -> dict[str, Mismatch]:
    """Of structures whose ROIs lie elsewhere, those that lie in each other's place.

    Args:
        apart: structure and ROI that have no voxel in common, by structure.
        grid: of the CT.
    """
    found: dict[str, Mismatch] = {}
    for one, other in combinations(sorted(apart), 2):
        (our, roi), (our_other, roi_other) = apart[one], apart[other]
        if _is_same(our.roi, roi_other, grid) and _is_same(our_other.roi, roi, grid):
            sentence = (
                f"The ROIs of {one} and {other} lie in each other's place: they were exchanged, in our set "
                "or in this one. Look at both; what was measured counts as it is."
            )
            found |= {one: Mismatch("review.swapped", sentence, roi.name)}
            found |= {other: Mismatch("review.swapped", sentence, roi_other.name)}
    return found


def _is_same(one: DrawnRoi, other: DrawnRoi, grid: Grid) -> bool:
    volume, other_volume, common = overlap(one.slices.polygons, other.slices.polygons, grid)
    return bool(volume + other_volume) and 2 * common / (volume + other_volume) >= SAME_DSC


class Unmatched:
    """Explains the structures that were not found.

    Args:
        ours: all of our structures.
        missing: those of them that no ROI stands for.
        matched: the ROI of each other one, by structure.
        left: ROIs that stand for none.
        grid: of the CT.
    """

    def __init__(
        self,
        ours: Sequence[OurStructure],
        missing: Sequence[OurStructure],
        matched: Mapping[str, DrawnRoi],
        left: Sequence[DrawnRoi],
        grid: Grid,
    ) -> None:
        self._ours = {each.structure: each for each in ours}
        self._missing = missing
        self._matched = {name: roi for name, roi in matched.items() if not roi.is_resampled}
        self._left = [roi for roi in left if roi.slices.polygons and not roi.is_resampled]
        self._grid = grid

    def explained(self) -> dict[str, Mismatch]:
        """By structure: those missing, and those whose ROI has swallowed a missing one."""
        found: dict[str, Mismatch] = {}
        for structure, mismatch in self._merged():
            found.setdefault(structure, mismatch)
        for each in self._missing:
            if each.structure not in found:
                found[each.structure] = self._alone(each)
        return found

    def _alone(self, our: OurStructure) -> Mismatch:
        """Split, renamed, or not there."""
        parts, covered = [], 0.0
        for roi in self._left:
            whole, part, common = self._overlap(our.roi, roi)
            if whole + part and 2 * common / (whole + part) >= SAME_DSC:
                sentence = (
                    f"There is no such ROI in the set; one that nobody said is the same lies there (DSC "
                    f"{2 * common / (whole + part):.2f}). If it is, add its name to evaluation.synonyms."
                )
                return Mismatch("review.renamed", sentence, roi.name)
            if part and common >= INSIDE * part:
                parts.append(roi.name)
                covered += common / whole if whole else 0.0
        if len(parts) > 1 and covered >= COVERED:
            sentence = f"In its place there are {len(parts)} ROIs that each lie in it: it was split."
            return Mismatch("review.split", sentence, " + ".join(sorted(parts)))
        sentence = "The set has no such ROI: it was deleted, renamed, or not exported."
        return Mismatch("review.absent", sentence)

    def _merged(self) -> Iterator[tuple[str, Mismatch]]:
        """Of ROIs that hold several of our structures, and not much else."""
        candidates: list[tuple[str | None, DrawnRoi]] = [(None, roi) for roi in self._left]
        candidates += list(self._matched.items())
        for owner, roi in candidates:
            inside = [each.structure for each in self._missing if self._is_in(each, roi)]
            within = self._side_by_side([*([owner] if owner is not None else []), *inside])
            if not set(inside) & set(within) or len(within) < 2 or not self._make_up(within, roi):
                continue
            names = " and ".join(sorted(within))
            sentence = f"One ROI covers {names}: they were merged, and neither can be compared alone."
            for structure in within:
                yield structure, Mismatch("review.merged", sentence, roi.name)

    def _side_by_side(self, structures: Sequence[str]) -> list[str]:
        """Without those that lay in another one before anybody edited them, as all do in the patient."""

        def is_held(structure: str) -> bool:
            our = self._ours[structure]
            others = (self._ours[each].roi for each in structures if each != structure)
            return any(self._is_in(our, roi) for roi in others)

        return [structure for structure in structures if not is_held(structure)]

    def _is_in(self, our: OurStructure, roi: DrawnRoi) -> bool:
        volume, _, common = self._overlap(our.roi, roi)
        return volume > 0 and common >= INSIDE * volume

    def _make_up(self, structures: Sequence[str], roi: DrawnRoi) -> bool:
        covered = whole = 0.0
        for structure in structures:
            _, whole, common = self._overlap(self._ours[structure].roi, roi)
            covered += common
        return covered >= COVERED * whole

    def _overlap(self, our: DrawnRoi, roi: DrawnRoi) -> tuple[float, float, float]:
        return overlap(our.slices.polygons, roi.slices.polygons, self._grid)
