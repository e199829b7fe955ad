"""What ROI names stand for: many languages and scripts, and never a guess at left and right."""

from __future__ import annotations

import pytest

from service.errors import DataRefused
from service.training_data.name_files import SHIPPED, read_name_file
from service.training_data.roi_names import RoiNames, folded


@pytest.fixture(scope="module")
def names() -> RoiNames:
    return RoiNames.read()


@pytest.mark.parametrize(
    ("written", "structure"),
    [
        ("Bladder", "Bladder"),
        ("  URINARY_BLADDER ", "Bladder"),
        ("urinary-bladder", "Bladder"),
        ("Harnblase", "Bladder"),
        ("vessie", "Bladder"),
        ("Vejiga", "Bladder"),
        ("pęcherz moczowy", "Bladder"),
        ("pecherz", "Bladder"),
        ("URINBLÅSA", "Bladder"),
        ("urinblasa", "Bladder"),
        ("Мочевой пузырь", "Bladder"),
        ("膀胱", "Bladder"),
        ("ぼうこう", "Bladder"),
        ("방광", "Bladder"),
        ("المثانة", "Bladder"),
        ("שלפוחית השתן", "Bladder"),
        ("मूत्राशय", "Bladder"),
        ("Ouroδοχος".replace("Ouro", "ουρο"), "Bladder"),
        ("Dünndarm", "Bowel_Small"),
        ("Duenndarm", "Bowel_Small"),
        ("Grêle", "Bowel_Small"),
        ("小肠", "Bowel_Small"),
        ("Bowel Bag", "Bag_Bowel"),
        ("BODY", "External"),
        ("CTV-N", "CTVn"),
        ("CTVN", "CTVn"),
        ("CTV_n", "CTVn"),
        ("CTV LK", "CTVn"),
        ("médula", "SpinalCord"),
        ("脊髄", "SpinalCord"),
        ("Spinal Canal", "SpinalCanal"),
        ("sigma", "Colon_Sigmoid"),
        ("Vertebra_L5", "VB_L5"),
        ("Vertebra_T1", "VB_T01"),
        ("vertebrae_T12", "VB_T12"),
        ("VB_T1", "VB_T01"),
    ],
)
def test_a_name_stands_for_a_structure(names, written, structure):
    assert names.match(written).structure == structure


@pytest.mark.parametrize(
    ("written", "structure"),
    [
        ("Femur_Head_L", "Femur_Head_L"),
        ("femoral head l", "Femur_Head_L"),
        ("FemoralHeadLt", "Femur_Head_L"),
        ("L_FemHead", "Femur_Head_L"),
        ("Lt Femoral Head", "Femur_Head_L"),
        ("FEM HEAD (R)", "Femur_Head_R"),
        ("Femur_Lt_Head", "Femur_Head_L"),
        ("Right_Femoral_Head", "Femur_Head_R"),
        ("Hüftkopf li.", "Femur_Head_L"),
        ("Tête fémorale G", "Femur_Head_L"),
        ("Tete femorale D", "Femur_Head_R"),
        ("Cabeza femoral izquierda", "Femur_Head_L"),
        ("Pulmón I", "Lung_L"),
        ("Testa femorale dx", "Femur_Head_R"),
        ("Polmone sx", "Lung_L"),
        ("caput femoris sin", "Femur_Head_L"),
        ("Caput dx", "Femur_Head_R"),
        ("Lunga V", "Lung_L"),
        ("nyre hø", "Kidney_R"),
        ("головка бедра левая", "Femur_Head_L"),
        ("почка прав", "Kidney_R"),
        ("左股骨头", "Femur_Head_L"),
        ("股骨头_右", "Femur_Head_R"),
        ("右大腿骨頭", "Femur_Head_R"),
        ("좌측 대퇴골두", "Femur_Head_L"),
        ("رأس الفخذ الأيسر", "Femur_Head_L"),
        ("ראש ירך ימין", "Femur_Head_R"),
        ("बायां गुर्दा", "Kidney_L"),
        ("V_Iliac_R", "V_Iliac_R"),
        ("A. iliaca int. sin", "A_Iliac_Int_L"),
        ("iliac_vena_left", "V_Iliac_L"),
    ],
)
def test_a_word_for_a_side_completes_a_name(names, written, structure):
    assert names.match(written).structure == structure


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Femoral Head", "no-side"),
        ("Breast", "no-side"),
        ("股骨头", "no-side"),
        ("Femoral Head L R", "unknown"),
        ("femoralheadl", "unknown"),  # one letter at the end of a word is no side
        ("Bladder_old", "unknown"),
        ("zBladder", "unknown"),
        ("Bladder-PTV", "unknown"),
        ("PTV45", "unknown"),
        ("", "unknown"),
        ("___", "unknown"),
    ],
)
def test_what_is_not_said_is_not_guessed(names, written, why):
    assert (names.match(written).structure, names.match(written).why) == (None, why)


def test_a_plural_is_no_right_one(names):
    """Danish: nyre, kidney; nyrer, kidneys. Italian: rene; reni."""
    assert names.match("nyrer").structure == "Kidneys"
    assert names.match("Lunger").structure == "Lungs"
    assert names.match("reni").structure == "Kidneys"


def test_every_name_of_the_shipped_list_is_found_and_stands_for_one_structure(names):
    """With every word for a side of its language, in front of it and behind it."""
    tried, ambiguous = 0, set()
    for text, structure in every_name():
        match = names.match(text)
        tried += 1
        if match.why == "ambiguous":
            ambiguous.add(text)
        else:
            assert match.structure == structure, text
    assert tried > 3000
    assert ambiguous == {"Femur s", "Lung s", "Kidney s"}, "left in Italian, several in English"


def every_name():
    """Each name of the list, completed by a side where it needs one, and the structure it stands for."""
    content = read_name_file(SHIPPED)
    for stem, structure in content.structures.items():
        for language, synonyms in structure.by_language().items():
            for synonym in (stem, *synonyms):
                if not structure.sides:
                    yield synonym, stem
                    continue
                words = content.languages[language]
                for side, several in (("L", words.left), ("R", words.right)):
                    for word in several:
                        yield f"{synonym} {word}", f"{stem}_{side}"
                        yield f"{word}_{synonym}", f"{stem}_{side}"


def test_a_suggestion_is_for_people_alone(names):
    assert names.match("Bladdder").structure is None
    assert names.suggestion("Bladdder") == "Bladder"
    assert names.suggestion("Femoral Heads") == "Femur_Head_L or Femur_Head_R"
    assert names.suggestion("xyzzy") == ""


def test_names_are_compared_without_case_blanks_and_accents():
    assert folded(" Côlon_Sigmoïde ") == folded("COLON-SIGMOIDE") == "colonsigmoide"
    assert folded("ＢＬＡＤＤＥＲ") == "bladder"
    assert folded("straße") == folded("STRASSE")


def test_a_file_of_ones_own_overrules_the_shipped_list(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        """
structures:
  Bag_Bowel: [Darm]
  Femur_Head_L: [Kopf eins]
  CTVn: {extent: bifurcation to inguinal, minimum_height_mm: 80}
  Applicator:
  Hip_Prosthesis: {sides: true, names: [prothese]}
ignore: [PTV45, Bladder, no]
languages:
  fi: {left: [vn]}
""",
        encoding="utf-8",
    )
    names = RoiNames.read([tmp_path / "mine.yaml"])
    assert names.match("DARM").structure == "Bag_Bowel"
    assert names.match("kopf_eins").structure == "Femur_Head_L"
    assert names.match("applicator").structure == "Applicator"
    assert names.match("Prothese rt").structure == "Hip_Prosthesis_R"
    assert names.match("munuainen vn").structure == "Kidney_L"
    assert names.match("munuainen vas").structure == "Kidney_L"
    assert [names.match(one).why for one in ("PTV 45", "bladder", "NO")] == ["ignored"] * 3
    known = names.known["CTVn"]
    assert (known.extent, known.minimum_height_mm) == ("bifurcation to inguinal", 80)
    assert known.several_parts, "what the file does not say stays as it was"
    assert names.match("CTV nodal").structure == "CTVn"


def test_a_later_file_overrules_an_earlier_one(tmp_path):
    for name, structure in (("a.yaml", "Rectum"), ("b.yaml", "Colon_Sigmoid")):
        (tmp_path / name).write_text(f"structures: {{{structure}: [sigmarektum]}}")
    both = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    assert RoiNames.read(both).match("sigmarektum").structure == "Colon_Sigmoid"
    assert RoiNames.read(both[::-1]).match("sigmarektum").structure == "Rectum"


def test_a_sided_name_of_ones_own_overrules_one_that_needs_no_side(tmp_path):
    (tmp_path / "mine.yaml").write_text("structures: {Ovary: {sides: true, names: [uterus]}}")
    names = RoiNames.read([tmp_path / "mine.yaml"])
    assert names.match("uterus").why == "no-side"
    assert names.match("uterus L").structure == "Ovary_L"


def test_one_name_for_two_structures_of_a_file_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("structures: {Rectum: [darm], Colon: [DARM]}")
    with pytest.raises(DataRefused) as refused:
        RoiNames.read([tmp_path / "mine.yaml"])
    assert refused.value.code == "names.ambiguous"
    assert "Rectum and for Colon" in refused.value.sentence


def test_a_name_in_two_languages_for_two_structures_is_no_match(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        """
languages: {aa: {left: [sinis]}, bb: {left: [sinis]}}
structures:
  Kidney: {sides: true, names: {aa: [tumba]}}
  Lung: {sides: true, names: {bb: [tumba]}}
"""
    )
    names = RoiNames.read([tmp_path / "mine.yaml"])
    assert names.match("tumba sinis").why == "ambiguous"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("structures: {Bladder: {name: [x]}}", "names.invalid", "mine.yaml:1: structures.Bladder.name"),
        ("structures:\n  Bladder: {sides: maybe}", "names.invalid", "mine.yaml:2"),
        ("structures: [Bladder]", "names.invalid", "structures"),
        ("structures:\n  Rectum: [a]\n  Rectum: [b]", "names.invalid", "stands twice"),
        ("structures: {Bladder: [*x]}", "names.invalid", "alias"),
        ("", "names.invalid", "empty"),
        ("structures: {Bladder: ['--']}", "names.invalid", "without a letter"),
        ("structures: {Bladder: {minimum_height_mm: -1}}", "names.invalid", "minimum_height_mm"),
        (b"\xff\xfe\x00", "names.unreadable", "text"),
    ],
)
def test_a_file_with_mistakes_is_refused_with_its_lines(tmp_path, text, code, said):
    file = tmp_path / "mine.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataRefused) as refused:
        RoiNames.read([file])
    assert refused.value.code == code
    assert said in refused.value.sentence
