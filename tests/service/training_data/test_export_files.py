"""Every file of an export is sorted by what it is; none is passed over in silence."""

from __future__ import annotations

import shutil

import pydicom
import pytest
from training_export import export

from service.dicom.ct_writer import SyntheticPatient
from service.training_data.export_files import files_below, read_export
from service.training_data.remarks import Weight


@pytest.fixture
def made(tmp_path):
    """One patient, structure set beside the CT."""
    return export(tmp_path / "export" / "P1", "ID1")


def read(tmp_path):
    return read_export(tmp_path / "export", files_below(tmp_path / "export"))


def codes(found):
    return sorted((one.code, one.folder) for one in found.remarks)


def test_a_ct_and_its_set_say_whose_they_are_and_what_they_refer_to(tmp_path, made):
    found = read(tmp_path)
    (series,) = found.series.values()
    (one,) = found.sets
    assert len(series.files) == 26
    assert (series.whose.patient_id, series.whose.name, series.whose.birth_date) == (
        "ID1",
        "Name^ID1",
        "19500101",
    )
    assert one.whose == series.whose
    assert one.series == {series.series_instance_uid}
    assert one.images == series.files.keys()
    assert set(one.roi_names) == set(made.masks)
    assert (one.approved, one.label) == (False, "AI pelvis")
    assert one.made_at.startswith("20260115 140530")
    assert found.remarks == []
    assert found.folder_of(series.all_files) == "P1"


def test_patient_ids_are_read_in_any_script(tmp_path):
    export(tmp_path / "export", patient=SyntheticPatient(name="山田^太郎", patient_id="患者-7"))
    (series,) = read(tmp_path).series.values()
    assert (series.whose.patient_id, series.whose.name) == ("患者-7", "山田^太郎")


def test_a_series_may_lie_in_many_folders(tmp_path, made):
    for number, file in enumerate(sorted((tmp_path / "export" / "P1").glob("CT*"))):
        (tmp_path / "export" / f"{number:02d}").mkdir()
        file.rename(tmp_path / "export" / f"{number:02d}" / "image")
    found = read(tmp_path)
    (series,) = found.series.values()
    assert len(series.all_files) == 26
    assert found.folder_of(series.all_files) == "."


def test_copies_are_taken_once_and_counted(tmp_path, made):
    shutil.copytree(tmp_path / "export" / "P1", tmp_path / "export" / "P2")
    found = read(tmp_path)
    assert len(next(iter(found.series.values())).all_files) == 26
    assert len(found.sets) == 1
    assert codes(found) == [("file.twice", "P2")]
    assert found.remarks[0].weight is Weight.NOTE


def test_different_images_under_one_uid_are_both_kept_for_the_series_to_refuse(tmp_path, made):
    file = tmp_path / "export" / "P1" / "CT0003.dcm"
    other = pydicom.dcmread(file)
    other.RescaleIntercept = "-1000"
    other.save_as(tmp_path / "export" / "P1" / "other.dcm")
    (series,) = read(tmp_path).series.values()
    assert len(series.all_files) == 27
    assert len(series.files) == 26


def test_different_sets_under_one_uid_are_both_left_out(tmp_path, made):
    other = pydicom.dcmread(tmp_path / "export" / "P1" / "RS.dcm")
    other.StructureSetLabel = "edited"
    other.save_as(tmp_path / "export" / "P1" / "RS2.dcm")
    found = read(tmp_path)
    assert found.sets == []
    assert [(one.code, one.roi) for one in found.remarks] == [
        ("structure-set.conflict", "AI pelvis"), ("structure-set.conflict", "edited"),
    ]  # fmt: skip


def test_a_set_that_cannot_be_read_is_told(tmp_path, made):
    file = tmp_path / "export" / "P1" / "RS.dcm"
    ds = pydicom.dcmread(file)
    ds.ROIContourSequence[0].ContourSequence[0].ContourData = ["1.0", "2.0"]
    ds.save_as(file)
    assert codes(read(tmp_path)) == [("structure-set.unreadable", "P1")]


def test_everything_else_is_counted_by_folder_and_kind(tmp_path, made):
    (tmp_path / "export" / "notes").write_text("x")
    (tmp_path / "export" / "P1" / "half.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00")
    plan = pydicom.dcmread(tmp_path / "export" / "P1" / "RS.dcm")
    plan.SOPClassUID, plan.Modality = "1.2.840.10008.5.1.4.1.1.481.5", "RTPLAN"
    plan.save_as(tmp_path / "export" / "P1" / "RP.dcm")
    found = read(tmp_path)
    assert codes(found) == [("file.other", "."), ("file.other", "P1")]
    sentences = {one.folder: one.sentence for one in found.remarks}
    assert sentences["."].endswith("1 x no DICOM (no suffix).")
    assert "1 x RTPLAN" in sentences["P1"]
    assert len(found.sets) == 1


def test_folders_of_the_import_itself_are_left_out(tmp_path, made):
    (tmp_path / "export" / "data" / "cases").mkdir(parents=True)
    (tmp_path / "export" / "data" / "cases" / "x.npz").touch()
    every = files_below(tmp_path / "export")
    without = files_below(tmp_path / "export", [tmp_path / "export" / "data"])
    assert len(every) - len(without) == 1


def test_warnings_of_the_dicom_library_stay_inside(tmp_path, made):
    """They quote values of the data set; here warnings are errors."""
    file = tmp_path / "export" / "P1" / "RS.dcm"
    content = file.read_bytes()
    assert content.count(b"19500101") == 1
    file.write_bytes(content.replace(b"19500101", b"1950x101"))
    assert len(read(tmp_path).sets) == 1
