"""Every row of the catalogue of bad input: refused with which code, or accepted and told."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, MRImageStorage

from models.volume import Severity
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.ct_writer import SyntheticPatient, uid_of, write_ct, write_instance
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, sample_hu, stacked_grid
from service.errors import SeriesRefused

SHAPE = (12, 16, 20)
GRID = patient_grid("HFS", shape_zyx=SHAPE, spacing_zyx_mm=(3.0, 4.0, 4.0))
HU = np.random.default_rng(1).integers(-1000, 3000, SHAPE).astype(np.int16)
EVERY = None
LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


Tweak = Callable[[int, Dataset], Dataset | None]


def series(folder: Path, tweak: Tweak | None = None, **options) -> list[Path]:
    """Twelve slices; pydicom's warnings of what a test puts in on purpose are kept to the writing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_ct(folder, HU, options.pop("grid", GRID), tweak=tweak, **options)


def setting(only: int | None, **values) -> Tweak:
    """Set attributes of slice ``only``, or of every slice; None deletes the attribute."""

    def tweak(k: int, ds: Dataset) -> Dataset:
        if only is None or k == only:
            for keyword, value in values.items():
                if value is None:
                    del ds[keyword]
                else:
                    setattr(ds, keyword, value)
        return ds

    return tweak


def moved(offset: Callable[[int], tuple[float, float, float]]) -> Tweak:
    def tweak(k: int, ds: Dataset) -> Dataset:
        position = np.array(ds.ImagePositionPatient) + offset(k)
        ds.ImagePositionPatient = [f"{value:.6f}" for value in position]
        return ds

    return tweak


def again(file: Path, name: str, **values) -> Path:
    """A copy of an instance under another SOP instance UID, with some attributes changed."""
    ds = pydicom.dcmread(file)
    ds.SOPInstanceUID = uid_of(name)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    copied = file.with_name(f"{name}.dcm")
    write_instance(copied, ds)
    return copied


def refusal(files: list[Path], limits: Limits | None = None) -> SeriesRefused:
    with pytest.raises(SeriesRefused) as caught:
        CtSeries.read(files, limits=limits)
    return caught.value


def codes(read: CtSeries) -> list[str]:
    return [finding.code for finding in read.findings]


# A good series


def test_a_good_series_comes_back_as_it_was_written(tmp_path):
    read = CtSeries.read(series(tmp_path))
    assert read.findings == ()
    assert np.array_equal(read.volume().hu, HU)
    assert read.volume().hu.dtype == np.int16
    for name in ("slice_origins_lps_mm", "column_step_lps_mm", "row_step_lps_mm"):
        assert np.allclose(getattr(read.grid, name), getattr(GRID, name), atol=1e-9)


def test_references_stand_in_the_order_of_the_grid(tmp_path):
    read = CtSeries.read(series(tmp_path)[::-1])
    assert [r.sop_instance_uid for r in read.references] == [uid_of(0, 2, k) for k in range(12)]
    assert [r.frame_number for r in read.references] == [None] * 12
    assert np.allclose([r.position_lps_mm for r in read.references], GRID.slice_origins_lps_mm)


def test_files_in_any_order_give_the_same_series(tmp_path):
    files = series(tmp_path)
    shuffled = [files[i] for i in np.random.default_rng(3).permutation(12)]
    assert np.array_equal(CtSeries.read(shuffled).volume().hu, HU)


def test_nothing_of_the_patient_is_printed(tmp_path):
    who = SyntheticPatient(name="Canary^Yellow", patient_id="CANARY-1")
    read = CtSeries.read(series(tmp_path, patient=who))
    for printed in (repr(read), str(read), repr(read.references), repr(read.findings)):
        assert "anary" not in printed.lower()
        assert "2.25" not in printed


def test_the_header_names_the_patient_and_holds_neither_pixels_nor_private_attributes(tmp_path):
    def private(k, ds):
        ds.private_block(0x0011, "SOMEONE", create=True).add_new(1, "LO", "secret")
        return ds

    read = CtSeries.read(series(tmp_path, private, patient=SyntheticPatient(name="Doe^Jane")))
    assert read.header.PatientName == "Doe^Jane"
    assert "PixelData" not in read.header
    assert not any(tag.is_private for tag in read.header.keys())  # noqa: SIM118 - a Dataset iterates over values


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("GB18030", "王^小东"),
        (("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
        (("", "ISO 2022 IR 58"), "Zhang^XiaoDong=张^小东"),
        ("ISO_IR 100", "Åström^Björn"),
        ("ISO_IR 192", "Ångström^Örjan"),
    ],
)
def test_the_attributes_to_copy_keep_their_bytes_and_their_character_set(tmp_path, character_set, name):
    files = series(tmp_path, patient=SyntheticPatient(name=name, character_set=character_set))
    copied = CtSeries.read(files).patient_attributes
    original = pydicom.dcmread(files[0])
    assert copied.SpecificCharacterSet == original.SpecificCharacterSet
    assert copied.get_item("PatientName").value == original.get_item("PatientName").value
    assert copied.PatientName == original.PatientName
    assert copied.StudyInstanceUID == original.StudyInstanceUID
    assert "SeriesInstanceUID" not in copied
    assert "KVP" not in copied


# Orientation


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_every_patient_position_is_accepted_and_left_stays_left(tmp_path, position):
    grid = patient_grid(position, shape_zyx=(8, 16, 16))
    hu = sample_hu(grid, lambda x, y, z: 10 * x + y + z / 10)
    read = CtSeries.read(write_ct(tmp_path, hu, grid, patient_position=position))
    assert read.findings == ()
    rows, columns = np.mgrid[:16, :16].astype(float)
    for k in range(8):
        x, y, z = np.moveaxis(read.grid.positions_lps_mm(k, rows, columns), -1, 0)
        assert np.array_equal(read.volume().hu[k], np.rint(10 * x + y + z / 10))


def test_an_oblique_series_is_accepted(tmp_path):
    turned = rotated(ORIENTATIONS["HFS"], (1, 1, 0), 12)
    grid = stacked_grid(turned, np.arange(12) * 3.0, shape_yx=SHAPE[1:], spacing_yx_mm=(4, 4))
    read = CtSeries.read(series(tmp_path, grid=grid))
    assert np.allclose(read.grid.slice_origins_lps_mm, grid.slice_origins_lps_mm, atol=1e-6)


def test_a_missing_patient_position_is_accepted_and_told(tmp_path):
    read = CtSeries.read(series(tmp_path, setting(EVERY, PatientPosition=None)))
    assert codes(read) == ["ct.patient-position-missing"]


@pytest.mark.parametrize("label", ["HFP", "FFS", "HFDL"])
def test_a_patient_position_that_contradicts_the_orientation_waits_for_a_person(tmp_path, label):
    read = CtSeries.read(series(tmp_path, patient_position=label))
    (finding,) = read.findings
    assert (finding.code, finding.severity) == ("ct.patient-position-contradicts", Severity.HOLD)
    assert f"says {label}, but the images lie as for HFS" in read.notes[0]


def test_a_label_that_is_no_patient_position_is_not_repeated(tmp_path):
    read = CtSeries.read(series(tmp_path, patient_position="DOE"))
    assert "DOE" not in read.notes[0]


@pytest.mark.parametrize(
    ("tilt", "found"), [("0.0", []), ("-0.4", []), ("-12.5", ["ct.gantry-tilt-contradicts"])]
)
def test_a_tilt_that_the_slices_do_not_have_is_told(tmp_path, tilt, found):
    read = CtSeries.read(series(tmp_path, setting(EVERY, GantryDetectorTilt=tilt)))
    assert codes(read) == found
    assert "12.5 degrees" in "".join(read.notes) or not found


def test_a_tilt_that_only_some_slices_name_is_told(tmp_path):
    read = CtSeries.read(series(tmp_path, setting(7, GantryDetectorTilt="12.5")))
    assert codes(read) == ["ct.gantry-tilt-contradicts"]


def test_a_tilt_that_the_slices_have_is_not(tmp_path):
    """Reformatted along the tilted normal: 12.5 degrees about the patient's left-right axis."""
    cosine, sine = np.cos(np.radians(12.5)), np.sin(np.radians(12.5))
    grid = stacked_grid(
        (1, 0, 0, 0, cosine, sine), np.arange(12) * 3.0, shape_yx=SHAPE[1:], spacing_yx_mm=(4, 4)
    )
    read = CtSeries.read(series(tmp_path, setting(EVERY, GantryDetectorTilt="12.5"), grid=grid))
    assert "ct.gantry-tilt-contradicts" not in codes(read)


def test_a_coronal_series_is_told(tmp_path):
    grid = stacked_grid((1, 0, 0, 0, 0, -1), np.arange(12) * 3.0, shape_yx=SHAPE[1:], spacing_yx_mm=(4, 4))
    assert codes(CtSeries.read(series(tmp_path, grid=grid))) == ["ct.not-transverse"]


def test_gantry_tilt_is_refused(tmp_path):
    c, s = np.cos(np.radians(2)), np.sin(np.radians(2))
    tilt = setting(EVERY, ImageOrientationPatient=[1, 0, 0, 0, f"{c:.8f}", f"{-s:.8f}"])
    assert refusal(series(tmp_path, tilt)).code == "series.gantry-tilt"


def test_one_slice_of_another_orientation_is_refused(tmp_path):
    turned = setting(3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert refusal(series(tmp_path, turned)).code == "series.orientation-mixed"


# Positions and spacing


def test_a_missing_slice_is_refused_with_its_place(tmp_path):
    files = series(tmp_path)
    refused = refusal(files[:5] + files[6:])
    assert refused.code == "series.hole"
    assert "1 between z = -4.5 and 1.5 mm" in refused.sentence


def test_two_and_a_half_then_five_millimetres_are_accepted_and_told(tmp_path):
    offsets = np.concatenate([np.arange(6) * 2.5, 12.5 + 5 * np.arange(1, 7)])
    grid = stacked_grid(ORIENTATIONS["HFS"], offsets, shape_yx=SHAPE[1:], spacing_yx_mm=(4, 4))
    read = CtSeries.read(series(tmp_path, grid=grid))
    assert read.non_uniform
    assert codes(read) == ["ct.non-uniform"]
    assert np.allclose(read.grid.slice_offsets_mm, offsets)


def test_jitter_is_accepted_and_each_slice_keeps_its_own_position(tmp_path):
    read = CtSeries.read(series(tmp_path, moved(lambda k: (0, 0, 0.05 * (k % 2)))))
    assert read.findings == ()
    assert np.allclose(np.diff(read.grid.slice_offsets_mm)[:2], [3.05, 2.95])


def test_an_irregular_spacing_is_refused(tmp_path):
    refused = refusal(series(tmp_path, moved(lambda k: (0, 0, 1.5 * (k > 5)))))
    assert refused.code == "series.spacing-irregular"


def test_a_slice_shifted_sideways_is_refused(tmp_path):
    assert refusal(series(tmp_path, moved(lambda k: (4.0 * (k == 5), 0, 0)))).code == "series.slice-shifted"


def test_an_end_that_stands_off_is_told(tmp_path):
    files = series(tmp_path)
    read = CtSeries.read(files[:1] + files[2:])
    assert codes(read) == ["ct.end-stands-off"]
    assert read.non_uniform


@pytest.mark.parametrize("value", [["0", "0", "nan"], ["0", "0", "1e9"], ["0", "0"]])
def test_a_position_that_is_none_is_refused(tmp_path, value):
    assert refusal(series(tmp_path, setting(3, ImagePositionPatient=value))).code == "series.position-invalid"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_few_slices_are_refused(tmp_path, count):
    assert refusal(series(tmp_path)[:count]).code == "series.too-few-slices"


def test_as_many_slices_as_the_site_asks_for_are_enough(tmp_path):
    assert len(CtSeries.read(series(tmp_path)[:3], limits=Limits(minimum_slices=3)).references) == 3


def test_slices_too_far_apart_to_be_a_planning_ct_are_refused(tmp_path):
    grid = patient_grid(shape_zyx=SHAPE, spacing_zyx_mm=(25, 4, 4))
    assert refusal(series(tmp_path, grid=grid)).code == "series.slice-spacing"


# Duplicates, localizers, phases


def test_a_slice_sent_twice_under_two_uids_is_counted_once_and_the_newest_dropped(tmp_path):
    files = series(tmp_path)
    copied = again(files[5], "copy")
    os.utime(copied, (1, 1))
    read = CtSeries.read([*files, copied])
    assert codes(read) == ["ct.duplicates-left-out"]
    assert read.references[5].sop_instance_uid == uid_of("copy")
    os.utime(copied)
    os.utime(files[5], (1, 1))
    assert CtSeries.read([*files, copied]).references[5].sop_instance_uid == uid_of(0, 2, 5)


def test_two_images_at_one_position_are_refused(tmp_path):
    files = series(tmp_path)
    other = again(files[5], "other", PixelData=bytes(16 * 20 * 2))
    refused = refusal([*files, other])
    assert refused.code == "series.duplicate-position"
    assert "z = -1.5 mm" in refused.sentence


def test_the_same_pixels_with_another_slope_are_not_the_same_image(tmp_path):
    files = series(tmp_path)
    assert refusal([*files, again(files[5], "other", RescaleSlope=2)]).code == "series.duplicate-position"


def test_two_different_slices_of_one_uid_are_refused(tmp_path):
    files = series(tmp_path, setting(7, SOPInstanceUID=uid_of(0, 2, 3)))
    assert refusal(files).code == "series.duplicate-instance"


@pytest.mark.parametrize(
    "values",
    [
        {"AcquisitionNumber": ("1", "2")},
        {"ConvolutionKernel": ("Br38", "Br64")},
        {"ContrastBolusAgent": ("", "X")},
    ],
)
def test_two_scans_that_lie_between_one_another_wait_for_a_person(tmp_path, values):
    def alternate(k, ds):
        for keyword, pair in values.items():
            setattr(ds, keyword, pair[k % 2])
        return ds

    (finding,) = CtSeries.read(series(tmp_path, alternate)).findings
    assert (finding.code, finding.severity) == ("ct.acquisitions-interleaved", Severity.HOLD)


@pytest.mark.parametrize("numbers", [range(12, 0, -1), [1] * 5 + [2] * 4 + [3] * 3])
def test_blocks_that_were_scanned_one_after_the_other_are_one_ct(tmp_path, numbers):
    def block(k, ds):
        ds.AcquisitionNumber = numbers[k]
        return ds

    assert CtSeries.read(series(tmp_path, block)).findings == ()


def test_a_localizer_is_left_out_and_told(tmp_path):
    files = series(tmp_path)
    values = {
        "ImageType": LOCALIZER,
        "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
    }
    read = CtSeries.read([*files, again(files[0], "localizer", **values)])
    assert codes(read) == ["ct.localizers-left-out"]
    assert len(read.references) == 12


def test_slices_that_call_themselves_localizers_are_no_scouts_and_a_person_looks(tmp_path):
    def lower_half(k, ds):
        if k < 6:
            ds.ImageType = LOCALIZER
        return ds

    read = CtSeries.read(series(tmp_path, lower_half))
    assert len(read.references) == 6
    (finding,) = read.findings
    assert (finding.code, finding.severity) == ("ct.localizers-like-slices", Severity.HOLD)


def test_a_localizer_may_be_of_another_size_and_lack_a_position(tmp_path):
    files = series(tmp_path)
    localizer = again(files[0], "localizer", ImageType=LOCALIZER, PixelSpacing=[1, 1])
    ds = pydicom.dcmread(localizer)
    del ds.ImagePositionPatient
    write_instance(localizer, ds)
    assert len(CtSeries.read([*files, localizer]).references) == 12


def test_a_series_of_localizers_only_is_refused(tmp_path):
    files = series(tmp_path, setting(EVERY, ImageType=LOCALIZER))
    assert refusal(files).code == "series.only-localizers"


def test_two_phases_of_a_4d_ct_in_one_series_are_refused(tmp_path):
    files = series(tmp_path)
    second = [again(f, f"phase-{k}", PixelData=bytes([k]) * 640) for k, f in enumerate(files)]
    refused = refusal(files + second)
    assert refused.code == "series.phases"
    assert "2 phases" in refused.sentence


def test_slices_of_different_temporal_positions_are_refused(tmp_path):
    def tweak(k, ds):
        ds.TemporalPositionIdentifier = str(k % 2)
        return ds

    assert refusal(series(tmp_path, tweak)).code == "series.phases"


def test_one_phase_alone_is_accepted(tmp_path):
    files = series(tmp_path, setting(EVERY, TemporalPositionIdentifier="3"))
    assert CtSeries.read(files).findings == ()


# Whose CT it is


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "SOMEBODY-ELSE"),
        ("PatientName", "Else^Somebody"),
        ("PatientBirthDate", "19600101"),
        ("StudyInstanceUID", uid_of("another study")),
        ("FrameOfReferenceUID", uid_of("another frame")),
    ],
)
def test_slices_that_differ_in_patient_study_or_frame_of_reference_are_refused(tmp_path, keyword, value):
    refused = refusal(series(tmp_path, setting(3, **{keyword: value})))
    assert refused.code == "identity-differs"
    assert keyword in refused.sentence
    assert "1 of 12" in refused.sentence
    assert value not in refused.sentence


def test_a_name_that_differs_in_padding_only_is_the_same_name(tmp_path):
    assert CtSeries.read(series(tmp_path, setting(3, PatientName="Phantom^Synthetic^^ "))).findings == ()


def test_a_missing_frame_of_reference_is_refused(tmp_path):
    refused = refusal(series(tmp_path, setting(EVERY, FrameOfReferenceUID=None)))
    assert refused.code == "series.frame-of-reference-missing"


def test_two_series_in_one_are_refused(tmp_path):
    refused = refusal(series(tmp_path, setting(3, SeriesInstanceUID=uid_of("another series"))))
    assert refused.code == "series.mixed"


@pytest.mark.parametrize("uid", ["../../etc/x", "1.2.03.4", "1.2." + "9" * 70, "1..2"])
def test_a_bad_uid_is_refused_and_not_repeated(tmp_path, uid):
    refused = refusal(series(tmp_path, setting(3, SOPInstanceUID=uid)))
    assert refused.code == "series.uid-invalid"
    assert uid not in refused.sentence


@pytest.mark.parametrize("values", [{"SOPClassUID": MRImageStorage}, {"Modality": "MR"}])
def test_what_is_no_ct_is_refused(tmp_path, values):
    assert refusal(series(tmp_path, setting(3, **values))).code == "series.not-ct"


@pytest.mark.parametrize(
    "keyword",
    [
        "SOPInstanceUID",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "BitsStored",
        "PixelRepresentation",
    ],
)
def test_an_attribute_of_type_1_without_a_value_is_refused_by_name(tmp_path, keyword):
    def empty(k, ds):
        ds[keyword].value = None if k == 3 else ds[keyword].value
        return ds

    refused = refusal(series(tmp_path, empty))
    assert refused.code == "series.attribute-missing"
    assert f"{keyword} (1)" in refused.sentence


def test_private_attributes_are_ignored(tmp_path):
    def private(k, ds):
        ds.private_block(0x0011, "SOMEONE", create=True).add_new(1, "OB", bytes(1000))
        return ds

    assert np.array_equal(CtSeries.read(series(tmp_path, private)).volume().hu, HU)


def test_a_header_of_many_kilobytes_is_read_to_its_end(tmp_path):
    def long(k, ds):
        ds.private_block(0x0011, "SOMEONE", create=True).add_new(1, "OB", bytes(200_000))
        return ds

    assert np.array_equal(CtSeries.read(series(tmp_path, long)).volume().hu, HU)


# Size


@pytest.mark.parametrize(
    "spacing",
    [
        (50, 50),
        (0.1, 0.1),
        (5.1, 1),
        (0, 0),
        (-1, 1),
        ("nan", "nan"),
        ("0_1", "0_1"),
        (1, 1, 1),
    ],
)
def test_pixels_of_no_planning_ct_are_refused(tmp_path, spacing):
    files = series(tmp_path, setting(EVERY, PixelSpacing=list(map(str, spacing))))
    assert refusal(files).code == "series.pixel-spacing"


@pytest.mark.parametrize("spacing", [(0.2, 0.2), (5, 5), (1.0, 1.25)])
def test_pixels_of_a_fifth_to_five_millimetres_are_accepted_square_or_not(tmp_path, spacing):
    read = CtSeries.read(series(tmp_path, setting(EVERY, PixelSpacing=list(spacing))))
    assert (read.grid.row_spacing_mm, read.grid.column_spacing_mm) == pytest.approx(spacing)


def test_a_field_of_view_wider_than_any_bore_is_refused(tmp_path):
    grid = patient_grid(shape_zyx=(5, 4, 300), spacing_zyx_mm=(3, 4, 4))
    files = write_ct(tmp_path, np.zeros((5, 4, 300), np.int16), grid)
    assert refusal(files).code == "series.field-of-view"


@pytest.mark.parametrize("values", [{"Rows": 65535, "Columns": 65535}, {"Rows": 8192}])
def test_huge_images_are_refused_before_they_are_decoded(tmp_path, values):
    assert refusal(series(tmp_path, setting(EVERY, **values))).code == "series.too-large"


def test_a_volume_larger_than_the_node_takes_is_refused(tmp_path):
    assert refusal(series(tmp_path), Limits(voxels=1000)).code == "series.too-large"


@pytest.mark.parametrize("values", [{"PixelSpacing": [1.5, 1.5]}, {"Rows": 8}])
def test_slices_that_differ_in_size_are_refused(tmp_path, values):
    assert refusal(series(tmp_path, setting(3, **values))).code == "series.pixels-differ"


# Files


def test_a_file_that_is_no_dicom_is_refused(tmp_path):
    files = series(tmp_path)
    files[3].write_bytes(b"not DICOM at all" * 100)
    assert refusal(files).code == "series.not-dicom"


def test_a_file_that_ends_within_its_header_is_refused(tmp_path):
    files = series(tmp_path)
    files[3].write_bytes(files[3].read_bytes()[:700])
    assert refusal(files).code == "series.no-pixels"


def test_a_file_that_vanished_is_refused_without_its_path(tmp_path):
    files = series(tmp_path)
    files[3].unlink()
    refused = refusal(files)
    assert refused.code == "series.file-unreadable"
    assert str(tmp_path) not in refused.sentence


def test_no_files_are_no_series():
    assert refusal([]).code == "series.no-slices"


def test_big_endian_reads_right(tmp_path):
    read = CtSeries.read(series(tmp_path, transfer_syntax=ExplicitVRBigEndian))
    assert np.array_equal(read.volume().hu, HU)


def test_an_array_of_another_shape_or_type_is_not_filled(tmp_path):
    read = CtSeries.read(series(tmp_path))
    for out in (np.empty((1, 2, 3), np.int16), np.empty(SHAPE, np.float64)):
        with pytest.raises(ValueError, match="cannot hold"):
            read.fill(out)


def test_shared_memory_can_be_filled_as_float32_too(tmp_path):
    out = np.empty(SHAPE, np.float32)
    CtSeries.read(series(tmp_path)).fill(out)
    assert np.array_equal(out, HU.astype(np.float32))


def test_a_series_read_twice_is_not_changed_by_reading(tmp_path):
    files = series(tmp_path)
    before = [copy.copy(f.read_bytes()) for f in files]
    CtSeries.read(files).volume()
    assert [f.read_bytes() for f in files] == before
