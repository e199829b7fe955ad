"""Which ROI of a reviewer's set is which structure of ours; by evidence, and never by what looks alike.

In order: the same name; the same number, where the set keeps our numbers; the same code; a synonym of the
configuration. An ROI stands for one structure, and what stands for one already is not taken for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from service.backlog.review_records import MatchedBy
from service.evaluation.rois import DrawnRoi, OurStructure, folded


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """A structure of ours and the ROI that is it now; ``renamed``: by a name that nobody said is the same."""

    roi: DrawnRoi
    matched_by: MatchedBy
    renamed: bool


@dataclass(slots=True, repr=False)
class Matching:
    """What was found.

    Attributes:
        pairs: by structure.
        ambiguous: structures for which several ROIs stand equally well.
        left: ROIs of theirs that stand for none of ours.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)
    left: list[DrawnRoi] = field(default_factory=list)


def match(
    ours: Sequence[OurStructure],
    theirs: Sequence[DrawnRoi],
    synonyms: Mapping[str, Sequence[str]],
    *,
    follows_ours: bool,
) -> Matching:
    """Find each structure of ours among the ROIs of a reviewer's set.

    Args:
        synonyms: further names, by structure.
        follows_ours: the set has our SOP Instance UID or says that ours came before it, so that its ROI
            numbers are ours.
    """
    found = Matching(left=list(theirs))
    known_as = {each.structure: _names_of(each, synonyms) for each in ours}

    def same(our: OurStructure, roi: DrawnRoi) -> bool:
        return bool(_own_names(our) & {folded(roi.name), folded(roi.label)})

    take = partial(_take, found, ours, known_as)
    take("name", lambda our, roi: roi.name in (our.roi.name, our.structure))
    take("name", same)
    if follows_ours or _keeps_numbers(found, ours):
        by: MatchedBy = "uid" if follows_ours else "number"

        def same_number(our: OurStructure, roi: DrawnRoi) -> bool:
            others = (names for structure, names in known_as.items() if structure != our.structure)
            return roi.number == our.roi.number and not any(folded(roi.name) in names for names in others)

        take(by, same_number)
    take("code", lambda our, roi: our.roi.code is not None and our.roi.code == roi.code)
    take("synonym", lambda our, roi: folded(roi.name) in known_as[our.structure])
    return found


def _take(
    found: Matching,
    ours: Sequence[OurStructure],
    known_as: Mapping[str, set[str]],
    by: MatchedBy,
    fits: Callable[[OurStructure, DrawnRoi], bool],
) -> None:
    """Pair what fits just one of the other side; what fits several is left to nobody's guess."""
    open_ours = [
        each for each in ours if each.structure not in found.pairs and each.structure not in found.ambiguous
    ]
    fitting = {each.structure: [roi for roi in found.left if fits(each, roi)] for each in open_ours}
    wanted = [roi.number for rois in fitting.values() for roi in rois]
    for structure, rois in fitting.items():
        if len(rois) == 1 and wanted.count(rois[0].number) == 1:
            found.pairs[structure] = Pair(rois[0], by, folded(rois[0].name) not in known_as[structure])
            found.left.remove(rois[0])
        elif rois and by != "code":  # several parts of one organ may well have its code
            found.ambiguous.append(structure)


def _keeps_numbers(found: Matching, ours: Sequence[OurStructure]) -> bool:
    """Whether every ROI that has one of our names has the number too, and there are two of them at least."""
    kept = [
        found.pairs[each.structure].roi.number == each.roi.number
        for each in ours
        if each.structure in found.pairs
    ]
    return len(kept) > 1 and all(kept)


def _own_names(our: OurStructure) -> set[str]:
    return {folded(our.roi.name), folded(our.structure)} - {""}


def _names_of(our: OurStructure, synonyms: Mapping[str, Sequence[str]]) -> set[str]:
    return _own_names(our) | {folded(name) for name in synonyms.get(our.structure, ())} - {""}
