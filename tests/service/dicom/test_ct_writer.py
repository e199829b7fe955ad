"""Synthetic CT: valid, repeatable, and what it says it is."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from service.dicom.ct_writer import SyntheticPatient, uid_of, write_ct
from service.dicom.patient_grids import patient_grid

GRID = patient_grid("HFS", shape_zyx=(3, 64, 48), spacing_zyx_mm=(3.0, 1.25, 1.0))
HU = np.random.default_rng(0).integers(-1024, 3000, GRID.shape_zyx).astype(np.int16)


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEGLosslessSV1,
    ],
)
def test_what_is_written_is_read_back_by_pydicom_in_every_lossless_syntax(tmp_path, syntax):
    files = write_ct(tmp_path, HU, GRID, transfer_syntax=syntax)
    for k, file in enumerate(files):
        ds = pydicom.dcmread(file)
        assert ds.file_meta.TransferSyntaxUID == syntax
        plugin = "gdcm" if syntax == JPEGLosslessSV1 else ""
        ds.pixel_array_options(decoding_plugin=plugin)
        assert (ds.pixel_array.astype(int) - 1024 == HU[k]).all()


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    one = write_ct(tmp_path / "one", HU, GRID, seed=7)
    two = write_ct(tmp_path / "two", HU, GRID, seed=7)
    assert [f.read_bytes() for f in one] == [f.read_bytes() for f in two]


def test_series_of_one_seed_share_patient_study_and_frame_of_reference(tmp_path):
    one = pydicom.dcmread(write_ct(tmp_path / "one", HU, GRID, seed=7)[0])
    two = pydicom.dcmread(write_ct(tmp_path / "two", HU, GRID, seed=7, series_number=3)[0])
    other = pydicom.dcmread(write_ct(tmp_path / "other", HU, GRID, seed=8)[0])
    shared = ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID")
    assert [one[k].value for k in shared] == [two[k].value for k in shared]
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.StudyInstanceUID != other.StudyInstanceUID


def test_every_voxel_lies_where_the_grid_says(tmp_path):
    for k, file in enumerate(write_ct(tmp_path, HU, GRID)):
        ds = pydicom.dcmread(file)
        row, column = 5, 7
        position = (
            np.array(ds.ImagePositionPatient)
            + column * ds.PixelSpacing[1] * np.array(ds.ImageOrientationPatient[:3])
            + row * ds.PixelSpacing[0] * np.array(ds.ImageOrientationPatient[3:])
        )
        assert np.allclose(position, GRID.positions_lps_mm(k, np.array(5.0), np.array(7.0)), atol=1e-6)


def test_a_tweak_changes_a_slice_and_none_leaves_it_out(tmp_path):
    def tweak(k, ds):
        ds.SeriesDescription = f"slice {k}"
        return None if k == 1 else ds

    files = write_ct(tmp_path, HU, GRID, tweak=tweak)
    assert [file.name for file in files] == ["CT0000.dcm", "CT0002.dcm"]
    assert pydicom.dcmread(files[1]).SeriesDescription == "slice 2"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("GB18030", "王^小东"),
        (("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 100", "Åström^Björn"),
        ("ISO_IR 192", "Ångström^Örjan"),
    ],
)
def test_names_of_every_script_are_written(tmp_path, character_set, name):
    who = SyntheticPatient(name=name, character_set=character_set)
    assert str(pydicom.dcmread(write_ct(tmp_path, HU, GRID, patient=who)[0]).PatientName) == name


def test_numbers_fit_into_sixteen_characters(tmp_path):
    grid = patient_grid(shape_zyx=(2, 64, 64), spacing_zyx_mm=(1 / 3, 1 / 7, 1 / 7))
    file = write_ct(tmp_path, HU[:2, :, :1].repeat(64, 2), grid)[0]
    for element in pydicom.dcmread(file):
        if element.VR == "DS":
            assert all(len(str(v)) <= 16 for v in np.atleast_1d(element.value))


def test_uids_follow_the_standard():
    assert all(pydicom.uid.UID(uid_of(i)).is_valid for i in range(100))


def test_ct_numbers_must_lie_on_the_grid(tmp_path):
    with pytest.raises(ValueError, match="do not lie on a grid"):
        write_ct(tmp_path, HU[:2], GRID)


@pytest.mark.peer
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless])
def test_dciodvfy_finds_nothing_but_the_laterality_it_always_asks_for(tmp_path, syntax):
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dicom3tools is not installed")
    file = write_ct(tmp_path, HU, GRID, transfer_syntax=syntax)[0]
    said = subprocess.run([dciodvfy, "-new", file], capture_output=True, text=True, check=False).stderr
    wrong = [line for line in said.splitlines() if line.startswith(("Error", "Warning"))]
    assert [line for line in wrong if "Laterality(0020,0060)" not in line] == []
