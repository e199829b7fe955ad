"""Multi-frame CT: every frame a slice with its own number, or a clean refusal."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedCTImageStorage, JPEG2000Lossless, JPEGLSLossless, RLELossless

from service.contouring.ct_series import CtSeries, Limits
from service.dicom.ct_writer import uid_of, write_ct
from service.dicom.enhanced_ct_writer import write_enhanced_ct
from service.dicom.patient_grids import patient_grid
from service.errors import SeriesRefused

SHAPE = (6, 16, 20)
GRID = patient_grid("FFS", shape_zyx=SHAPE, spacing_zyx_mm=(3.0, 2.0, 4.0))
HU = np.random.default_rng(5).integers(-1000, 3000, SHAPE).astype(np.int16)
ON = Limits(enhanced_ct=True)


def refusal(files, limits=ON) -> str:
    with pytest.raises(SeriesRefused) as caught:
        CtSeries.read(files, limits=limits).volume()
    return caught.value.code


def test_it_is_refused_unless_the_site_takes_it(tmp_path):
    file = write_enhanced_ct(tmp_path / "e.dcm", HU, GRID)
    assert refusal([file], Limits()) == "series.enhanced-ct"


def test_every_frame_is_a_slice_with_its_own_number_and_position(tmp_path):
    read = CtSeries.read([write_enhanced_ct(tmp_path / "e.dcm", HU, GRID)], limits=ON)
    assert np.array_equal(read.volume().hu, HU)
    assert np.allclose(read.grid.slice_origins_lps_mm, GRID.slice_origins_lps_mm)
    assert (read.grid.row_spacing_mm, read.grid.column_spacing_mm) == (2, 4)
    assert [r.frame_number for r in read.references] == [1, 2, 3, 4, 5, 6]
    assert {r.sop_class_uid for r in read.references} == {EnhancedCTImageStorage}
    assert {r.sop_instance_uid for r in read.references} == {uid_of(0, 4, "enhanced")}


def test_frames_in_another_order_keep_their_numbers(tmp_path):
    file = write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, order=[3, 0, 5, 1, 4, 2])
    read = CtSeries.read([file], limits=ON)
    assert np.array_equal(read.volume().hu, HU)
    assert [r.frame_number for r in read.references] == [2, 4, 6, 1, 5, 3]


def test_a_frame_may_have_its_own_rescale_slope(tmp_path):
    def tweak(ds):
        shared = ds.SharedFunctionalGroupsSequence[0]
        for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
            frame.PixelValueTransformationSequence = list(shared.PixelValueTransformationSequence)
            if k == 2:
                ds_of_frame = type(ds)()
                ds_of_frame.RescaleIntercept, ds_of_frame.RescaleSlope = "-1000", "2"
                frame.PixelValueTransformationSequence = [ds_of_frame]
        del shared.PixelValueTransformationSequence
        return ds

    hu = CtSeries.read([write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, tweak=tweak)], limits=ON).volume().hu
    assert np.array_equal(hu[2], (HU[2].astype(int) + 1024) * 2 - 1000)
    assert np.array_equal(hu[1], HU[1])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_frames_are_decoded_one_by_one(tmp_path, syntax):
    grid = patient_grid(shape_zyx=(5, 48, 64))
    hu = np.random.default_rng(6).integers(-1000, 3000, (5, 48, 64)).astype(np.int16)
    file = write_enhanced_ct(tmp_path / "e.dcm", hu, grid, order=[4, 0, 3, 1, 2])
    ds = pydicom.dcmread(file)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(file)
    assert np.array_equal(CtSeries.read([file], limits=ON).volume().hu, hu)


def test_the_header_leaves_out_what_describes_single_frames(tmp_path):
    read = CtSeries.read([write_enhanced_ct(tmp_path / "e.dcm", HU, GRID)], limits=ON)
    assert "PerFrameFunctionalGroupsSequence" not in read.header
    assert read.patient_attributes.PatientID == "SYN001"


def test_two_temporal_positions_are_refused(tmp_path):
    def tweak(ds):
        for k, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
            frame.FrameContentSequence[0].TemporalPositionIndex = 1 + k % 2
        return ds

    file = write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, tweak=tweak)
    assert refusal([file]) == "series.phases"


def test_a_hole_among_the_frames_is_refused(tmp_path):
    file = write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, order=[0, 1, 3, 4, 5])
    assert refusal([file]) == "series.hole"


def test_fewer_functional_groups_than_frames_are_refused(tmp_path):
    def tweak(ds):
        ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence)[:-1]
        return ds

    assert (
        refusal([write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, tweak=tweak)]) == "series.functional-groups"
    )


@pytest.mark.parametrize("sequence", ["PlaneOrientationSequence", "PixelMeasuresSequence"])
def test_a_missing_functional_group_is_refused_by_the_name_of_what_it_holds(tmp_path, sequence):
    def tweak(ds):
        del ds.SharedFunctionalGroupsSequence[0][sequence]
        return ds

    assert (
        refusal([write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, tweak=tweak)]) == "series.attribute-missing"
    )


def test_pixels_of_fewer_frames_than_said_are_refused(tmp_path):
    def tweak(ds):
        ds.PixelData = ds.PixelData[:-10]
        return ds

    assert (
        refusal([write_enhanced_ct(tmp_path / "e.dcm", HU, GRID, tweak=tweak)]) == "series.pixels-truncated"
    )


def test_several_multi_frame_images_are_refused(tmp_path):
    one = write_enhanced_ct(tmp_path / "1.dcm", HU, GRID)
    two = write_enhanced_ct(tmp_path / "2.dcm", HU, GRID)
    assert refusal([one, two]) == "series.enhanced-several"


def test_a_multi_frame_image_among_single_ones_is_refused(tmp_path):
    files = write_ct(tmp_path, HU, GRID)
    assert refusal([*files, write_enhanced_ct(tmp_path / "e.dcm", HU, GRID)]) == "series.enhanced-several"
