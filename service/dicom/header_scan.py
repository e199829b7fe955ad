"""Finds a few elements at the front of an encoded data set without building it (PS3.5 section 7).

Everything else is stepped over: no value is decoded, no pixel touched, nothing allocated whose size the
sender chose. Little endian only, which is all that is negotiated.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

DEEPEST: Final = 16
"""Sequences within sequences further down than this are nonsense."""

LONGEST_VALUE: Final = 4096
"""No element that we look at is longer than this, in bytes."""

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
_SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)  # PS3.5 7.1.2: every other VR, new ones too, has a 32-bit length

_tag_and_length = struct.Struct("<HHI").unpack_from
_tag_and_vr = struct.Struct("<HH2sH").unpack_from
_long_length = struct.Struct("<I").unpack_from

_IMPLICIT: Final = "1.2.840.10008.1.2"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_TRANSFER_SYNTAX: Final = 0x00020010
_PIXEL_DATA: Final = 0x7FE00010
_PREAMBLE_BYTES: Final = 132


class HeaderMalformed(ValueError):
    """These bytes are no data set in the syntax that was negotiated."""


class HeaderIncomplete(ValueError):
    """The bytes end before the last element looked for: give more of them."""


def scan(data: bytes | memoryview, wanted: Collection[int], *, explicit: bool) -> dict[int, bytes]:
    """Values of those ``wanted`` elements (group << 16 | element) that are there, as encoded.

    Args:
        data: the data set from its first byte; it may be cut off anywhere.
        wanted: tags to look for; the scan ends after the greatest of them.
        explicit: elements name their VR.

    Raises:
        HeaderMalformed: for bytes that are no data set.
        HeaderIncomplete: where the data end first; :func:`scan_to_the_end` for data known to be whole.
    """
    found: dict[int, bytes] = {}
    if not _walk(data, wanted, found, explicit=explicit):
        raise HeaderIncomplete
    return found


def scan_to_the_end(data: bytes | memoryview, wanted: Collection[int], *, explicit: bool) -> dict[int, bytes]:
    """As :func:`scan`, for a data set that is whole: what is not there is absent.

    Raises:
        HeaderMalformed: also where an element is cut off.
    """
    found: dict[int, bytes] = {}
    try:
        _walk(data, wanted, found, explicit=explicit)
    except HeaderIncomplete:
        message = "the data set ends within an element"
        raise HeaderMalformed(message) from None
    return found


class FileHead(NamedTuple):
    """What a Part 10 file says before its pixels.

    Attributes:
        values: of those elements wanted that are there, as encoded.
        transfer_syntax_uid: of the data set.
        pixels_at: offset in the file of the first byte of PixelData's value.
        pixels_length: of that value, as written.
    """

    values: dict[int, bytes]
    transfer_syntax_uid: str
    pixels_at: int
    pixels_length: int


def scan_file(head: bytes, wanted: Collection[int]) -> FileHead:
    """The elements ``wanted`` of a Part 10 file (PS3.10 section 7), and where its pixels begin.

    Args:
        head: the file from its first byte, to its pixels at least.
        wanted: tags before PixelData.

    Raises:
        HeaderMalformed: these bytes are no such file, or one that only a DICOM library can read.
        HeaderIncomplete: the head ends before the pixels begin.
    """
    if head[128:_PREAMBLE_BYTES] != b"DICM":
        message = "no Part 10 file"
        raise HeaderMalformed(message)
    place, syntax = _PREAMBLE_BYTES, ""
    while head[place : place + 2] == b"\2\0":
        tag, length, value_at, _ = element_at(head, place, explicit=True)
        place = value_at + length
        if tag == _TRANSFER_SYNTAX:
            syntax = head[value_at:place].rstrip(b"\0 ").decode("ascii", "replace")
    if syntax in ("", _DEFLATED, _BIG_ENDIAN):
        message = "not in little endian, or it does not say in what"
        raise HeaderMalformed(message)
    found: dict[int, bytes] = {}
    at, length = _walk_to_pixels(head, place, wanted, found, explicit=syntax != _IMPLICIT)
    return FileHead(found, syntax, at, length)


def _walk_to_pixels(
    head: bytes, place: int, wanted: Collection[int], found: dict[int, bytes], *, explicit: bool
) -> tuple[int, int]:
    """Fill ``found``; where the value of PixelData begins, and its length.

    A header has a hundred elements and a series a thousand headers: the usual element is read in line.
    """
    end, before = len(head) - 12, -1
    while place <= end:
        if explicit:
            group, element, vr, length = _tag_and_vr(head, place)
            tag = group << 16 | element
            value_at, unknown = place + 8, False
            if vr not in _SHORT_VRS:
                tag, length, value_at, unknown = element_at(head, place, explicit=True)
        else:
            group, element, length = _tag_and_length(head, place)
            tag, value_at, unknown = group << 16 | element, place + 8, False
        if tag <= before or tag > _PIXEL_DATA:
            message = "the elements are not in ascending order, or there are no pixels"
            raise HeaderMalformed(message)
        if tag == _PIXEL_DATA:
            return value_at, length
        before, place = tag, value_at + length
        if length == UNDEFINED:
            place = past_sequence(head, value_at, explicit=explicit and not unknown, depth=1)
        if tag in wanted:
            if length > LONGEST_VALUE:
                message = "an element that describes the image is absurdly long"
                raise HeaderMalformed(message)
            found[tag] = head[value_at:place]
    raise HeaderIncomplete


def _walk(
    data: bytes | memoryview, wanted: Collection[int], found: dict[int, bytes], *, explicit: bool
) -> bool:
    """Fill ``found``; True when the last wanted element was passed, False when the data end cleanly first."""
    last = max(wanted)
    place, end, before = 0, len(data), -1
    while place < end:
        tag, length, place, implicit_inside = element_at(data, place, explicit=explicit)
        if tag > last:
            return True
        if tag <= before:
            message = "the elements are not in ascending order"
            raise HeaderMalformed(message)
        before = tag
        if length == UNDEFINED:
            place = past_sequence(data, place, explicit=explicit and not implicit_inside, depth=1)
            continue
        if tag in wanted:
            if length > LONGEST_VALUE:
                message = "an identifying element is absurdly long"
                raise HeaderMalformed(message)
            if place + length > end:
                raise HeaderIncomplete
            found[tag] = bytes(data[place : place + length])
        place += length
    if place > end:
        raise HeaderIncomplete
    return False


def element_at(data: bytes | memoryview, place: int, *, explicit: bool) -> tuple[int, int, int, bool]:
    """Tag, length, where the value begins, and whether it is a UN (implicit VR inside, PS3.5 6.2.2)."""
    if place + 8 > len(data):
        raise HeaderIncomplete
    if not explicit:
        group, element, length = _tag_and_length(data, place)
        return group << 16 | element, length, place + 8, False
    group, element, vr, length = _tag_and_vr(data, place)
    if vr in _SHORT_VRS:
        return group << 16 | element, length, place + 8, False
    if not (vr.isalpha() and vr.isupper()):
        message = "an element has no value representation"
        raise HeaderMalformed(message)
    if place + 12 > len(data):
        raise HeaderIncomplete
    return group << 16 | element, _long_length(data, place + 8)[0], place + 12, vr == b"UN"


def past_sequence(data: bytes | memoryview, place: int, *, explicit: bool, depth: int) -> int:
    """Where the element after a sequence of undefined length begins."""
    if depth > DEEPEST:
        message = "sequences lie too deep within one another"
        raise HeaderMalformed(message)
    while True:
        if place + 8 > len(data):
            raise HeaderIncomplete
        group, element, length = _tag_and_length(data, place)
        tag, place = group << 16 | element, place + 8
        if tag == SEQUENCE_END:
            return place
        if tag != ITEM:
            message = "something else stands where a sequence item should"
            raise HeaderMalformed(message)
        place = place + length if length != UNDEFINED else past_item(data, place, explicit, depth)


def past_item(data: bytes | memoryview, place: int, explicit: bool, depth: int) -> int:
    """Where the element after an item of undefined length begins."""
    while True:
        if place + 8 > len(data):
            raise HeaderIncomplete
        group, element, length = _tag_and_length(data, place)
        if group << 16 | element == ITEM_END:
            return place + 8
        _tag, length, place, implicit_inside = element_at(data, place, explicit=explicit)
        if length == UNDEFINED:
            place = past_sequence(data, place, explicit=explicit and not implicit_inside, depth=depth + 1)
        else:
            place += length
