"""What a compressed frame says of itself, read before a decoder believes it."""

from __future__ import annotations

import struct
from typing import Final

_START_OF_FRAME: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_END: Final = b"\xff\xd9"
_PIXEL_BYTES: Final = 2
_LONGEST_SHARE: Final = 2  # of noise, RLE makes 1.01 times the bytes, and the JPEGs less than twice
_LONGEST_HEADER_BYTES: Final = 1 << 16


def is_plausible(frame: bytes, rows: int, columns: int) -> bool:
    """Whether a compressed frame says the size it should and is there to its end.

    A JPEG decoder fills in what is missing at the end and says nothing; of RLE nothing can be known here but
    that no encoder makes a frame much longer than its pixels: what is, may unpack to any size.
    """
    if len(frame) > _LONGEST_SHARE * rows * columns * _PIXEL_BYTES + _LONGEST_HEADER_BYTES:
        return False
    shape = codestream_shape(frame)
    if shape is None:
        return not frame.startswith((b"\xff\xd8", b"\xff\x4f"))
    return shape == (rows, columns) and frame.rstrip(b"\0").endswith(_END)


def codestream_shape(data: bytes) -> tuple[int, int] | None:
    """Rows and columns in the header of a JPEG, JPEG-LS or JPEG 2000 codestream; None for anything else.

    Sources: ISO/IEC 15444-1 A.5.1 (SIZ), ISO/IEC 10918-1 B.2.2 (frame header), ISO/IEC 14495-1 C.2.2.
    """
    if data.startswith(b"\xff\x4f\xff\x51") and len(data) >= 24:
        x, y, x_offset, y_offset = struct.unpack_from(">4L", data, 8)
        return y - y_offset, x - x_offset
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return rows, columns
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None
