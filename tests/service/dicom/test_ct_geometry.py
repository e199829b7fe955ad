"""What is kept of a CT beside its structure sets is the CT's own geometry, to the last bit."""

from __future__ import annotations

import numpy as np
from drawn_structures import ct_series, slice_keys

from service.dicom.ct_geometry import GEOMETRY_FILE, CtGeometry


def test_what_was_written_is_read(tmp_path):
    series = ct_series(tmp_path / "ct")
    (tmp_path / GEOMETRY_FILE).write_bytes(series.geometry.as_json())
    found = CtGeometry.read(tmp_path)
    assert found is not None
    assert found.slices == slice_keys(series)
    assert found.frame_of_reference_uid == series.frame_of_reference_uid
    assert found.series_instance_uid == series.series_instance_uid
    assert found.grid.shape_zyx == series.grid.shape_zyx
    for name in ("slice_origins_lps_mm", "column_step_lps_mm", "row_step_lps_mm"):
        assert np.array_equal(getattr(found.grid, name), getattr(series.grid, name))


def test_there_may_be_none(tmp_path):
    assert CtGeometry.read(tmp_path) is None
