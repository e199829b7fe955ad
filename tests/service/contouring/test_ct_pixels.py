"""Stored pixels into CT numbers, with values that can be worked out on paper."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from service.contouring.codestream import codestream_shape
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import patient_grid
from service.errors import SeriesRefused

SHAPE = (5, 48, 64)
GRID = patient_grid("HFS", shape_zyx=SHAPE, spacing_zyx_mm=(3.0, 4.0, 4.0))
HU = np.random.default_rng(2).integers(-1000, 3000, SHAPE).astype(np.int16)
LOSSLESS = [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1]


def series(folder: Path, only=None, syntax=ImplicitVRLittleEndian, **values) -> list[Path]:
    """Five slices; the attributes named are set in slice ``only``, or in all."""

    def tweak(k, ds):
        if only is None or k == only:
            for keyword, value in values.items():
                setattr(ds, keyword, value)
        return ds

    return write_ct(folder, HU, GRID, transfer_syntax=syntax, tweak=tweak)


def stored(values, dtype="<i2") -> bytes:
    """One slice: the given values in its first row, zeros elsewhere."""
    pixels = np.zeros(SHAPE[1:], dtype)
    pixels[0, : len(values)] = values
    return pixels.tobytes()


def first_row(files: list[Path], count: int, k: int = 0) -> list[float]:
    return CtSeries.read(files).volume().hu[k, 0, :count].tolist()


def refusal(files: list[Path], limits: Limits | None = None) -> SeriesRefused:
    with pytest.raises(SeriesRefused) as caught:
        CtSeries.read(files, limits=limits).volume()
    return caught.value


# Rescale


@pytest.mark.parametrize(("name", "value"), [("RescaleSlope", "0"), ("RescaleSlope", "0.0")])
def test_a_slope_of_zero_is_refused(tmp_path, name, value):
    assert refusal(series(tmp_path, only=2, **{name: value})).code == "series.rescale-invalid"


def test_a_slope_of_a_half_gives_float32(tmp_path):
    files = series(
        tmp_path, RescaleSlope="0.5", RescaleIntercept="-1024", PixelData=stored([0, 1, 2048, 2049])
    )
    read = CtSeries.read(files)
    assert read.hu_dtype == np.float32
    assert read.volume().hu[0, 0, :4].tolist() == [-1024, -1023.5, 0, 0.5]


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path):
    files = series(
        tmp_path, only=3, RescaleSlope="2", RescaleIntercept="-1000", PixelData=stored([0, 500, 501])
    )
    volume = CtSeries.read(files).volume()
    assert volume.hu.dtype == np.int16
    assert volume.hu[3, 0, :3].tolist() == [-1000, 0, 2]
    assert np.array_equal(volume.hu[2], HU[2])


def test_one_slice_with_a_fraction_makes_the_whole_volume_float32(tmp_path):
    files = series(tmp_path, only=3, RescaleIntercept="-1024.5", PixelData=stored([0]))
    volume = CtSeries.read(files).volume()
    assert volume.hu.dtype == np.float32
    assert volume.hu[3, 0, 0] == -1024.5
    assert np.array_equal(volume.hu[2], HU[2].astype(np.float32))


@pytest.mark.parametrize("kind", ["OD", "Z_EFF", "ED", "PCT", "ed"])
def test_images_in_other_units_are_refused(tmp_path, kind):
    assert refusal(series(tmp_path, RescaleType=kind)).code == "series.not-hounsfield"


def test_images_in_units_we_do_not_know_are_told(tmp_path):
    read = CtSeries.read(series(tmp_path, RescaleType="HU_MOD"))
    assert [finding.code for finding in read.findings] == ["ct.rescale-type"]


# Stored bits


def test_unsigned_pixels_of_twelve_bits(tmp_path):
    values = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    files = series(tmp_path, **values, PixelData=stored([0, 1024, 4095], "<u2"))
    assert first_row(files, 3) == [-1024, 0, 3071]


def test_signed_pixels_of_twelve_bits_keep_their_sign(tmp_path):
    values = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": "0"}
    files = series(tmp_path, **values, PixelData=stored([0x0FFF, 0x0800, 0x07FF], "<u2"))
    assert first_row(files, 3) == [-1, -2048, 2047]


def test_bits_above_the_high_bit_are_dropped(tmp_path):
    values = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    files = series(tmp_path, **values, PixelData=stored([0xF000 | 1024, 0x1000], "<u2"))
    assert first_row(files, 2) == [0, -1024]


def test_a_high_bit_in_an_odd_place_is_honoured(tmp_path):
    values = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 14}
    files = series(tmp_path, **values, PixelData=stored([1024 << 3, (1024 << 3) | 0b111, 0x8000], "<u2"))
    assert first_row(files, 3) == [0, 0, -1024]


@pytest.mark.parametrize(
    ("signed", "intercept", "raw", "hu"),
    [
        (1, -1024, [-32768, -31744, 32767], [-32768, -32768, 31743]),
        (1, 1000, [-32768, 31767, 32767], [-31768, 32767, 32767]),
        (0, -1024, [0, 33791, 65535], [-1024, 32767, 32767]),
        (0, 0, [0, 32767, 65535], [0, 32767, 32767]),
        (1, -40000, [0, 32767], [-32768, -7233]),
        (0, -32768, [0, 65535], [-32768, 32767]),
    ],
)
def test_ct_numbers_stop_at_the_ends_of_int16(tmp_path, signed, intercept, raw, hu):
    pixels = stored(raw, "<i2" if signed else "<u2")
    files = series(tmp_path, PixelRepresentation=signed, RescaleIntercept=str(intercept), PixelData=pixels)
    assert first_row(files, len(hu)) == hu


@pytest.mark.parametrize(
    "values",
    [
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"BitsStored": 17},
        {"HighBit": 3},
        {"PixelRepresentation": 2},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"SamplesPerPixel": 3},
    ],
)
def test_pixels_stored_otherwise_are_refused(tmp_path, values):
    assert refusal(series(tmp_path, **values)).code == "series.pixel-format"


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1])
def test_a_compressed_image_whose_high_bit_contradicts_its_stored_bits_is_refused(tmp_path, syntax):
    values = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    files = series(tmp_path, syntax=syntax, **values, PixelData=stored([0, 1024, 4095], "<u2"))
    for file in files:
        ds = pydicom.dcmread(file)
        ds.HighBit = 15  # a codestream of twelve bits, read so, had CT numbers a sixteenth of what they are
        ds.save_as(file)
    assert refusal(files).code == "series.pixel-format"


# Padding


def padded(folder: Path, **values) -> list[Path]:
    def tweak(k, ds):
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            if keyword in ds:
                ds[keyword].VR = "SS" if ds.PixelRepresentation else "US"
        return ds

    return write_ct(folder, HU, GRID, tweak=tweak)


def test_padding_becomes_air(tmp_path):
    files = padded(
        tmp_path, PixelPaddingValue=-2000, RescaleIntercept="0", PixelData=stored([-2000, -1999, 40])
    )
    assert first_row(files, 3) == [-1024, -1999, 40]


def test_a_range_of_padding_becomes_air(tmp_path):
    values = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1500, "RescaleIntercept": "0"}
    files = padded(tmp_path, **values, PixelData=stored([-2000, -1500, -1700, -1499]))
    assert first_row(files, 4) == [-1024, -1024, -1024, -1499]


def test_padding_that_needs_more_bits_than_are_stored_becomes_air(tmp_path):
    values = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 63536}
    files = padded(tmp_path, **values, PixelData=stored([63536, 1024], "<u2"))
    assert first_row(files, 2) == [-1024, 0]


def test_padding_becomes_air_in_float32_too(tmp_path):
    values = {"PixelPaddingValue": -2000, "RescaleSlope": "0.5", "RescaleIntercept": "0"}
    files = padded(tmp_path, **values, PixelData=stored([-2000, 3]))
    assert first_row(files, 2) == [-1024, 1.5]


def test_a_padding_value_that_tissue_may_have_is_told(tmp_path):
    read = CtSeries.read(padded(tmp_path, PixelPaddingValue=1024))
    assert [finding.code for finding in read.findings] == ["ct.padding-in-tissue"]


# Length


@pytest.mark.parametrize("length", [0, 4000, 48 * 64 * 2 - 2])
def test_pixels_cut_short_are_refused_before_anything_is_decoded(tmp_path, length):
    files = series(tmp_path, only=3, PixelData=bytes(length))
    with pytest.raises(SeriesRefused) as caught:
        CtSeries.read(files)
    assert caught.value.code == "series.pixels-truncated"


def test_a_file_cut_short_is_refused(tmp_path):
    files = series(tmp_path)
    files[3].write_bytes(files[3].read_bytes()[:-100])
    assert refusal(files).code == "series.pixels-truncated"


def test_a_file_cut_short_after_its_header_was_read_is_refused(tmp_path):
    files = series(tmp_path)
    read = CtSeries.read(files)
    files[3].write_bytes(files[3].read_bytes()[:-100])
    with pytest.raises(SeriesRefused) as caught:
        read.volume()
    assert caught.value.code == "series.pixels-truncated"


def test_a_file_gone_after_its_header_was_read_is_refused(tmp_path):
    files = series(tmp_path)
    read = CtSeries.read(files)
    files[3].unlink()
    with pytest.raises(SeriesRefused) as caught:
        read.volume()
    assert caught.value.code == "series.file-unreadable"


def test_more_pixels_than_rows_and_columns_say_are_refused(tmp_path):
    assert refusal(series(tmp_path, only=3, PixelData=bytes(2 * 48 * 64 * 2))).code == "series.pixels-length"


def test_several_frames_in_the_single_frame_class_are_refused(tmp_path):
    assert refusal(series(tmp_path, only=3, NumberOfFrames=2)).code == "series.multi-frame"


# Compression


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_syntax_gives_the_same_numbers(tmp_path, syntax):
    read = CtSeries.read(series(tmp_path, syntax=syntax))
    assert np.array_equal(read.volume().hu, HU)
    assert read.findings == ()


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_unsigned_pixels_of_twelve_bits_survive_compression(tmp_path, syntax):
    values = {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    files = series(tmp_path, syntax=syntax, **values, PixelData=stored([0, 1024, 4095], "<u2"))
    assert first_row(files, 3) == [-1024, 0, 3071]


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_signed_pixels_of_twelve_bits_survive_compression(tmp_path, syntax):
    values = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": "0"}
    files = series(tmp_path, syntax=syntax, **values, PixelData=stored([-1, -2048, 2047]))
    assert first_row(files, 3) == [-1, -2048, 2047]


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_damaged_codestream_is_refused(tmp_path, syntax):
    files = series(tmp_path, syntax=syntax)
    data = bytearray(files[3].read_bytes())
    start = data.index(b"\xe0\x7f\x10\x00") + 28
    data[start : start + 600] = bytes(600)
    files[3].write_bytes(data)
    assert refusal(files).code == "series.pixels-undecodable"


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1])
def test_a_codestream_that_says_it_is_huge_is_refused_before_it_is_decoded(tmp_path, syntax):
    files = series(tmp_path, syntax=syntax)
    data = files[3].read_bytes()
    said = struct.pack(">LL", 64, 48) if syntax == JPEG2000Lossless else struct.pack(">HH", 48, 64)
    huge = (
        struct.pack(">LL", 60000, 60000) if syntax == JPEG2000Lossless else struct.pack(">HH", 60000, 60000)
    )
    at = data.index(said, data.index(b"\xe0\x7f\x10\x00"))
    files[3].write_bytes(data[:at] + huge + data[at + len(huge) :])
    assert refusal(files).code == "series.pixels-undecodable"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_what_two_slices_show_is_compared_when_compressed_too(tmp_path, syntax):
    files = series(tmp_path / "compressed", syntax=syntax)
    native = series(tmp_path / "native", only=2, SOPInstanceUID="2.25.42")
    read = CtSeries.read([*files, native[2]])
    assert [finding.code for finding in read.findings] == ["ct.duplicates-left-out"]
    assert len(read.references) == 5


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, "1.2.840.113619.5.2"])
def test_other_transfer_syntaxes_are_refused(tmp_path, syntax):
    files = series(tmp_path)
    if syntax == DeflatedExplicitVRLittleEndian:
        files = series(tmp_path, syntax=syntax)
    else:
        for file in files:
            ds = pydicom.dcmread(file)
            ds.file_meta.TransferSyntaxUID = syntax
            ds.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
            ds["PixelData"].is_undefined_length = True
            ds.save_as(file, implicit_vr=False, little_endian=True)
    assert refusal(files).code == "series.transfer-syntax"


# Loss


def test_a_ct_compressed_with_loss_is_told_or_refused_as_the_site_says(tmp_path):
    files = series(tmp_path, LossyImageCompression="01")
    assert [finding.code for finding in CtSeries.read(files).findings] == ["ct.lossy"]
    assert refusal(files, Limits(lossy="refuse")).code == "series.lossy"


def test_one_lossy_slice_is_enough(tmp_path):
    assert (
        refusal(series(tmp_path, only=3, LossyImageCompression="01"), Limits(lossy="refuse")).code
        == "series.lossy"
    )


@pytest.mark.parametrize("syntax", [JPEG2000, JPEGLSNearLossless])
def test_a_syntax_that_may_lose_something_is_told_even_if_the_images_do_not(tmp_path, syntax):
    files = series(tmp_path, syntax=syntax)
    for file in files:
        ds = pydicom.dcmread(file)
        assert ds.LossyImageCompression == "01"
        del ds.LossyImageCompression
        ds.save_as(file)
    read = CtSeries.read(files)
    assert [finding.code for finding in read.findings] == ["ct.lossy"]
    assert np.corrcoef(read.volume().hu.ravel(), HU.ravel())[0, 1] > 0.5


def test_no_loss_said_and_none_possible_is_no_finding(tmp_path):
    assert CtSeries.read(series(tmp_path, LossyImageCompression="00")).findings == ()


# Codestreams


FRAME = b"\xff\xc3\x00\x0b\x10" + struct.pack(">HH", 48, 64) + bytes(9)


@pytest.mark.parametrize("before", [b"", b"\xff\xe0\x00\x04ab", b"\xff", b"\xff\x01"])
def test_the_size_in_a_jpeg_header_is_found_behind_other_segments(before):
    assert codestream_shape(b"\xff\xd8" + before + FRAME) == (48, 64)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", bytes(64), b"\xff\xd8\xff\xe0" + bytes(9)]
)
def test_what_is_no_codestream_has_no_size(data):
    assert codestream_shape(data) is None
