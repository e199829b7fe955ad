"""Rows of a list: which columns count, what a row may ask, and that no sentence repeats it."""

from __future__ import annotations

import pytest

from service.retrieval.wanted import ListInvalid, Wanted, checked, fingerprint, read_list


def written(tmp_path, text, encoding="utf-8"):
    file = tmp_path / "list.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_columns_are_known_by_their_names_whatever_divides_them(tmp_path, sign):
    lines = [
        ["Remark", "Patient ID", "study_instance_uid"],
        ["x", " P1 ", "1.2.3"],
        ["", "", ""],
        ["y", "P2", ""],
    ]
    rows = read_list(
        written(tmp_path, "\ufeff" + "\r\n".join(sign.join(line) for line in lines)), since="20240101"
    )
    assert [(row.row, row.patient_id, row.study_instance_uid) for row in rows] == [
        (1, "P1", "1.2.3"),
        (2, "P2", ""),
    ]
    assert rows[0].dates == "20240101-"
    assert "P1" not in repr(rows)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Name\nCANARY\n", "pull.list-without-columns"),
        ("", "pull.list-without-columns"),
        ("PatientID,Remark\n,CANARY\n", "pull.row-empty"),
        ("PatientID\nCANARY*\n", "pull.row-invalid"),
        ("PatientID\nCANARY?\n", "pull.row-invalid"),
        ("PatientID\nCANARY\\P2\n", "pull.row-invalid"),
        ("AccessionNumber\n" + "9" * 65 + "\n", "pull.row-invalid"),
        ("StudyInstanceUID\n1.02.CANARY\n", "pull.row-invalid"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_without_repeating_it(tmp_path, text, code):
    with pytest.raises(ListInvalid) as refusal:
        read_list(written(tmp_path, text))
    assert refusal.value.code == code
    assert "CANARY" not in refusal.value.sentence


def test_other_encodings_are_refused(tmp_path):
    with pytest.raises(ListInvalid, match="UTF-8"):
        read_list(written(tmp_path, "PatientID\nMüller\n", "latin-1"))


def test_a_row_that_would_match_everything_is_refused():
    with pytest.raises(ListInvalid):
        checked(Wanted(1))
    assert checked(Wanted(1, since="20240101", until="20240131")).dates == "20240101-20240131"


def test_a_fingerprint_is_that_of_the_rows_and_of_how_they_are_pulled():
    rows = (Wanted(1, patient_id="P1"), Wanted(2, patient_id="P2"))
    assert fingerprint(rows, "pacs") == fingerprint(rows, "pacs")
    others = {fingerprint(rows, "vna"), fingerprint(rows[:1], "pacs"), fingerprint(rows, "pacs", "pelvis")}
    assert len(others | {fingerprint(rows, "pacs")}) == 4
