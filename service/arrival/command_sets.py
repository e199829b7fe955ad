"""Command sets: a few elements in Implicit VR Little Endian (PS3.7 6.3.1), and their P-DATA-TF PDUs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from service.arrival.messages import DimseViolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOP_CLASS: Final = 0x0002
FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
RESPONDED_TO: Final = 0x0120
DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
ERROR_COMMENT: Final = 0x0902
SOP_INSTANCE: Final = 0x1000
REQUESTED_CLASS: Final = 0x0003
REQUESTED_INSTANCE: Final = 0x1001
EVENT_TYPE: Final = 0x1002
ACTION_TYPE: Final = 0x1008

_command_element = struct.Struct("<HHL")


def p_data(context_id: int, content: bytes, peer_max_pdu: int, *, command: bool) -> Iterator[bytes]:
    """PDUs of a command set or a data set, none longer than the peer takes (0: of any length)."""
    longest = peer_max_pdu - 6 if peer_max_pdu else len(content)
    for start in range(0, len(content), max(longest, 1)):
        piece = content[start : start + max(longest, 1)]
        last = start + len(piece) == len(content)
        control = int(command) | (2 if last else 0)
        head = struct.pack(">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, context_id, control)
        yield head + piece


def command_set(rows: Sequence[tuple[int, bytes]]) -> bytes:
    """The encoded set of these elements of group 0000, in ascending order; empty ones are left out."""
    group = b"".join(_encoded(element, value) for element, value in rows if value)
    return _encoded(0x0000, struct.pack("<L", len(group))) + group


def elements_of(command: bytearray) -> dict[int, bytes]:
    """Values by element number.

    Raises:
        DimseViolation: it is no command set.
    """
    found = {}
    place = 0
    while place < len(command):
        if place + 8 > len(command):
            message = "the command set ends too early"
            raise DimseViolation(message)
        group, element, length = _command_element.unpack_from(command, place)
        place += 8 + length
        if group != 0 or place > len(command):
            message = "the command set cannot be read"
            raise DimseViolation(message)
        found[element] = bytes(command[place - length : place])
    return found


def _encoded(element: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if element == ERROR_COMMENT else b"\0"
    return _command_element.pack(0, element, len(value)) + value


def two_bytes(value: int) -> bytes:
    """A value of VR US."""
    return value.to_bytes(2, "little")
