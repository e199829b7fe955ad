"""Data elements as little endian bytes (PS3.5 7.1), and elements copied from another data set byte for byte.

A structure set holds thousands of contours; as bytes they are written ten times faster than as data sets. And
what another system wrote of the patient is passed on as it wrote it, never decoded and encoded again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag

_LONG_LENGTH: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
"""Representations whose explicit header has a length of 32 bits (PS3.5 Table 7.1-1)."""

_WORD_BYTES: Final = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2, "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ElementEncoder:
    """Encodes elements in implicit or explicit VR."""

    explicit: bool

    def element(self, tag: int, vr: str, value: bytes | str) -> bytes:
        """One element; values of odd length are padded (PS3.5 6.2)."""
        if isinstance(value, str):
            value = value.encode("ascii")
        value = _even(value, vr)
        group, number = tag >> 16, tag & 0xFFFF
        if not self.explicit:
            return struct.pack("<HHI", group, number, len(value)) + value
        if vr in _LONG_LENGTH:
            return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(value)) + value
        return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value

    def item(self, *elements: bytes) -> bytes:
        """One sequence item of defined length; the elements come in the order of their tags."""
        value = b"".join(elements)
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        """A sequence of items already encoded."""
        return self.element(tag, "SQ", b"".join(items))

    def copied(self, source: Dataset, tag: int) -> RawDataElement | None:
        """An element of another data set, its value as that data set's bytes hold it; None if it has none.

        Only the form of headers inside sequences, and the order of bytes in binary numbers, may change.
        """
        element: DataElement | RawDataElement | None = source.get_item(Tag(tag))
        if element is None:
            return None
        vr = _representation(element)
        value = _even(self._value(source, element, vr), vr)
        return RawDataElement(Tag(tag), vr, len(value), value, 0, not self.explicit, True)

    def _value(self, source: Dataset, element: DataElement | RawDataElement, vr: str) -> bytes:
        if vr == "SQ":
            return b"".join(self._item_of(item) for item in source[element.tag].value or ())
        if isinstance(element, RawDataElement):
            value = element.value or b""
            if not element.is_little_endian and vr in _WORD_BYTES:
                return np.frombuffer(value, f">u{_WORD_BYTES[vr]}").astype(f"<u{_WORD_BYTES[vr]}").tobytes()
            return value
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, True
        write_data_element(buffer, element, source.get("SpecificCharacterSet", "ISO_IR 6"))
        return buffer.getvalue()[8:]

    def _item_of(self, ds: Dataset) -> bytes:
        copies = [copy for tag in sorted(ds.keys()) if (copy := self.copied(ds, tag)) is not None]
        return self.item(*(self.element(copy.tag, str(copy.VR), copy.value or b"") for copy in copies))


def _even(value: bytes, vr: str) -> bytes:
    """Padded to an even length."""
    return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ") if len(value) % 2 else value


def tag_of(keyword: str) -> BaseTag:
    """The tag of an attribute of the Standard."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        message = f"no attribute is called {keyword}"
        raise KeyError(message)
    return Tag(tag)


def value_bytes(ds: Dataset, keyword: str) -> bytes:
    """The value of an element as written, without padding; empty if it is absent."""
    copy = ElementEncoder(explicit=False).copied(ds, tag_of(keyword))
    return b"" if copy is None or copy.value is None else copy.value.rstrip(b" \0")


def _representation(element: DataElement | RawDataElement) -> str:
    if element.VR and element.VR != "UN":
        return str(element.VR)
    return dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN"
