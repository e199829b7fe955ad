from __future__ import annotations

import pytest
from pydicom import Dataset

from service.dicom.character_sets import Repertoire, character_set_of, plain


@pytest.mark.parametrize(
    ("terms", "text", "there"),
    [
        (None, "Örebro", False),
        ("", "Orebro", True),
        ("ISO_IR 6", "Örebro", False),
        ("ISO_IR 100", "Örebro", True),
        ("ISO_IR 100", "大阪", False),
        ("ISO_IR 192", "大阪", True),
        ("GB18030", "张", True),
        (["", "ISO 2022 IR 87"], "大阪", True),
        (["", "ISO 2022 IR 149"], "서울", True),
        ("ISO_IR 13", "ｱ", True),
        ("ISO_IR 13", "大", False),
        ("NO SUCH SET", "Örebro", False),
    ],
)
def test_a_character_set_knows_its_characters(terms, text, there):
    assert Repertoire(terms).has(text) is there


def test_text_is_one_line_cut_to_its_length():
    assert Repertoire(None).text(" Blåsan\n och  mer\\annat ", 14) == "Blasan och mer"


def test_text_is_kept_as_it_is_where_it_can_be_written():
    assert Repertoire("ISO_IR 192").text("Blåsan 膀胱", 16) == "Blåsan 膀胱"


def test_letters_without_a_plain_form_become_question_marks():
    assert plain("Ångström 膀") == "Angstrom ?"


def test_the_set_of_a_data_set_is_read_from_its_bytes():
    ds = Dataset()
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    assert character_set_of(ds).has("大阪")
    assert not character_set_of(Dataset()).has("ö")
