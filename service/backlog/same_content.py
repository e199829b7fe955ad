"""Whether an instance that has come again is the one that is there: its data set, byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.backlog.landing import Data

_PREAMBLE: Final = 132  # 128 bytes and DICM, PS3.10 section 7.1
_GROUP_LENGTH: Final = struct.Struct(
    "<HH2sHI"
)  # (0002,0000) UL 4, explicit little endian, PS3.10 section 7.1
_FRONT_BYTES: Final = _PREAMBLE + _GROUP_LENGTH.size
_READ_BYTES: Final = 1 << 20


def holds_data_set(file: Path, parts: Sequence[Data]) -> bool:
    """Whether the data set in a file is that in ``parts``, whatever the File Meta Information of either."""
    front = b"".join(bytes(part[:_FRONT_BYTES]) for part in parts[:_FRONT_BYTES])[:_FRONT_BYTES]
    left = _meta_bytes(front)
    with file.open("rb") as stream:
        stream.seek(_meta_bytes(stream.read(_FRONT_BYTES)))
        for part in parts:
            view = memoryview(part).cast("B")
            skipped = min(left, len(view))
            left -= skipped
            for start in range(skipped, len(view), _READ_BYTES):
                piece = bytes(view[start : start + _READ_BYTES])
                if stream.read(len(piece)) != piece:
                    return False
        return not stream.read(1)


def _meta_bytes(front: bytes) -> int:
    """How much precedes the data set of a Part 10 file; 0 if there is no File Meta Information to be read."""
    if len(front) < _FRONT_BYTES or front[128:_PREAMBLE] != b"DICM":
        return 0
    group, element, vr, size, length = _GROUP_LENGTH.unpack(front[_PREAMBLE:])
    if (group, element, vr, size) != (2, 0, b"UL", 4):
        return 0
    return _FRONT_BYTES + int(length)
