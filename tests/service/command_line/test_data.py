"""``delineate data``."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from models.data_sets.data_set import Case, DataSet, DataSetWriter
from models.volume import CtVolume
from service.command_line.data import app
from service.dicom.patient_grids import patient_grid
from service.errors import DataRefused

GRID = patient_grid(shape_zyx=(3, 4, 5))


def run(*arguments: object):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def data(tmp_path):
    """Two cases of one patient and one of another; the rectum is drawn in one."""
    writer = DataSetWriter(tmp_path / "data", ("Bladder", "Rectum"), "a test")
    for name, patient, drawn, part in [
        ("p0001-1", "p0001", ("Bladder", "Rectum"), "train"),
        ("p0001-2", "p0001", ("Bladder",), "train"),
        ("p0002-1", "p0002", ("Bladder",), "test"),
    ]:
        volume = CtVolume(np.zeros(GRID.shape_zyx, np.int16), GRID)
        masks = {structure: np.ones(GRID.shape_zyx, bool) for structure in drawn}
        writer.add(Case(name, patient, volume, masks), part)
    writer.close()
    return tmp_path / "data"


def test_check_says_what_is_in_a_data_set(data):
    found = run("check", data)
    assert found.exit_code == 0
    lines = found.output.splitlines()
    assert "train           2 cases of 1 patients" in lines
    assert "validation      0 cases of 0 patients" in lines
    assert "  Bladder               3" in lines
    assert "  Rectum                1" in lines
    assert lines[-1] == f"intact  sha256 {DataSet.open(data).fingerprint}"


def test_check_refuses_a_case_that_was_changed(data):
    file = data / "cases" / "p0001-2.npz"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    refused = run("check", data).exception
    assert isinstance(refused, DataRefused)
    assert refused.code == "data.case-hash"
    assert "p0001-2" in refused.sentence
