"""Finds a few elements at the front of an encoded data set without building it (PS3.5 section 7).

Everything else is stepped over: no value is decoded, no pixel touched, nothing allocated whose size the
sender chose. Little endian only, which is all that is negotiated.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

DEEPEST: Final = 16
"""Sequences within sequences further down than this are nonsense."""

LONGEST_VALUE: Final = 4096
"""No element that we look at is longer than this, in bytes."""

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)  # PS3.5 7.1.2: every other VR, new ones too, has a 32-bit length

_tag_and_length = struct.Struct("<HHI").unpack_from
_tag_and_vr = struct.Struct("<HH2sH").unpack_from
_long_length = struct.Struct("<I").unpack_from


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


def _walk(
    data: bytes | memoryview, wanted: Collection[int], found: dict[int, bytes], *, explicit: bool
) -> bool:
    """Fill ``found``; True when the last wanted element was passed, False when the data end cleanly first."""
    last = max(wanted)
    place, end, before = 0, len(data), -1
    while place < end:
        tag, length, place, implicit_inside = _element(data, place, explicit=explicit)
        if tag > last:
            return True
        if tag <= before:
            message = "the elements are not in ascending order"
            raise HeaderMalformed(message)
        before = tag
        if length == _UNDEFINED:
            place = _past_sequence(data, place, explicit=explicit and not implicit_inside, depth=1)
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


def _element(data: bytes | memoryview, place: int, *, explicit: bool) -> tuple[int, int, int, bool]:
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


def _past_sequence(data: bytes | memoryview, place: int, *, explicit: bool, depth: int) -> int:
    """Where the element after a sequence of undefined length begins."""
    if depth > DEEPEST:
        message = "sequences lie too deep within one another"
        raise HeaderMalformed(message)
    while True:
        if place + 8 > len(data):
            raise HeaderIncomplete
        group, element, length = _tag_and_length(data, place)
        tag, place = group << 16 | element, place + 8
        if tag == _SEQUENCE_END:
            return place
        if tag != _ITEM:
            message = "something else stands where a sequence item should"
            raise HeaderMalformed(message)
        place = place + length if length != _UNDEFINED else _past_item(data, place, explicit, depth)


def _past_item(data: bytes | memoryview, place: int, explicit: bool, depth: int) -> int:
    """Where the element after an item of undefined length begins."""
    while True:
        if place + 8 > len(data):
            raise HeaderIncomplete
        group, element, length = _tag_and_length(data, place)
        if group << 16 | element == _ITEM_END:
            return place + 8
        _tag, length, place, implicit_inside = _element(data, place, explicit=explicit)
        if length == _UNDEFINED:
            place = _past_sequence(data, place, explicit=explicit and not implicit_inside, depth=depth + 1)
        else:
            place += length
