"""The items of a sequence as values by tag, from its bytes (PS3.5 section 7.5).

A structure set holds thousands of contours; a data set for each of them takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.dicom.header_scan import (
    ITEM,
    SEQUENCE_END,
    UNDEFINED,
    HeaderIncomplete,
    HeaderMalformed,
    element_at,
    past_item,
    past_sequence,
)

Item = dict[int, memoryview]
"""Values by tag (group << 16 | element), as encoded; that of a sequence holds its items."""


def items_of(value: memoryview, *, explicit: bool) -> Iterator[Item]:
    """The items of a sequence, of defined length or not.

    Args:
        value: the sequence's value, with or without what ends it.
        explicit: elements name their VR.

    Raises:
        HeaderMalformed: these bytes are no sequence, or hold what only a DICOM library can read.
        HeaderIncomplete: they end too early.
    """
    place, end = 0, len(value)
    while place < end:
        tag, length, place, _ = element_at(value, place, explicit=False)  # items never name a VR
        if tag == SEQUENCE_END:
            return
        if tag != ITEM:
            message = "something else stands where a sequence item should"
            raise HeaderMalformed(message)
        if length == UNDEFINED:
            after = past_item(value, place, explicit, 1)
            content = value[place : after - 8]
        else:
            after = place + length
            content = value[place:after]
        if after > end:
            raise HeaderIncomplete
        yield _elements(content, explicit=explicit)
        place = after


def _elements(content: memoryview, *, explicit: bool) -> Item:
    found: Item = {}
    place, end = 0, len(content)
    while place < end:
        tag, length, value_at, unknown = element_at(content, place, explicit=explicit)
        if unknown:
            message = "an element does not say what it is"
            raise HeaderMalformed(message)
        place = value_at + length
        if length == UNDEFINED:
            place = past_sequence(content, value_at, explicit=explicit, depth=1)
        if place > end:
            raise HeaderIncomplete
        found[tag] = content[value_at:place]
    return found
