"""DIMSE on the receiving side: fragments to messages, C-STORE and C-ECHO answered (PS3.7 9.1.1 and 9.1.5).

This is the path every pixel takes, so it is short: a data set is kept as the pieces in which it came, without
a copy while there is memory for them (:mod:`service.arrival.in_flight`), and handed on whole. Command sets
are a few elements in Implicit VR Little Endian (PS3.7 6.3.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.arrival.command_sets import (
    ACTION_TYPE,
    DATA_SET_TYPE,
    ERROR_COMMENT,
    EVENT_TYPE,
    FIELD,
    MESSAGE_ID,
    REQUESTED_CLASS,
    REQUESTED_INSTANCE,
    RESPONDED_TO,
    SOP_CLASS,
    SOP_INSTANCE,
    STATUS,
    command_set,
    elements_of,
    p_data,
    two_bytes,
)
from service.arrival.in_flight import DataSetInFlight
from service.arrival.instance import Claim
from service.arrival.messages import Answer, Context, DimseViolation, Normalized, NormalizedService, Store
from service.errors import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from service.arrival.in_flight import ReceivingMemory

LONGEST_COMMAND: Final = 1 << 16
"""Bytes of a command set; a real one has about 150."""

_C_STORE: Final = 0x0001
_C_ECHO: Final = 0x0030
_C_CANCEL: Final = 0x0FFF
_RESPONSE: Final = 0x8000
N_ACTION: Final = 0x0130
N_EVENT_REPORT: Final = 0x0100
_NO_DATA_SET: Final = 0x0101
_SUCCESS: Final = 0x0000
_UNRECOGNISED_OPERATION: Final = 0x0211
_RESOURCE_LIMITATION: Final = 0x0213


_pdv = struct.Struct(">LBB").unpack_from


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
        memory: of the process, for data sets on their way in.
        normalized: where N-ACTION and N-EVENT-REPORT go; None refuses them.
    """

    def __init__(
        self,
        contexts: Mapping[int, Context],
        store: Store,
        peer_max_pdu: int,
        memory: ReceivingMemory,
        normalized: NormalizedService | None = None,
    ) -> None:
        self._normalized = normalized
        self._reported: dict[int, int] = {}
        self._contexts = contexts
        self._store = store
        self._peer_max_pdu = peer_max_pdu
        self._message: _Message | None = None
        self._memory = memory
        self._data_set = DataSetInFlight(memory)

    @property
    def busy(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._message is not None

    def close(self) -> None:
        """Forget what was received of an instance that never ended."""
        self._data_set.close()

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
                self._data(context_id, fragment, len(pdu))
                if control & 2:
                    yield from self._complete()

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
            message_in.elements = elements_of(message_in.command)
            if message_in.number(DATA_SET_TYPE) == _NO_DATA_SET:
                yield from self._complete()

    def _data(self, context_id: int, fragment: memoryview, pdu_bytes: int) -> None:
        message_in = self._message
        if message_in is None or message_in.elements is None or message_in.context_id != context_id:
            message = "data come without a command that announces them"
            raise DimseViolation(message)
        sop_class = self._contexts[context_id].sop_class_uid
        most = self._store.longest(sop_class) or self._longest(sop_class)
        if self._data_set.length + len(fragment) <= most:
            self._data_set.add(fragment, pdu_bytes)
        else:
            self._data_set.skip(fragment)

    def _complete(self) -> Iterator[bytes]:
        message_in, data_set = self._message, self._data_set
        self._message, self._data_set = None, DataSetInFlight(self._memory)
        if message_in is None:
            return
        try:
            yield from self._answered(message_in, data_set)
        finally:
            data_set.close()

    def _answered(self, message_in: _Message, data_set: DataSetInFlight) -> Iterator[bytes]:
        field = message_in.number(FIELD)
        if field == _C_CANCEL:
            return
        if field & _RESPONSE:
            self._response(message_in, field)
            return
        answer = Answer(_UNRECOGNISED_OPERATION)
        if field == _C_STORE:
            answer = self._c_store(message_in, data_set)
        elif field in (N_ACTION, N_EVENT_REPORT) and self._normalized is not None:
            answer = self._asked(self._normalized, message_in, field, data_set)
        elif field == _C_ECHO:
            answer = Answer(_SUCCESS)
        yield from self._respond(message_in, field, answer)

    def _c_store(self, message_in: _Message, data_set: DataSetInFlight) -> Answer:
        context = self._contexts[message_in.context_id]
        claim = Claim(context.sop_class_uid, message_in.uid(SOP_INSTANCE), context.transfer_syntax_uid)
        if message_in.uid(SOP_CLASS) != context.sop_class_uid:
            return self._store.unlike_its_context(data_set.length)
        try:
            parts = data_set.parts()
        except SpoolUnavailable as trouble:
            return self._store.not_kept(trouble, data_set.length)
        return self._store.store(claim, parts, data_set.length)

    def _asked(
        self, service: NormalizedService, message_in: _Message, field: int, data_set: DataSetInFlight
    ) -> Answer:
        try:
            return Answer(service.take(self._request(message_in, field, data_set.parts())))
        except SpoolUnavailable:
            return Answer(_RESOURCE_LIMITATION)

    def idle(self) -> Iterator[bytes]:
        """Nothing has come for a moment: the PDUs of what is to be reported."""
        if self._normalized is None or self.busy or self._reported:
            return
        for number, notice in self._normalized.due():
            message_id = len(self._reported) + 1
            self._reported[message_id] = number
            rows = [
                (SOP_CLASS, notice.sop_class_uid.encode()),
                (FIELD, two_bytes(N_EVENT_REPORT)),
                (MESSAGE_ID, two_bytes(message_id)),
                (DATA_SET_TYPE, two_bytes(0)),
                (SOP_INSTANCE, notice.sop_instance_uid.encode()),
                (EVENT_TYPE, two_bytes(notice.event_type)),
            ]
            yield from p_data(notice.context_id, command_set(rows), self._peer_max_pdu, command=True)
            yield from p_data(notice.context_id, notice.data, self._peer_max_pdu, command=False)

    def _longest(self, sop_class_uid: str) -> int:
        return self._normalized.longest(sop_class_uid) if self._normalized is not None else 0

    def _response(self, message_in: _Message, field: int) -> None:
        number = self._reported.pop(message_in.number(RESPONDED_TO), None)
        if field != N_EVENT_REPORT | _RESPONSE or number is None or self._normalized is None:
            message = "a response comes to a request that was never sent"
            raise DimseViolation(message)
        self._normalized.answered(number, message_in.number(STATUS))

    def _request(self, message_in: _Message, field: int, parts: list[memoryview]) -> Normalized:
        action = field == N_ACTION
        return Normalized(
            field,
            message_in.context_id,
            self._contexts[message_in.context_id],
            message_in.uid(REQUESTED_CLASS if action else SOP_CLASS),
            message_in.uid(REQUESTED_INSTANCE if action else SOP_INSTANCE),
            message_in.number(ACTION_TYPE if action else EVENT_TYPE),
            b"".join(parts),
        )

    def _respond(self, message_in: _Message, field: int, answer: Answer) -> Iterator[bytes]:
        elements = message_in.elements or {}
        about = elements.get(SOP_CLASS) or elements.get(REQUESTED_CLASS, b"")
        rows = [
            (SOP_CLASS, about),
            (FIELD, two_bytes(field | _RESPONSE)),
            (RESPONDED_TO, two_bytes(message_in.number(MESSAGE_ID))),
            (DATA_SET_TYPE, two_bytes(_NO_DATA_SET)),
            (STATUS, two_bytes(answer.status)),
            (ERROR_COMMENT, answer.comment[:64].encode("ascii", "replace")),
            (SOP_INSTANCE, elements.get(SOP_INSTANCE) or elements.get(REQUESTED_INSTANCE, b"")),
            (EVENT_TYPE, elements.get(EVENT_TYPE, b"")),
            (ACTION_TYPE, elements.get(ACTION_TYPE, b"")),
        ]
        yield from p_data(message_in.context_id, command_set(rows), self._peer_max_pdu, command=True)
