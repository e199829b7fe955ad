"""Finding elements at the front of a data set: against pydicom, cut off anywhere, and against nonsense."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from service.dicom.ct_writer import write_ct
from service.dicom.header_scan import (
    DEEPEST,
    HeaderIncomplete,
    HeaderMalformed,
    scan,
    scan_file,
    scan_to_the_end,
)
from service.dicom.patient_grids import patient_grid

SERIES = 0x0020000E
POSITION = 0x00200032
WANTED = (SERIES, POSITION)
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

both_encodings = pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT], ids=["implicit", "explicit"])


@pytest.fixture
def make_ct():
    """A CT slice with what stands before and after the elements looked for, and a few pixels."""

    def made() -> Dataset:
        ds = Dataset()
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SOPInstanceUID = "2.25.20.1"
        ds.PatientName = "Canary^Patient"
        ds.SeriesInstanceUID = "2.25.20"
        ds.ImagePositionPatient = [-250.0, -250.0, 3.0]
        ds.Rows = ds.Columns = ds.BitsAllocated = 16
        ds.PixelRepresentation = 1
        ds.PixelData = bytes(512)
        return ds

    return made


@pytest.fixture
def encode():
    def encoded(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
        ds.set_original_encoding(syntax == IMPLICIT, True)
        with io.BytesIO() as stream:
            file = DicomFileLike(stream)
            file.is_little_endian, file.is_implicit_VR = True, syntax == IMPLICIT
            write_dataset(file, ds)
            return stream.getvalue()

    return encoded


def with_sequences(ds: Dataset, *, undefined: bool) -> Dataset:
    inner = Dataset()
    inner.ReferencedSOPClassUID = "1.2.3"
    inner.is_undefined_length_sequence_item = undefined
    middle = Dataset()
    middle.ReferencedImageSequence = Sequence([inner])
    middle["ReferencedImageSequence"].is_undefined_length = undefined
    middle.SeriesInstanceUID = "9.9.9"  # the same tag, further in: not the one looked for
    middle.is_undefined_length_sequence_item = undefined
    ds.ReferencedStudySequence = Sequence([middle, inner])
    ds["ReferencedStudySequence"].is_undefined_length = undefined
    return ds


@both_encodings
@pytest.mark.parametrize("undefined", [True, False], ids=["undefined length", "defined length"])
def test_values_behind_nested_sequences_are_found(make_ct, encode, syntax, undefined):
    data = encode(with_sequences(make_ct(), undefined=undefined), syntax)
    found = scan(data, WANTED, explicit=syntax == EXPLICIT)
    assert found[SERIES].rstrip(b"\0") == b"2.25.20"
    assert found[POSITION].split(b"\\")[2].strip() == b"3.0"


@both_encodings
def test_data_cut_off_anywhere_ask_for_more_and_never_give_a_wrong_value(make_ct, encode, syntax):
    data = encode(with_sequences(make_ct(), undefined=True), syntax)
    whole = scan(data, WANTED, explicit=syntax == EXPLICIT)
    answers = []
    for length in range(len(data) - 512):
        try:
            answers.append(scan(memoryview(data)[:length], WANTED, explicit=syntax == EXPLICIT))
        except HeaderIncomplete:
            assert not answers, "more data must not be worse than less"
    assert answers
    assert all(answer == whole for answer in answers)


@both_encodings
def test_an_element_that_is_not_there_is_absent_when_the_data_are_whole(encode, syntax):
    ds = Dataset()
    ds.SeriesInstanceUID = "1.2.3"
    found = scan_to_the_end(encode(ds, syntax), WANTED, explicit=syntax == EXPLICIT)
    assert found == {SERIES: b"1.2.3\0"}


def test_whole_data_that_end_within_an_element_are_malformed(make_ct, encode):
    with pytest.raises(HeaderMalformed):
        scan_to_the_end(encode(make_ct())[:100], WANTED, explicit=True)


def test_implicit_items_inside_an_unknown_sequence_are_stepped_over():
    item = struct.pack("<HHI", 8, 0x1150, 4) + b"1.2\0"
    unknown = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0xFFFFFFFF)
    inside = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    series = struct.pack("<HH2sH", 0x20, 0x0E, b"UI", 4) + b"1.2\0"
    assert scan_to_the_end(unknown + inside + series, WANTED, explicit=True) == {SERIES: b"1.2\0"}


def test_a_vr_of_the_future_is_stepped_over_by_its_long_length():
    future = struct.pack("<HH2sHI", 9, 0x1001, b"ZZ", 0, 3) + b"abc"
    series = struct.pack("<HH2sH", 0x20, 0x0E, b"UI", 4) + b"1.2\0"
    assert scan_to_the_end(future + series, WANTED, explicit=True) == {SERIES: b"1.2\0"}


def test_elements_out_of_order_are_malformed():
    series = struct.pack("<HH2sH", 0x20, 0x0E, b"UI", 4) + b"1.2\0"
    with pytest.raises(HeaderMalformed):
        scan_to_the_end(series + series, WANTED, explicit=True)


def test_a_tower_of_sequences_is_malformed_and_costs_nothing():
    level = struct.pack("<HH2sHI", 8, 0x1110, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    with pytest.raises(HeaderMalformed):
        scan(level * (DEEPEST + 2), WANTED, explicit=True)


def test_an_absurdly_long_identifier_is_malformed_before_it_is_read():
    series = struct.pack("<HHI", 0x20, 0x0E, 0x7FFFFFFF)
    with pytest.raises(HeaderMalformed):
        scan(series, WANTED, explicit=False)


@given(st.binary(max_size=400), st.booleans())
def test_nonsense_raises_nothing_but_what_is_announced(data, explicit):
    for look in (scan, scan_to_the_end):
        with contextlib.suppress(HeaderMalformed, HeaderIncomplete):
            look(data, WANTED, explicit=explicit)


def slice_file(folder, syntax: str) -> bytes:
    def tweak(_, ds: Dataset) -> Dataset:
        return with_sequences(ds, undefined=True)

    grid = patient_grid(shape_zyx=(1, 16, 16))
    hu = np.arange(256).reshape(grid.shape_zyx)
    return write_ct(folder, hu, grid, transfer_syntax=syntax, tweak=tweak)[0].read_bytes()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_a_files_elements_and_its_pixels_are_where_pydicom_finds_them(syntax, tmp_path):
    file = slice_file(tmp_path, syntax)
    ds = pydicom.dcmread(io.BytesIO(file), defer_size=1)
    wanted = [element.tag for element in pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)]
    wanted = [
        tag for tag in wanted if ds[tag].VR != "SQ" and tag != 0x00080005
    ]  # that one it decodes at once
    head = scan_file(file, wanted)
    assert head.transfer_syntax_uid == syntax
    again = pydicom.dcmread(io.BytesIO(file))
    assert head.values == {tag: again.get_item(tag).value or b"" for tag in wanted}
    value = again.get_item("PixelData").value
    if syntax == RLELossless:
        assert head.pixels_length == 0xFFFFFFFF
    else:
        assert head.pixels_length == len(value) == 512
    assert file[head.pixels_at :].startswith(value)


def test_a_file_cut_off_before_its_pixels_asks_for_more_and_never_gives_a_wrong_value(tmp_path):
    file = slice_file(tmp_path, ExplicitVRLittleEndian)
    whole = scan_file(file, WANTED)
    for length in range(132, whole.pixels_at):
        with pytest.raises((HeaderIncomplete, HeaderMalformed)):
            scan_file(file[:length], WANTED)
    assert scan_file(file[: whole.pixels_at], WANTED) == whole


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_what_is_not_plain_little_endian_is_left_to_a_library(syntax, tmp_path):
    with pytest.raises(HeaderMalformed):
        scan_file(slice_file(tmp_path, syntax), WANTED)


@given(st.binary(max_size=400), st.sampled_from([IMPLICIT, EXPLICIT]))
def test_a_file_of_nonsense_raises_nothing_but_what_is_announced(data, syntax):
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax.encode()
    with contextlib.suppress(HeaderMalformed, HeaderIncomplete):
        scan_file(bytes(128) + b"DICM" + meta + data, WANTED)
