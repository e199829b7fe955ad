from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts

from service.config.protocol import Protocol, Structure
from service.contouring.structure_names import (
    ANATOMY,
    BODY_MODEL,
    KNOWN,
    TARGET,
    Laterality,
    NameRules,
    kept_holes,
    laterality_of,
    roi_name,
    rois_named,
    rois_of,
    structure_named,
    written_names,
)
from service.dicom.character_sets import Repertoire

PROJECT = (
    "Bladder Rectum Bowel_Small Colon Colon_Sigmoid Bag_Bowel Femur_Head_L Femur_Head_R Bone_Pelvic_L "
    "Bone_Pelvic_R Sacrum Spine BoneMarrow SpinalCord SpinalCanal Uterus A_Iliac_L A_Iliac_R V_Iliac_L "
    "V_Iliac_R External CTV CTVn CTVp"
)


def test_every_structure_of_the_project_is_known():
    assert set(PROJECT.split()) <= KNOWN.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_name_is_written_as_it_is(name):
    assert roi_name(name, ()) == name
    assert len(name) <= 16


def codes():
    for structure in KNOWN.values():
        if structure.code is not None:
            yield structure.code
    yield from (ANATOMY, TARGET, BODY_MODEL, Laterality.L.value, Laterality.R.value)


@pytest.mark.parametrize("code", sorted(set(codes()), key=str), ids=lambda code: code.meaning)
def test_codes_are_those_of_the_standards_lists(code):
    meanings = {
        meaning
        for entries in concepts[code.scheme].values()
        for value, (meaning, _) in entries.items()
        if value == code.value
    }
    if code.value == "113276009":  # the lists in pydicom stop at its two parts
        assert code.meaning == "Intestine"
    else:
        assert code.meaning in meanings


def test_left_and_right_are_told_by_the_suffix_and_nothing_else():
    for name, structure in KNOWN.items():
        expected = {"_L": "Left", "_R": "Right"}.get(name[-2:])
        found = structure.laterality
        assert (found and found.value.meaning) == expected
    assert laterality_of("Colon") is None
    assert laterality_of("VB_L") is None  # the lumbar vertebrae
    assert laterality_of("L") is None


def test_both_sides_share_a_code_and_not_a_colour():
    for name, left in KNOWN.items():
        if name.endswith("_L"):
            right = KNOWN[name[:-1] + "R"]
            assert left.code == right.code
            assert left.color != right.color


def test_only_the_body_is_external_and_only_targets_are_ctv():
    assert [n for n, s in KNOWN.items() if s.interpreted_type == "EXTERNAL"] == ["External"]
    assert {n for n, s in KNOWN.items() if s.interpreted_type == "CTV"} == {"CTV", "CTVn", "CTVp"}


def test_an_unknown_structure_gets_the_same_colour_every_time_and_a_type_from_its_name():
    assert structure_named("Lobulus_Novus") == structure_named("Lobulus_Novus")
    assert structure_named("Lobulus_Novus").interpreted_type == "ORGAN"
    assert structure_named("CTVn_4500").interpreted_type == "CTV"
    assert structure_named("Lobulus_Novus").standing == "unchecked"


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        ("gluteus_maximus_left", "gluteus_maximu_L"),
        ("gluteus_maximus_right", "gluteus_maximu_R"),
        ("portal_vein_and_splenic_vein", "portal_vein_and"),
        ("  Blase  links ", "Blase links"),
        ("a\\b", "a b"),
        ("", "ROI"),
    ],
)
def test_long_names_lose_the_end_of_their_stem_and_keep_their_side(wanted, written):
    assert roi_name(wanted, ()) == written


def test_names_that_differ_only_by_case_are_told_apart():
    assert roi_name("BLADDER", {"bladder"}) == "BLADDER~2"
    assert roi_name("BLADDER", {"bladder", "bladder~2"}) == "BLADDER~3"


def test_a_name_told_apart_keeps_its_side():
    second = roi_name("Bone_Pelvic_Up_L", {"bone_pelvic_up_l"})
    assert second == "Bone_Pelvic~2_L"


def test_a_protocol_says_order_colour_name_and_holes():
    rois = rois_of(
        Protocol(
            model="pelvis-ct@2.0",
            structures={
                "Rectum": Structure(name="Rektum", color="#0a141e", holes=True),
                "Bladder": None,
                "Spine": Structure(holes=False),
            },
        )
    )
    assert [roi.structure for roi in rois] == ["Rectum", "Bladder", "Spine"]
    assert [roi.name for roi in rois] == ["Rektum", "Bladder", "Spine"]
    assert rois[0].color == (10, 20, 30)
    assert rois[1].color == KNOWN["Bladder"].color
    assert kept_holes(rois) == {"Rectum"}


def test_names_are_written_as_the_character_set_allows():
    rois = rois_of(
        Protocol(model="pelvis-ct@2.0", structures={"Bladder": Structure(name="Blåsa"), "Rectum": None})
    )
    in_latin = written_names(rois, Repertoire("ISO_IR 100"), NameRules())
    in_ascii = written_names(rois, Repertoire(None), NameRules())
    for_eclipse = written_names(rois, Repertoire("ISO_IR 100"), NameRules(alphabet="ascii"))
    assert in_latin == {"Bladder": "Blåsa", "Rectum": "Rectum"}
    assert in_ascii == for_eclipse == {"Bladder": "Blasa", "Rectum": "Rectum"}


def test_rois_of_a_list_of_names_have_different_names():
    names = [roi.name for roi in rois_named(["gluteus_maximus_left", "gluteus_maximum_left"])]
    assert names == ["gluteus_maximu_L", "gluteus_maxi~2_L"]


def test_names_that_plain_letters_cannot_spell_give_way_to_the_structures_own():
    chinese = {"Bladder": Structure(name="膀胱"), "Femur_Head_L": Structure(name="左股骨头")}
    rois = rois_of(Protocol(model="pelvis-ct@2.0", structures=chinese))
    assert written_names(rois, Repertoire("GB18030"), NameRules()) == {
        "Bladder": "膀胱",
        "Femur_Head_L": "左股骨头",
    }
    for_eclipse = written_names(rois, Repertoire("GB18030"), NameRules(alphabet="ascii"))
    in_ascii = written_names(rois, Repertoire(None), NameRules())
    assert for_eclipse == in_ascii == {"Bladder": "Bladder", "Femur_Head_L": "Femur_Head_L"}
