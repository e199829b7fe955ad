"""What a criterion matches, entry by entry."""

from __future__ import annotations

import pytest

from service.config.criteria import CriterionInvalid, check_keyword, compile_criterion
from service.config.route_section import Presence

ABSENT, PRESENT = Presence(absent=True), Presence(absent=False)


@pytest.mark.parametrize(
    ("written", "values", "matches"),
    [
        ("CT", ["CT"], True),
        ("ct", [" CT "], True),
        ("CT", ["CTA"], False),
        ("*pelvis*", ["CT PELVIS native"], True),
        ("*pelvis*", ["Thorax"], False),
        ("Series ?", ["series 4"], True),
        ("Series ?", ["Series 44"], False),
        ("*(a.b)*", ["x (a.b) y"], True),
        ("a.b", ["axb"], False),
        ("*\u00fcber*", ["U\u0308BER alles"], True),  # composed and decomposed letters are one
        ("*pelvis*", ["two\nlines of pelvis"], True),
        (["LOCALIZER", "CBCT"], ["ORIGINAL", "PRIMARY", "LOCALIZER"], True),
        (["LOCALIZER", "CBCT"], ["ORIGINAL", "PRIMARY", "AXIAL"], False),
        ("!*phantom*", ["Pelvis"], True),
        ("!*phantom*", ["QA Phantom"], False),
        ("! *phantom*", ["QA Phantom"], False),
        ("!LOCALIZER", ["ORIGINAL", "LOCALIZER"], False),  # none of the values may be it
        (["*pelvis*", "!*phantom*"], ["pelvis"], True),
        (["*pelvis*", "!*phantom*"], ["pelvis phantom"], False),
        (["!*phantom*", "!*QA*"], ["daily QA"], False),
        (["!*phantom*", "!*QA*"], ["pelvis"], True),
        ("*", ["anything"], True),
        ("CT", [], False),
        ("*", [], False),
        ("!*phantom*", [], False),
        (ABSENT, [], True),
        (ABSENT, ["CT"], False),
        (PRESENT, [], False),
        (PRESENT, ["CT"], True),
        (["*pelvis*", ABSENT], [], True),
        (["*pelvis*", ABSENT], ["pelvis"], True),
        (["*pelvis*", ABSENT], ["thorax"], False),
        ([ABSENT, "!*phantom*"], ["phantom"], False),
        ([ABSENT, "!*phantom*"], ["pelvis"], True),
        (2026, ["2026"], True),
        ("00123", ["123"], False),
    ],
)
def test_texts(written, values, matches):
    assert compile_criterion("StudyDescription", written).matches(values) is matches


@pytest.mark.parametrize(
    ("written", "values", "matches"),
    [
        ("<=5", ["5"], True),
        ("<=5", ["5.0"], True),
        ("<=5", ["5.1"], False),
        ("<5", ["5"], False),
        (">=1", ["1"], True),
        ("> 1", ["1"], False),
        ("2..5", ["2"], True),
        ("2..5", ["5"], True),
        ("2 .. 5", ["1.99"], False),
        ("-1..1", ["0"], True),
        ("3", ["3.000"], True),
        (3, ["3.0"], True),
        (2.5, ["2.50"], True),
        ("!<=5", ["6"], True),
        ("!<=5", ["5"], False),
        (["1", "2..3"], ["2.5"], True),
        ("<=5", [], False),
        ("*", ["7"], True),
        ("<=5", ["n/a"], False),
        ("!<=5", ["n/a"], False),  # what is no number is not a number above 5 either
        ("<=5", ["nan"], False),
        (">=1", ["inf"], False),
    ],
)
def test_numbers(written, values, matches):
    assert compile_criterion("SliceThickness", written).matches(values) is matches


@pytest.mark.parametrize("written", ["", "  ", "!", "! "])
def test_an_empty_text_points_to_absent(written):
    with pytest.raises(CriterionInvalid, match=r"\{absent: true\}"):
        compile_criterion("StudyDescription", written)


@pytest.mark.parametrize("written", ["five", "<=", "5..2", "<=5mm", "2-5", "=5", "2*", "1e3"])
def test_what_is_no_number_or_range_is_refused_for_a_numeric_attribute(written):
    with pytest.raises(CriterionInvalid):
        compile_criterion("SliceThickness", written)


def test_a_range_for_a_text_is_refused():
    with pytest.raises(CriterionInvalid, match="PatientAge holds text"):
        compile_criterion("PatientAge", "<=65")


def test_a_text_that_only_begins_like_a_range_is_a_text():
    assert compile_criterion("SeriesDescription", "<MPR*").matches(["<MPR Range>"])


@pytest.mark.parametrize(
    "keyword", ["called_ae", "calling_ae", "StudyDescription", "ImageType", "KVP", "PatientName"]
)
def test_keywords_that_can_be_routed_on(keyword):
    check_keyword(keyword)


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("StudyDescripton", "did you mean StudyDescription"),
        ("modality", "did you mean Modality"),
        ("calledae", "did you mean called_ae"),
        ("(0008,0060)", "a DICOM keyword such as"),
        ("PixelData", "sequence or bytes"),
        ("RequestAttributesSequence", "sequence or bytes"),
        ("TransferSyntaxUID", "the file's header"),
        ("InstanceNumber", "differs from slice to slice"),
        ("ImagePositionPatient", "differs from slice to slice"),
    ],
)
def test_keywords_that_cannot(keyword, said):
    with pytest.raises(CriterionInvalid) as refused:
        check_keyword(keyword)
    assert said in str(refused.value)
    assert "allowed:" in str(refused.value)
