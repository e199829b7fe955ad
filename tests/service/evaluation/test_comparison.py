"""Sets that come back, edited in known ways: what is matched by what, measured, and named when it is not."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from service.config.evaluation_section import EvaluationSection
from service.dicom.structure_set_reader import read_structure_set
from service.evaluation.comparison import Compared, compare_sets, is_as_it_was

STRUCTURES = ["External", "Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R", "Spine", "Uterus"]


def by(shift_lps_mm: list[float]):
    return lambda points: points + np.array(shift_lps_mm)


@pytest.fixture
def compare(our_ct):
    def run(edited, **rules: object) -> dict[str, Compared]:
        theirs = read_structure_set(edited.encoded())
        section = EvaluationSection.model_validate(rules)
        found = compare_sets(read_structure_set(our_ct.encoded), theirs, our_ct.geometry, section)
        assert [each.structure for each in found] == STRUCTURES
        assert {each.code is None or bool(each.sentence) for each in found} == {True}
        return {each.structure: each for each in found}

    return run


def test_an_approved_set_as_it_was_is_untouched(compare, our_ct):
    found = compare(our_ct.edited())
    for each in found.values():
        assert (each.code, each.matched_by, each.their_name) == (None, "name", each.structure)
        assert each.measures["dsc"] == 1.0
        assert each.measures["contours_untouched"] == 1.0
        assert each.estimated_grade == "acceptable"
        assert each.model == "pelvis-ct@1.0"


def test_numbers_written_anew_in_micrometres_are_untouched(compare, our_ct):
    rng = np.random.default_rng(3)

    def rewritten(points):
        return np.roll(points + rng.uniform(-0.05, 0.05, (1, 3)) * [1, 1, 0], 1, axis=0)

    found = compare(our_ct.edited().move_points("Bladder", rewritten))
    assert found["Bladder"].measures["contours_untouched"] == 1.0


def test_edits_of_one_structure_are_its_own(compare, our_ct):
    edited = our_ct.edited().trim("Bladder", superior=1, inferior=2)
    edited.move_points("Rectum", by([0.0, 3.6, 0.0]))  # three rows of 1.2 mm
    found = compare(edited)
    assert found["Bladder"].measures["slices_removed_superior"] == 1.0
    assert found["Bladder"].measures["slices_removed_inferior"] == 2.0
    assert found["Rectum"].measures["centroid_shift_mm"] == pytest.approx(3.6)
    assert found["Rectum"].measures["volume_cm3"] == pytest.approx(
        found["Rectum"].measures["reviewed_volume_cm3"]
    )
    assert found["Rectum"].measures["contours_untouched"] == 0.0
    assert {found[name].measures["dsc"] for name in STRUCTURES if name not in ("Bladder", "Rectum")} == {1.0}


@pytest.mark.parametrize("name", ["bladder", "BLADDER ", "Blad_der", "blad-der"])
def test_a_name_is_the_same_without_case_blanks_and_punctuation(compare, our_ct, name):
    found = compare(our_ct.edited().renumber().without_codes().rename("Bladder", name))["Bladder"]
    assert (found.matched_by, found.code) == ("name", None)


def test_a_renamed_roi_with_our_number_is_measured_and_named(compare, our_ct):
    found = compare(our_ct.edited().without_codes().rename("Bladder", "Blase"))["Bladder"]
    assert (found.matched_by, found.code, found.their_name) == ("number", "review.renamed", "Blase")
    assert found.measures["dsc"] == 1.0


def test_a_set_that_names_ours_as_its_predecessor_has_our_numbers(compare, our_ct):
    edited = our_ct.edited().without_codes()
    before, item = edited.ds.file_meta, Dataset()
    item.ReferencedSOPClassUID = before.MediaStorageSOPClassUID
    item.ReferencedSOPInstanceUID = before.MediaStorageSOPInstanceUID
    edited.ds.PredecessorStructureSetSequence = [item]
    for name in STRUCTURES:
        edited.rename(name, f"x{name[::-1]}")
    assert {each.matched_by for each in compare(edited).values()} == {"uid"}


def test_numbers_of_another_count_are_no_evidence(compare, our_ct):
    """Their number 2 is our number 2 by chance: nothing else of the set keeps our numbers."""
    edited = (
        our_ct.edited().without_codes().renumber(2).rename("Bladder", "Blase").rename("Rectum", "Mastdarm")
    )
    found = compare(edited)
    assert found["Bladder"].matched_by is None
    assert found["Rectum"].matched_by is None


def test_a_code_says_what_an_roi_is_and_its_side(compare, our_ct):
    edited = our_ct.edited().renumber()
    for name in ("Femur_Head_L", "Femur_Head_R", "Bladder"):
        edited.rename(name, f"ROI {name[-1]}")
    found = compare(edited)
    for name, theirs in (("Femur_Head_L", "ROI L"), ("Femur_Head_R", "ROI R"), ("Bladder", "ROI r")):
        assert (found[name].matched_by, found[name].their_name) == ("code", theirs)
        assert found[name].code == "review.renamed"


def test_a_synonym_of_the_configuration_is_no_mismatch(compare, our_ct):
    edited = our_ct.edited().renumber().without_codes().rename("Bladder", "Harn-Blase")
    found = compare(edited, synonyms={"Bladder": ["harnblase"]})["Bladder"]
    assert (found.matched_by, found.code, found.their_name) == ("synonym", None, "Harn-Blase")


def test_an_roi_that_is_called_another_structure_is_not_taken_by_its_number(compare, our_ct):
    edited = our_ct.edited().without_codes().delete("Bladder").rename("Rectum", "Bladder")
    found = compare(edited)
    assert found["Bladder"].matched_by == "name"
    assert found["Rectum"].matched_by is None


def test_a_renamed_roi_without_any_other_evidence_is_pointed_out_and_not_measured(compare, our_ct):
    found = compare(our_ct.edited().renumber().without_codes().rename("Bladder", "Blase"))["Bladder"]
    assert (found.code, found.their_name, found.matched_by) == ("review.renamed", "Blase", None)
    assert found.measures == {}
    assert "evaluation.synonyms" in found.sentence
    assert found.estimated_grade is None


def test_a_deleted_roi_and_an_emptied_one(compare, our_ct):
    found = compare(our_ct.edited().delete("Bladder").set_contours("Rectum", []))
    assert (found["Bladder"].code, found["Bladder"].measures) == ("review.absent", {})
    assert (found["Rectum"].code, found["Rectum"].their_name) == ("review.empty", "Rectum")


def test_a_structure_in_two_parts_was_split(compare, our_ct):
    edited = our_ct.edited()
    contours = sorted(edited.contours("Bladder"), key=lambda item: float(item.ContourData[2]))
    half = len(contours) // 2
    edited.delete("Bladder").add("B low", contours[:half]).add("B high", contours[half:])
    found = compare(edited)["Bladder"]
    assert (found.code, found.their_name) == ("review.split", "B high + B low")


def test_two_structures_in_one_roi_were_merged_under_a_new_name_or_under_that_of_one(compare, our_ct):
    edited = our_ct.edited()
    both = edited.contours("Femur_Head_L") + edited.contours("Femur_Head_R")
    new = our_ct.edited().delete("Femur_Head_L").delete("Femur_Head_R").add("Femora", both)
    old = our_ct.edited().delete("Femur_Head_R").set_contours("Femur_Head_L", both)
    for edited, name in ((new, "Femora"), (old, "Femur_Head_L")):
        found = compare(edited)
        for side in ("Femur_Head_L", "Femur_Head_R"):
            assert (found[side].code, found[side].their_name, found[side].measures) == (
                "review.merged",
                name,
                {},
            )
        assert found["External"].code is None


def test_contours_on_other_planes_are_named_and_not_measured(compare, our_ct):
    """Drawn on slices between ours: 1.1 mm higher, without references to our images."""
    edited = our_ct.edited().move_points("Bladder", by([0.0, 0.0, 1.1]))
    for item in edited.contours("Bladder"):
        del item.ContourImageSequence
    found = compare(edited)
    assert (found["Bladder"].code, found["Bladder"].measures) == ("review.resampled", {})
    assert found["Rectum"].code is None


def test_two_rois_of_one_name_are_nobodys_guess(compare, our_ct):
    edited = our_ct.edited()
    edited.add("Bladder", edited.contours("Bladder"))
    assert compare(edited)["Bladder"].code == "review.ambiguous"


def test_left_and_right_exchanged_is_pointed_out_and_measured_as_it_is(compare, our_ct):
    edited = our_ct.edited()
    edited.rename("Femur_Head_L", "a").rename("Femur_Head_R", "Femur_Head_L").rename("a", "Femur_Head_R")
    found = compare(edited.without_codes())
    for side, other in ("LR", "RL"):
        of = found[f"Femur_Head_{side}"]
        assert (of.code, of.their_name) == ("review.swapped", f"Femur_Head_{side}")
        assert of.measures["dsc"] == 0.0
        assert of.estimated_grade == "not-acceptable"
        assert f"Femur_Head_{other}" in of.sentence
    assert found["Bladder"].code is None
    moved = our_ct.edited().move_points("Femur_Head_L", by([0.0, 0.0, 0.0])).rename("Femur_Head_R", "other")
    assert "review.swapped" not in {each.code for each in compare(moved).values()}


def test_tolerances_and_grades_are_those_of_the_configuration(compare, our_ct):
    edited = our_ct.edited().move_points("Bladder", by([0.0, 2.4, 0.0]))
    edited.move_points("Rectum", by([0.0, 2.4, 0.0]))
    rules = {"tolerance_mm": 0.1, "tolerances_mm": {"Bladder": 5.0}}
    found = compare(edited, **rules)
    assert found["Bladder"].measures["surface_dsc"] == 1.0
    assert found["Rectum"].measures["surface_dsc"] < 0.6
    assert (found["Bladder"].estimated_grade, found["Rectum"].estimated_grade) == (
        "acceptable",
        "not-acceptable",
    )


def test_our_own_set_is_known_by_its_drawing_and_that_nobody_approved_it(our_ct):
    ours = read_structure_set(our_ct.encoded)

    def returned(approval: str = "UNAPPROVED"):
        return our_ct.edited(approval=approval)

    assert is_as_it_was(ours, read_structure_set(returned().encoded()))
    for edited in (
        returned("APPROVED"),
        returned().rename("Bladder", "B"),
        returned().delete("Bladder"),
        returned().trim("Bladder", superior=1),
        returned().move_points("Bladder", by([0.01, 0.0, 0.0])),
    ):
        assert not is_as_it_was(ours, read_structure_set(edited.encoded()))
