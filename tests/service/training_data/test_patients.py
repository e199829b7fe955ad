"""Pseudonyms and parts of patients, in a list that is kept outside the data set."""

from __future__ import annotations

import pytest

from service.errors import DataRefused
from service.training_data.patients import PatientList

ANN, BETH, CLEO = ("", "A1"), ("", "B2"), ("Hospital, North", "患者 7")
SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}


def test_patients_are_numbered_in_their_order_and_keep_their_numbers(tmp_path):
    file = tmp_path / "records" / "patients.csv"
    first = PatientList(file)
    first.add([BETH, ANN, BETH], in_order=True)
    assert [first.pseudonym(one) for one in (BETH, ANN)] == ["p0001", "p0002"]
    second = PatientList(file)
    second.add([CLEO, ANN, BETH], in_order=True)
    assert [second.pseudonym(one) for one in (BETH, ANN, CLEO)] == ["p0001", "p0002", "p0003"]
    assert PatientList(file).pseudonym(CLEO) == "p0003", "any script, any punctuation"
    assert file.stat().st_mode & 0o077 == 0, "for its owner alone"


def test_parts_are_drawn_once(tmp_path):
    file = tmp_path / "patients.csv"
    patients = PatientList(file)
    patients.add([("", str(n)) for n in range(8)], in_order=True)
    drawn = patients.split([f"p{n:04d}" for n in range(1, 7)], 1, SHARES)
    assert sorted(drawn.values()) == ["test", "train", "train", "train", "validation", "validation"]
    again = PatientList(file)
    later = again.split([f"p{n:04d}" for n in range(1, 9)], 99, SHARES)
    assert drawn.items() < later.items(), "another seed moves nobody"
    assert file.read_text().splitlines()[0] == "patient,part,id,issuer"


def test_a_patient_without_a_case_has_no_part(tmp_path):
    patients = PatientList(tmp_path / "patients.csv")
    patients.add([ANN, BETH], in_order=True)
    patients.split(["p0002"], 1, SHARES)
    assert (tmp_path / "patients.csv").read_text().splitlines()[1:] == ["p0001,,A1,", "p0002,train,B2,"]


def test_an_order_that_nobody_can_repeat(tmp_path):
    """Twenty patients come out in the order they came in once in 2 x 10^18 times."""
    keys = [("", str(n)) for n in range(20)]
    patients = PatientList(tmp_path / "patients.csv")
    patients.add(keys, in_order=False)
    names = [patients.pseudonym(one) for one in keys]
    assert sorted(names) == [f"p{n:04d}" for n in range(1, 21)]
    assert names != sorted(names)
    patients.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_is_only_read_stays_as_it_is(tmp_path):
    patients = PatientList(tmp_path / "patients.csv", read_only=True)
    patients.add([ANN], in_order=True)
    assert patients.split(["p0001"], 1, SHARES) == {"p0001": "train"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "name,part\nx,train\n",
        "patient,part,id,issuer\np0001,learn,A1,\n",
        "patient,part,id,issuer\nAnn,train,A1,\n",
        "patient,part,id,issuer\np0001,train,A1,\np0001,train,B2,\n",
        "patient,part,id,issuer\np0001,train,A1,\np0002,train,A1,\n",
        b"\xff\xfe",
    ],
)
def test_a_list_that_was_damaged_is_refused(tmp_path, text):
    file = tmp_path / "patients.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataRefused) as refused:
        PatientList(file)
    assert refused.value.code == "patients.unreadable"


def test_a_full_disk_leaves_the_list_that_was_there(tmp_path, monkeypatch):
    file = tmp_path / "patients.csv"
    PatientList(file).add([ANN], in_order=True)
    before = file.read_text()
    patients = PatientList(file)
    monkeypatch.setattr("service.training_data.patients.csv.writer", full)
    with pytest.raises(DataRefused) as refused:
        patients.add([BETH], in_order=True)
    assert refused.value.code == "records.disk-full"
    assert file.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["patients.csv"]


def full(_stream):
    raise OSError(28, "No space left on device")
