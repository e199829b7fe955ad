"""Items of a sequence by hand and as pydicom writes them, and nonsense."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from service.dicom.header_scan import HeaderIncomplete, HeaderMalformed
from service.dicom.sequence_items import items_of

NUMBER, IMAGES, UID = 0x30060048, 0x30060016, 0x00081155


def value_of(explicit: bool, undefined: bool) -> memoryview:
    """Two contours: number 1 with an image, number 2 without."""
    image = Dataset()
    image.ReferencedSOPInstanceUID = "1.2.3"
    image.is_undefined_length_sequence_item = undefined
    first, second = Dataset(), Dataset()
    first.ContourImageSequence, first.ContourNumber, second.ContourNumber = Sequence([image]), 1, 2
    for item in (first, second):
        item.is_undefined_length_sequence_item = undefined
    first["ContourImageSequence"].is_undefined_length = undefined
    outer = Dataset()
    outer.ContourSequence = Sequence([first, second])
    outer["ContourSequence"].is_undefined_length = undefined
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, not explicit
    outer.set_original_encoding(not explicit, True)
    write_dataset(stream, outer)
    return memoryview(stream.getvalue())[12 if explicit else 8 :]


@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "implicit"])
@pytest.mark.parametrize("undefined", [True, False], ids=["undefined length", "defined length"])
def test_items_within_items_are_found(explicit, undefined):
    first, second = items_of(value_of(explicit, undefined), explicit=explicit)
    assert (bytes(first[NUMBER]), bytes(second[NUMBER])) == (b"1 ", b"2 ")
    (image,) = items_of(first[IMAGES], explicit=explicit)
    assert bytes(image[UID]) == b"1.2.3\0"
    assert IMAGES not in second


@pytest.mark.parametrize("undefined", [True, False], ids=["undefined length", "defined length"])
def test_a_value_cut_off_is_never_read_as_a_shorter_one(undefined):
    value = value_of(True, undefined)
    whole = [sorted(item) for item in items_of(value, explicit=True)]
    for length in range(1, len(value)):
        with contextlib.suppress(HeaderMalformed, HeaderIncomplete):
            found = [sorted(item) for item in items_of(value[:length], explicit=True)]
            assert found == whole[: len(found)]


def test_something_that_is_no_item_and_an_element_of_unknown_representation_are_malformed():
    with pytest.raises(HeaderMalformed):
        list(items_of(memoryview(struct.pack("<HHI", 8, 0x1150, 0)), explicit=False))
    unknown = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(unknown)) + unknown
    with pytest.raises(HeaderMalformed):
        list(items_of(memoryview(item), explicit=True))


@given(st.binary(max_size=300), st.booleans())
def test_nonsense_raises_nothing_but_what_is_announced(data, explicit):
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    with contextlib.suppress(HeaderMalformed, HeaderIncomplete):
        list(items_of(memoryview(item), explicit=explicit))
