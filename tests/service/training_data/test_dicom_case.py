"""One CT series with its structure sets: drawn as far as it can be trusted, refused as the node would."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless
from training_export import BALLS, GRID, export, hu_of, organs, write_set

from service.contouring.ct_series import CtSeries, Limits
from service.dicom.enhanced_ct_writer import write_enhanced_ct
from service.training_data.case_drawing import Rules
from service.training_data.drawn_cts import drawn_cts
from service.training_data.export_files import files_below, read_export
from service.training_data.remarks import Weight
from service.training_data.roi_names import RoiNames


@pytest.fixture(scope="module")
def names():
    return RoiNames.read()


def case_of(root):
    (found,), _ = drawn_cts(read_export(root, files_below(root)), "id")
    return found


def drawn(root, names, *, with_pixels=True, **rules):
    return case_of(root).draw(names, Rules(**rules), with_pixels=with_pixels)


def codes(drawing):
    return [one.code for one in drawing.remarks]


def test_a_compressed_ct_is_read(tmp_path, names):
    made = export(tmp_path, transfer_syntax=JPEG2000Lossless)
    drawing = drawn(tmp_path, names)
    np.testing.assert_array_equal(drawing.volume.hu, made.hu)
    assert set(drawing.masks) == set(BALLS)


def test_an_enhanced_ct_is_read(tmp_path, names):
    masks = organs()
    file = write_enhanced_ct(tmp_path / "ct.dcm", hu_of(masks), GRID)
    series = CtSeries.read([file], limits=Limits(enhanced_ct=True))
    write_set(tmp_path / "RS.dcm", series, masks)
    drawing = drawn(tmp_path, names)
    assert all((drawing.masks[name] == mask).all() for name, mask in masks.items())


def test_without_pixels_everything_is_drawn_and_none_is_read(tmp_path, names):
    export(tmp_path)
    drawing = drawn(tmp_path, names, with_pixels=False)
    assert (drawing.volume, set(drawing.masks)) == (None, set(BALLS))


def test_a_ct_that_the_node_would_refuse_is_refused_with_its_code(tmp_path, names):
    export(tmp_path)
    for file in sorted(tmp_path.glob("CT*"))[3:]:
        file.unlink()
    drawing = drawn(tmp_path, names)
    assert (drawing.grid, codes(drawing)) == (None, ["series.too-few-slices"])
    assert drawing.remarks[0].weight is Weight.LEFT_OUT


def test_pixels_that_cannot_be_decoded_refuse_the_ct(tmp_path, names):
    export(tmp_path, transfer_syntax=JPEG2000Lossless)
    file = tmp_path / "CT0007.dcm"
    ds = pydicom.dcmread(file)
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 60])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(file)
    drawing = drawn(tmp_path, names)
    assert (drawing.grid, codes(drawing)) == (None, ["series.pixels-undecodable"])


def test_what_the_node_would_tell_of_a_ct_is_told(tmp_path, names):
    def without_position(_k, ds):
        del ds.PatientPosition
        return ds

    export(tmp_path, tweak=without_position)
    drawing = drawn(tmp_path, names)
    assert [(one.code, one.weight) for one in drawing.remarks] == [
        ("ct.patient-position-missing", Weight.WARNING)
    ]
    assert set(drawing.masks) == set(BALLS)


def test_ct_numbers_that_are_not_whole_are_told(tmp_path, names):
    def half(_k, ds):
        ds.RescaleSlope = "0.5"
        return ds

    export(tmp_path, tweak=half)
    assert codes(drawn(tmp_path, names)) == ["ct.rounded"]


def test_its_key_is_that_of_its_files_wherever_they_lie(tmp_path, names):
    export(tmp_path / "a" / "x", seed=1)
    export(tmp_path / "b" / "y" / "z", seed=1)
    export(tmp_path / "c", seed=2)
    first, second, third = (case_of(tmp_path / name).key for name in "abc")
    assert first == second
    assert third != first
    assert len(first) == 64


def test_a_preferred_set_decides_between_two(tmp_path, names):
    masks = organs()
    made = export(tmp_path)
    larger = {"Bladder": masks["Bladder"] | np.roll(masks["Bladder"], 1, axis=2)}

    def approved(ds):
        ds.ApprovalStatus, ds.StructureSetDate = "APPROVED", "20200101"

    write_set(tmp_path / "RS2.dcm", made.series, larger, number=5, edit=approved)
    assert "Bladder" not in drawn(tmp_path, names).masks
    assert (drawn(tmp_path, names, prefer="approved").masks["Bladder"] == larger["Bladder"]).all()
    assert (drawn(tmp_path, names, prefer="newest").masks["Bladder"] == masks["Bladder"]).all()
