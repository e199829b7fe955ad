"""Finding elements at the front of a data set: against pydicom, cut off anywhere, and against nonsense."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from service.arrival.header_scan import (
    DEEPEST,
    HeaderIncomplete,
    HeaderMalformed,
    scan,
    scan_to_the_end,
)

SERIES = 0x0020000E
POSITION = 0x00200032
WANTED = (SERIES, POSITION)
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

both_encodings = pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT], ids=["implicit", "explicit"])


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
        scan_to_the_end(encode(make_ct())[:200], WANTED, explicit=True)


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
