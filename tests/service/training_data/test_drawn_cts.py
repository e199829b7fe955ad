"""Every CT that something is drawn on, and what tells its patient from others."""

from __future__ import annotations

import pytest
from training_export import export

from service.dicom.ct_writer import SyntheticPatient
from service.training_data.drawn_cts import drawn_cts
from service.training_data.export_files import files_below, read_export


def drawn(root, patient_by="id"):
    found, remarks = drawn_cts(read_export(root, files_below(root)), patient_by)
    return [(one.patient, one.folder) for one in found], [(one.code, one.folder) for one in remarks]


@pytest.fixture
def made(tmp_path):
    """Two patients, one of them without a Patient ID."""
    export(tmp_path / "Ann" / "CT", "A1", seed=1)
    export(tmp_path / "Beth" / "CT", seed=2, patient=SyntheticPatient(name="Beth", patient_id=""))
    return tmp_path


def test_patients_are_told_apart_by_id(made):
    assert drawn(made) == ([(("", "A1"), "Ann/CT")], [("patient.no-id", "Beth/CT")])


def test_or_by_the_first_folder(made):
    found = [(("folder", "Ann"), "Ann/CT"), (("folder", "Beth"), "Beth/CT")]
    assert drawn(made, "folder") == (found, [])


def test_persons_who_differ_under_one_id_are_told_at_each_of_their_cts(tmp_path):
    for number, birth in enumerate(("19500101", "19500102")):
        person = SyntheticPatient(name="Ann", patient_id="ANON", birth_date=birth)
        export(tmp_path / f"P{number}", seed=number, patient=person)
    found, remarks = drawn(tmp_path)
    assert {patient for patient, _ in found} == {("", "ANON")}
    assert remarks == [("patient.several-persons", "P0"), ("patient.several-persons", "P1")]


def test_nifti_comes_after_dicom_and_says_how_its_patients_are_known(made):
    (made / "Cleo").mkdir()
    for name in ("ct.nii", "Bladder.nii"):
        (made / "Cleo" / name).touch()
    found, remarks = drawn(made)
    assert found[-1] == (("NIfTI", "Cleo"), "Cleo")
    assert ("nifti.patients", "") in remarks
