"""``delineate phantom``: a CT that the node accepts, a table that is true, a structure set that agrees with it."""

from __future__ import annotations

import re

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from service.command_line.phantom import app
from service.contouring.ct_series import CtSeries
from service.dicom.patient_grids import ORIENTATIONS

SMALL = ["--spacing", "3", "--size", "128", "--slice-thickness", "5"]


def run(*arguments) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def printed_volumes(output: str) -> dict[str, float]:
    return {name: float(cm3) for name, cm3 in re.findall(r"^  (\w+) .*middle.* ([0-9.]+) cm3", output, re.M)}


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_the_ct_is_accepted_without_a_finding_in_every_position(tmp_path, position):
    output = run(tmp_path / "ct", "--orientation", position, *SMALL)
    read = CtSeries.read(sorted((tmp_path / "ct").glob("*.dcm")))
    assert read.findings == ()
    assert read.header.PatientPosition == position
    assert f"48 images in {tmp_path / 'ct'}, {position}" in output


def test_the_table_names_every_mark_with_its_middle_and_volume(tmp_path):
    output = run(tmp_path / "ct", *SMALL)
    assert set(printed_volumes(output)) == {
        "Ball_L", "Cube_Anterior", "Cube_Small", "Wedge", "Letter_L", "Letter_R", "Letter_H", "Letter_F",
    }  # fmt: skip
    assert printed_volumes(output)["Ball_L"] == pytest.approx(113.097)
    assert "middle    72.00     0.60     0.90" in output
    assert "1. Left and right" in output


def test_lines_fit_a_printed_page(tmp_path):
    assert max(map(len, run(tmp_path / "ct", *SMALL).replace(str(tmp_path), "").splitlines())) <= 130


def test_the_patient_is_who_is_asked_for(tmp_path):
    run(tmp_path / "ct", *SMALL, "--patient-name", "QA^Machine", "--patient-id", "QA-7")
    header = pydicom.dcmread(tmp_path / "ct" / "CT0000.dcm")
    assert (str(header.PatientName), header.PatientID) == ("QA^Machine", "QA-7")


def test_phantoms_that_differ_have_different_uids_and_the_same_one_the_same(tmp_path):
    uids = []
    for number, options in enumerate(([], [], ["--orientation", "FFS"], ["--patient-id", "X"])):
        run(tmp_path / str(number), *SMALL, *options)
        uids.append(pydicom.dcmread(tmp_path / str(number) / "CT0000.dcm").SeriesInstanceUID)
    assert uids[0] == uids[1]
    assert len(set(uids)) == 3


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    result = CliRunner().invoke(app, [str(tmp_path), *SMALL])
    assert result.exit_code == 2
    assert "not empty" in result.output
    assert [f.name for f in tmp_path.iterdir()] == ["keep.txt"]


def test_an_image_too_small_for_the_phantom_is_refused(tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path / "ct"), "--size", "128", "--spacing", "1"])
    assert result.exit_code == 2
    assert "do not hold the phantom" in result.output


def area_mm2(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("position", ["HFS", "FFP", "HFDL"])
def test_the_structure_sets_areas_times_the_slice_spacing_are_the_printed_volumes(tmp_path, position):
    output = run(
        tmp_path / "ct", "--orientation", position, "--spacing", "1.5", "--size", "230", "--structure-set"
    )
    volumes = printed_volumes(output)
    rs = pydicom.dcmread(tmp_path / "ct" / "RS.dcm")
    names = {item.ROINumber: item.ROIName for item in rs.StructureSetROISequence}
    assert sorted(names.values()) == sorted(volumes)
    positions = {}
    for file in sorted((tmp_path / "ct").glob("CT*.dcm")):
        ct = pydicom.dcmread(file, stop_before_pixels=True)
        positions[ct.SOPInstanceUID] = float(ct.ImagePositionPatient[2])
    for roi in rs.ROIContourSequence:
        name = names[roi.ReferencedROINumber]
        total = 0.0
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            image = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
            assert np.allclose(points[:, 2], positions[image], atol=1e-3)
            total += area_mm2(points[:, :2]) * 3.0 / 1000
            if name.endswith("_L"):
                assert (points[:, 0] > 0).all()
            if name == "Letter_R":
                assert (points[:, 0] < 0).all()
        assert total == pytest.approx(volumes[name], rel=0.01), name
