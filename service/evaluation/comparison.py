"""One structure set of ours against one that came back: every structure measured, or said why it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from service.backlog.review_records import MatchedBy, SliceMeasures
from service.dicom.ct_geometry import CtGeometry
from service.dicom.structure_set_reader import StructureSet
from service.evaluation import mismatches
from service.evaluation.grading import estimated_grade
from service.evaluation.matching import Matching, Pair, match
from service.evaluation.measures import Tolerances, measure
from service.evaluation.mismatches import Mismatch, Unmatched
from service.evaluation.rois import DrawnRoi, OurStructure, drawn_rois, our_structures, reading

if TYPE_CHECKING:
    from service.config.evaluation_section import EvaluationSection

_RENAMED = "The ROI has another name and our number or code. If that is meant, add it to evaluation.synonyms."


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of one structure; see :class:`service.backlog.review_records.ReviewedStructure`."""

    structure: str
    model: str
    their_name: str | None
    matched_by: MatchedBy | None
    code: str | None
    sentence: str | None
    measures: dict[str, float]
    slices: tuple[SliceMeasures, ...]
    estimated_grade: str | None


def compare_sets(
    ours: StructureSet, theirs: StructureSet, geometry: CtGeometry, rules: EvaluationSection
) -> list[Compared]:
    """Compare every structure of ours, in the order of our set.

    Args:
        ours, theirs: on the same CT, in the same frame of reference.
        geometry: of the CT.
        rules: synonyms, tolerances and limits of the grades.
    """
    structures = our_structures(ours, geometry)
    rois = list(drawn_rois(theirs, geometry))
    found = match(structures, rois, rules.synonyms, follows_ours=_follows(theirs, ours))
    explained = _explained(structures, found, geometry)
    compared = [
        _unmeasured(each, explained[each.structure], found.pairs.get(each.structure))
        if each.structure in explained
        else _measured(each, found.pairs[each.structure], geometry, rules)
        for each in structures
    ]
    apart = {each.structure for each in compared if each.measures.get("dsc") == 0.0}
    pairs = {
        our.structure: (our, found.pairs[our.structure].roi) for our in structures if our.structure in apart
    }
    swapped = mismatches.swapped(pairs, geometry.grid)
    return [_pointed_out(each, swapped.get(each.structure)) for each in compared]


def sop_instance_uid(of: StructureSet) -> str:
    """Its SOP Instance UID."""
    with reading():
        return str(of.header.get("SOPInstanceUID") or "")


def predecessors(of: StructureSet) -> list[str]:
    """SOP Instance UIDs of the sets that it says came before it."""
    with reading():
        before = of.header.get("PredecessorStructureSetSequence", [])
        return [str(item.get("ReferencedSOPInstanceUID")) for item in before]


def is_of_another_patient(ours: StructureSet, theirs: StructureSet) -> bool:
    """Whether both have a Patient ID, and not the same."""
    with reading():
        one, other = (str(each.header.get("PatientID") or "").strip() for each in (ours, theirs))
    return bool(one and other) and one != other


def is_as_it_was(ours: StructureSet, theirs: StructureSet) -> bool:
    """Whether nobody approved or changed our own set: its ROIs have the same names, numbers and points."""
    same = ours.approval_status == theirs.approval_status and len(ours.rois) == len(theirs.rois)
    return same and all(
        (a.number, a.name, len(a.contours)) == (b.number, b.name, len(b.contours))
        and all(
            one.points_lps_mm.shape == other.points_lps_mm.shape
            and (one.points_lps_mm == other.points_lps_mm).all()
            for one, other in zip(a.contours, b.contours, strict=True)
        )
        for a, b in zip(ours.rois, theirs.rois, strict=True)
    )


def _follows(theirs: StructureSet, ours: StructureSet) -> bool:
    return sop_instance_uid(ours) in (sop_instance_uid(theirs), *predecessors(theirs))


def _explained(
    structures: Sequence[OurStructure], found: Matching, geometry: CtGeometry
) -> dict[str, Mismatch]:
    """Why structures are not measured, by structure."""
    missing = [
        each
        for each in structures
        if each.structure not in found.pairs and each.structure not in found.ambiguous
    ]
    explained = {structure: mismatches.ambiguous() for structure in found.ambiguous}
    explained |= {name: why for name, pair in found.pairs.items() if (why := _unusable(pair.roi))}
    if missing:
        matched = {name: pair.roi for name, pair in found.pairs.items() if name not in explained}
        rest = Unmatched(structures, missing, matched, found.left, geometry.grid).explained()
        explained = rest | explained
    return explained


def _unusable(roi: DrawnRoi) -> Mismatch | None:
    if roi.is_resampled:
        return mismatches.resampled(roi)
    return None if roi.slices.polygons else mismatches.emptied(roi)


def _pointed_out(of: Compared, why: Mismatch | None) -> Compared:
    """What was measured stays: if the sides are wrong in our set, it is what the charts must show."""
    return of if why is None else replace(of, code=why.code, sentence=why.sentence)


def _unmeasured(our: OurStructure, why: Mismatch, pair: Pair | None) -> Compared:
    return Compared(
        structure=our.structure,
        model=our.model,
        their_name=why.their_name,
        matched_by=None if pair is None else pair.matched_by,
        code=why.code,
        sentence=why.sentence,
        measures={},
        slices=(),
        estimated_grade=None,
    )


def _measured(our: OurStructure, pair: Pair, geometry: CtGeometry, rules: EvaluationSection) -> Compared:
    tolerance_mm = rules.tolerances_mm.get(our.structure, rules.tolerance_mm)
    tolerances = Tolerances(tolerance_mm, rules.untouched_mm)
    found = measure(our.roi.slices.polygons, pair.roi.slices.polygons, geometry.grid, tolerances)
    return Compared(
        structure=our.structure,
        model=our.model,
        their_name=pair.roi.name,
        matched_by=pair.matched_by,
        code="review.renamed" if pair.renamed else None,
        sentence=_RENAMED if pair.renamed else None,
        measures=found.measures,
        slices=found.slices,
        estimated_grade=estimated_grade(found.measures, rules.grades),
    )
