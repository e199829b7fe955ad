"""What is kept of a CT beside its structure sets is the CT's own grid, to the last bit, and no UID."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_structures import ct_series, pelvis, segmentation, slice_keys, structure_set

from service.dicom.ct_geometry import GRID_FILE, CtGeometry, grid_as_json, read_grid
from service.dicom.patient_grids import patient_grid
from service.dicom.structure_set_reader import read_structure_set


def test_the_grid_that_was_written_is_read_and_the_set_names_its_slices(tmp_path):
    series = ct_series(tmp_path / "ct")
    kept = grid_as_json(series.grid)
    (tmp_path / GRID_FILE).write_bytes(kept)
    found = read_grid(tmp_path)
    assert found is not None
    assert found.shape_zyx == series.grid.shape_zyx
    for name in ("slice_origins_lps_mm", "column_step_lps_mm", "row_step_lps_mm"):
        assert np.array_equal(getattr(found, name), getattr(series.grid, name))
    geometry = CtGeometry.of_set(
        found, read_structure_set(structure_set(series, segmentation(pelvis())).encode())
    )
    assert list(geometry.slices) == slice_keys(series)
    assert geometry.frame_of_reference_uid == series.frame_of_reference_uid
    assert geometry.series_instance_uid == series.series_instance_uid
    for uid in (
        series.frame_of_reference_uid,
        series.series_instance_uid,
        series.references[0].sop_instance_uid,
    ):
        assert uid.encode() not in kept


def test_a_set_of_another_ct_is_no_guide(tmp_path):
    series = ct_series(tmp_path / "ct")
    other = patient_grid("HFS", shape_zyx=(13, 56, 60), spacing_zyx_mm=(3.0, 1.2, 0.9))
    with pytest.raises(ValueError, match="another CT"):
        CtGeometry.of_set(other, read_structure_set(structure_set(series, segmentation(pelvis())).encode()))


def test_there_may_be_none(tmp_path):
    assert read_grid(tmp_path) is None
