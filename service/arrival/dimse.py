"""DIMSE on the receiving side: fragments to messages, C-STORE and C-ECHO answered (PS3.7 9.1.1 and 9.1.5).

This is the path every pixel takes, so it is short: a data set is kept as the pieces in which it came, without
a copy, and handed on whole. Command sets are a few elements in Implicit VR Little Endian (PS3.7 6.3.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from service.arrival.instance import Claim, StoreStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LONGEST_COMMAND: Final = 1 << 16
"""Bytes of a command set; a real one has about 150."""

_C_STORE: Final = 0x0001
_C_ECHO: Final = 0x0030
_C_CANCEL: Final = 0x0FFF
_RESPONSE: Final = 0x8000
_NO_DATA_SET: Final = 0x0101
_SUCCESS: Final = 0x0000
_UNRECOGNISED_OPERATION: Final = 0x0211

_SOP_CLASS: Final = 0x0002
_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_RESPONDED_TO: Final = 0x0120
_DATA_SET_TYPE: Final = 0x0800
_STATUS: Final = 0x0900
_ERROR_COMMENT: Final = 0x0902
_SOP_INSTANCE: Final = 0x1000

_pdv = struct.Struct(">LBB").unpack_from
_command_element = struct.Struct("<HHL")


class DimseViolation(ValueError):
    """The peer breaks PS3.7 or PS3.8: the association must be aborted."""


class Answer(NamedTuple):
    """Status of a C-STORE and a remark of at most 64 characters, without any value of the data set."""

    status: int
    comment: str = ""


class Store(Protocol):
    """Where C-STORE requests go."""

    def longest(self, sop_class_uid: str) -> int:
        """How many bytes of a data set of this class are wanted; a longer one is thrown away unseen."""

    def store(self, claim: Claim, parts: Sequence[memoryview], length: int) -> Answer:
        """Take a data set of this ``length``; ``parts`` are empty if it is longer than was wanted."""


class Context(NamedTuple):
    """An accepted presentation context."""

    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(slots=True)
class _Message:
    """A message on its way in."""

    context_id: int
    command: bytearray
    elements: dict[int, bytes] | None = None

    def number(self, element: int) -> int:
        value = (self.elements or {}).get(element, b"")
        if len(value) != 2:
            message = "a number is missing from the command set"
            raise DimseViolation(message)
        return int.from_bytes(value, "little")

    def uid(self, element: int) -> str:
        return (self.elements or {}).get(element, b"").strip(b"\0 ").decode("ascii", "replace")


class DimseReceiver:
    """The messages of one association.

    Args:
        contexts: accepted presentation contexts by their id.
        store: where data sets go.
        peer_max_pdu: longest PDU the peer takes, 0 for any.
    """

    def __init__(self, contexts: Mapping[int, Context], store: Store, peer_max_pdu: int) -> None:
        self._contexts = contexts
        self._store = store
        self._peer_max_pdu = peer_max_pdu
        self._message: _Message | None = None
        self._parts: list[memoryview] = []
        self._length = 0

    @property
    def busy(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._message is not None

    def receive(self, pdu: bytearray) -> Iterator[bytes]:
        """Take one P-DATA-TF PDU, header included; yields the PDUs of each response as it is due.

        Raises:
            DimseViolation: the peer does not keep to the protocol.
        """
        view = memoryview(pdu)
        place = 6
        while place < len(view):
            if place + 6 > len(view):
                message = "a presentation data value ends too early"
                raise DimseViolation(message)
            length, context_id, control = _pdv(view, place)
            end = place + 4 + length
            if length < 2 or end > len(view):
                message = "a presentation data value does not fit its PDU"
                raise DimseViolation(message)
            fragment = view[place + 6 : end]
            place = end
            if control & 1:
                yield from self._command(context_id, fragment, last=bool(control & 2))
            else:
                yield from self._data(context_id, fragment, last=bool(control & 2))

    def _command(self, context_id: int, fragment: memoryview, *, last: bool) -> Iterator[bytes]:
        if self._message is None:
            if context_id not in self._contexts:
                message = "the presentation context was not accepted"
                raise DimseViolation(message)
            self._message = _Message(context_id, bytearray())
        message_in = self._message
        if message_in.elements is not None or message_in.context_id != context_id:
            message = "a command comes while another message is incomplete"
            raise DimseViolation(message)
        message_in.command += fragment
        if len(message_in.command) > LONGEST_COMMAND:
            message = "the command set is absurdly long"
            raise DimseViolation(message)
        if last:
            message_in.elements = _elements(message_in.command)
            if message_in.number(_DATA_SET_TYPE) == _NO_DATA_SET:
                yield from self._complete()

    def _data(self, context_id: int, fragment: memoryview, *, last: bool) -> Iterator[bytes]:
        message_in = self._message
        if message_in is None or message_in.elements is None or message_in.context_id != context_id:
            message = "data come without a command that announces them"
            raise DimseViolation(message)
        self._length += len(fragment)
        if self._length <= self._store.longest(self._contexts[context_id].sop_class_uid):
            self._parts.append(fragment)
        else:
            self._parts.clear()
        if last:
            yield from self._complete()

    def _complete(self) -> Iterator[bytes]:
        message_in, parts, length = self._message, self._parts, self._length
        self._message, self._parts, self._length = None, [], 0
        if message_in is None:
            return
        field = message_in.number(_FIELD)
        if field == _C_CANCEL:
            return
        if field & _RESPONSE:
            message = "a response comes to a request that was never sent"
            raise DimseViolation(message)
        answer = Answer(_UNRECOGNISED_OPERATION)
        if field == _C_STORE:
            answer = self._c_store(message_in, parts, length)
        elif field == _C_ECHO:
            answer = Answer(_SUCCESS)
        yield from self._respond(message_in, field, answer)

    def _c_store(self, message_in: _Message, parts: list[memoryview], length: int) -> Answer:
        context = self._contexts[message_in.context_id]
        claim = Claim(context.sop_class_uid, message_in.uid(_SOP_INSTANCE), context.transfer_syntax_uid)
        if message_in.uid(_SOP_CLASS) != context.sop_class_uid:
            return Answer(
                StoreStatus.SOP_CLASS_NOT_SUPPORTED, "SOP class differs from the presentation context"
            )
        return self._store.store(claim, parts, length)

    def _respond(self, message_in: _Message, field: int, answer: Answer) -> Iterator[bytes]:
        elements = message_in.elements or {}
        rows = [
            (_SOP_CLASS, elements.get(_SOP_CLASS, b"")),
            (_FIELD, _number(field | _RESPONSE)),
            (_RESPONDED_TO, _number(message_in.number(_MESSAGE_ID))),
            (_DATA_SET_TYPE, _number(_NO_DATA_SET)),
            (_STATUS, _number(answer.status)),
            (_ERROR_COMMENT, answer.comment[:64].encode("ascii", "replace")),
            (_SOP_INSTANCE, elements.get(_SOP_INSTANCE, b"")),
        ]
        group = b"".join(_encoded(element, value) for element, value in rows if value)
        command = _encoded(0x0000, struct.pack("<L", len(group))) + group
        longest = self._peer_max_pdu - 6 if self._peer_max_pdu else len(command)
        for start in range(0, len(command), max(longest, 1)):
            piece = command[start : start + max(longest, 1)]
            control = 3 if start + len(piece) == len(command) else 1
            head = struct.pack(
                ">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, message_in.context_id, control
            )
            yield head + piece


def _elements(command: bytearray) -> dict[int, bytes]:
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
        value += b" " if element == _ERROR_COMMENT else b"\0"
    return _command_element.pack(0, element, len(value)) + value


def _number(value: int) -> bytes:
    return value.to_bytes(2, "little")
