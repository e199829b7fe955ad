"""Segmentations: the voxels of the fields, on the CT's frames, with the codes and colours of the structure set."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from drawn_structures import GRID, MODEL, as_field, authorship, ct_series, pelvis, segmentation
from module_check import violations

from models.volume import Finding, Grid, Provenance, Segmentation
from service.contouring.ct_series import CtSeries, Limits
from service.contouring.segmentation_object import EMPTY, SegmentationObject
from service.contouring.structure_names import rois_named
from service.dicom.ct_writer import SyntheticPatient
from service.dicom.enhanced_ct_writer import write_enhanced_ct
from service.dicom.patient_grids import patient_grid
from service.errors import StructureSetInvalid

DCIODVFY = shutil.which("dciodvfy")
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return ct_series(tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def made() -> Segmentation:
    return segmentation(pelvis())


def encoded(series: CtSeries, made: Segmentation, *, label_map: bool = False, **changes) -> bytes:
    rois = rois_named(made.structures)
    return SegmentationObject(series, made, rois, authorship(**changes), label_map=label_map).encode()


def masks_of(read: highdicom.seg.Segmentation, series: CtSeries) -> np.ndarray:
    """``(slices, rows, columns, segments)`` as highdicom reads it by the images it refers to."""
    images = [reference.sop_instance_uid for reference in series.references]
    return read.get_pixels_by_source_instance(
        images, assert_missing_frames_are_empty=True, ignore_spatial_locations=False
    )


def reread(content: bytes) -> highdicom.seg.Segmentation:
    return highdicom.seg.segread(BytesIO(content))


def test_each_structure_has_the_voxels_where_its_field_is_positive(series, made):
    read = reread(encoded(series, made))
    masks = masks_of(read, series)
    assert read.SegmentsOverlap == "YES"  # all lie in External
    assert read.number_of_segments == len(made.structures)
    for number, (name, field) in enumerate(made.structures.items(), 1):
        assert read.get_segment_description(number).segment_label == name
        np.testing.assert_array_equal(masks[..., number - 1], field.mask(GRID.shape_zyx), name)


def test_structures_apart_do_not_overlap(series):
    apart = {name: field for name, field in pelvis().items() if name in ("Femur_Head_L", "Femur_Head_R")}
    assert reread(encoded(series, segmentation(apart))).SegmentsOverlap == "NO"


def test_a_label_map_keeps_the_smaller_structure_where_two_overlap(series, made):
    content = encoded(series, made, label_map=True)
    ds = pydicom.dcmread(BytesIO(content))
    assert (ds.SOPClassUID, ds.SegmentationType, ds.BitsAllocated) == (LABELMAP, "LABELMAP", 8)
    masks = masks_of(reread(content), series)
    whole = {name: field.mask(GRID.shape_zyx) for name, field in made.structures.items()}
    free = np.ones(GRID.shape_zyx, dtype=bool)
    for name in sorted(whole, key=lambda each: whole[each].sum()):  # the smallest first
        kept = masks[..., list(whole).index(name)]
        np.testing.assert_array_equal(kept, whole[name] & free, name)
        free &= ~whole[name]
    assert masks.sum(axis=-1).max() == 1


def test_segments_have_the_codes_sides_and_colours_of_the_structure_set(series, made):
    read = reread(encoded(series, made))
    left = read.get_segment_description(list(made.structures).index("Femur_Head_L") + 1)
    assert left.segmented_property_type.value == "2812003"
    (side,) = left.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert (side.CodeValue, side.CodeMeaning) == ("7771000", "Left")
    color = highdicom.color.CIELabColor.from_dicom_value(left.RecommendedDisplayCIELabValue).to_rgb()
    assert np.abs(np.subtract(color, (0, 191, 255))).max() <= 2
    assert left.SegmentAlgorithmType == "AUTOMATIC"
    assert left.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "pelvis-ct"


def test_it_asks_for_review_and_says_what_the_structure_set_says(series, made):
    ds = pydicom.dcmread(BytesIO(encoded(series, made)))
    assert ds.ContentLabel == "FOR_REVIEW"
    assert "not approved" in ds.ContentDescription
    synthetic = Provenance("pelvis-ct", "1.0", "ab" * 32, validated=False)
    finding = Finding("structure.cut", "Cut off at the top.", "Bladder")
    ds = pydicom.dcmread(BytesIO(encoded(series, segmentation(pelvis(), (finding,), synthetic))))
    assert ds.ContentLabel == "NOT_CLINICAL"
    assert ds.ContentDescription.startswith("NOT FOR CLINICAL USE")
    assert ds.SeriesDescription.startswith("NOT FOR CLINICAL USE")
    said = {each.SegmentLabel: each.SegmentDescription for each in ds.SegmentSequence}
    assert "Cut off at the top." in said["Bladder"]
    assert "synthetic CT only" in said["Rectum"]


@pytest.mark.parametrize("label_map", [False, True])
def test_the_same_is_made_of_the_same_but_for_what_highdicom_draws_by_lot(series, made, label_map):
    one, other = (pydicom.dcmread(BytesIO(encoded(series, made, label_map=label_map))) for _ in range(2))
    assert one.SOPInstanceUID == authorship().sop_instance_uid
    assert one.SeriesInstanceUID == authorship().series_instance_uid
    assert one.PixelData == other.PixelData
    assert [each.TrackingUID for each in one.SegmentSequence if "TrackingUID" in each] == [
        each.TrackingUID for each in other.SegmentSequence if "TrackingUID" in each
    ]


def test_nothing_found_is_refused(series, made):
    with pytest.raises(StructureSetInvalid) as refused:
        SegmentationObject(series, made, rois_named(["Prostate"]), authorship())
    assert refused.value.code == EMPTY


def test_the_patient_is_copied_byte_for_byte_in_any_character_set(tmp_path, made):
    name = "Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9"
    patient = SyntheticPatient(name=name, character_set=("", "ISO 2022 IR 149"))
    series = ct_series(tmp_path, patient=patient)
    ds = pydicom.dcmread(BytesIO(encoded(series, made)))
    source = pydicom.dcmread(next(tmp_path.glob("*.dcm")))
    assert ds.PatientName == source.PatientName
    assert ds.get_item("PatientName").value == source.get_item("PatientName").value
    assert ds.PatientID == source.PatientID
    assert ds.AccessionNumber == source.AccessionNumber


def test_uneven_slices_keep_their_own_positions(tmp_path, made):
    origins = GRID.slice_origins_lps_mm.copy()
    origins[6:] += (0, 0, 2.0)
    origins[7:] += (0, 0, 2.0)
    origins[8:] += (0, 0, 2.0)  # 3 mm, then three gaps of 5 mm, then 3 mm
    origins[9:] += (0, 0, 2.0)
    origins[10:] += (0, 0, 2.0)
    origins[11:] += (0, 0, 2.0)
    grid = Grid(origins, GRID.column_step_lps_mm, GRID.row_step_lps_mm, GRID.rows, GRID.columns)
    series = ct_series(tmp_path, grid)
    assert series.non_uniform
    read = reread(encoded(series, made))
    np.testing.assert_array_equal(
        masks_of(read, series)[..., 0], made.structures["External"].mask(GRID.shape_zyx)
    )
    frame = read.PerFrameFunctionalGroupsSequence[-1]
    uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    position = next(each.position_lps_mm for each in series.references if each.sop_instance_uid == uid)
    assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == pytest.approx(list(position))


def test_frames_of_an_enhanced_ct_are_referred_to_by_number(tmp_path, made):
    hu = np.full(GRID.shape_zyx, -1000, np.int16)
    files = write_enhanced_ct(tmp_path / "enhanced.dcm", hu, GRID)
    series = CtSeries.read(
        [files] if isinstance(files, Path) else list(files), limits=Limits(enhanced_ct=True)
    )
    ds = pydicom.dcmread(BytesIO(encoded(series, made)))
    by_position = {each.position_lps_mm: each for each in series.references}
    for frame in ds.PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        place = tuple(float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient)
        of = next(each for at, each in by_position.items() if np.allclose(at, place))
        assert image.ReferencedFrameNumber == of.frame_number
        assert image.ReferencedSOPClassUID == of.sop_class_uid
    (listed,) = ds.ReferencedSeriesSequence
    assert len(listed.ReferencedInstanceSequence) == 1


@pytest.mark.parametrize("position", ["HFP", "FFS"])
def test_patients_lying_otherwise(tmp_path, position):
    grid = patient_grid(position, shape_zyx=(12, 56, 60), spacing_zyx_mm=(3.0, 1.2, 0.9))
    made = segmentation(pelvis(grid))
    series = ct_series(tmp_path, grid)
    masks = masks_of(reread(encoded(series, made)), series)
    np.testing.assert_array_equal(masks[..., 1], made.structures["Bladder"].mask(grid.shape_zyx))


@pytest.mark.parametrize("label_map", [False, True])
def test_the_tables_of_the_standard_miss_nothing(series, made, label_map):
    ds = pydicom.dcmread(BytesIO(encoded(series, made, label_map=label_map)))
    # What stands in functional groups is the same for all frames or each frame's own; the tables ask for both.
    groups = "segmentation-multi-frame-functional-groups"
    assert [each for each in violations(ds) if each.module != groups] == []


@pytest.mark.peer
def test_dciodvfy_finds_nothing(series, made, tmp_path):
    if DCIODVFY is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    file = tmp_path / "segmentation.dcm"
    file.write_bytes(encoded(series, made))
    said = subprocess.run([DCIODVFY, "-new", file], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []


def test_a_single_field_of_one_voxel(series):
    values = np.full(GRID.shape_zyx, -1.0)
    values[5, 20, 30] = 1.0
    read = reread(encoded(series, segmentation({"Uterus": as_field(values)}, made_by=MODEL)))
    masks = masks_of(read, series)
    assert masks.sum() == 1
    assert masks[5, 20, 30, 0] == 1
