"""PDUs off a socket, with what pynetdicom leaves open: a longest length, and a deadline for every read.

A peer that claims two gigabytes is cut off before a byte of them is buffered; one that sends half a PDU and
then nothing does not hold a thread for longer than its deadline (PS3.8 section 9.3.1 for the layout).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from pynetdicom.transport import AssociationSocket

from service.dicom.transport_security import say_good_bye

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from pynetdicom.association import Association

LONGEST_PDU: Final = 1 << 20
"""No PDU that we read is longer: eight times what we announce, and ample for 128 presentation contexts."""

REQUEST_SECONDS: Final = 30.0
"""How long a connection may be open without asking for an association (ARTIM, PS3.8 section 9.1.5)."""

PDU_SECONDS: Final = 60.0
"""How long one PDU may take: 128 KiB at the speed of a bad modem."""

HEADER_BYTES: Final = 6
P_DATA_TF: Final = 0x04

_LOOK_UP_SECONDS: Final = 0.5
_WORTH_SLEEPING_FOR_BYTES: Final = 4096
_DRAIN_BYTES: Final = 1 << 16
_PDU_TYPES: Final = range(0x01, 0x08)
_header = struct.Struct(">BxL").unpack


class PeerGone(Exception):
    """The connection is closed or broken."""


class PeerStalled(Exception):
    """Nothing came, or not all of it, before the deadline."""


class PduInvalid(Exception):
    """What comes is no PDU, or one longer than any we take; the text is one word for what it may be."""


class Interrupted(Exception):
    """The node itself wants the reading to end."""


class PduStream:
    """Reads whole PDUs.

    Args:
        sock: connected.
        seconds: how long the peer of an association may be silent; a connection that has none yet, a message
            and a PDU that have begun get no more than this and no more than a time of their own.
        interrupted: asked twice a second while waiting; True ends the reading.
    """

    def __init__(self, sock: socket.socket, seconds: float, interrupted: Callable[[], bool]) -> None:
        self._socket = sock
        self._interrupted = interrupted
        self._wakes_at = 1
        self._seconds = seconds
        self._silence_seconds = self._one_pdu_seconds = min(seconds, REQUEST_SECONDS)
        self.waiting_since: float | None = None
        """Since when the next PDU is waited for (monotonic); None from its first byte to its end."""

    def established(self, first_message_seconds: float) -> None:
        """The peer has an association, and so long to begin with what it wants it for."""
        self._silence_seconds = min(self._seconds, first_message_seconds)
        self._one_pdu_seconds = min(self._seconds, PDU_SECONDS)

    def spoken(self) -> None:
        """The peer has said something: from now on it may think between PDUs."""
        self._silence_seconds = self._seconds

    def read(self, *, within_message: bool = False) -> tuple[int, bytearray]:
        """The type of the next PDU and all of its bytes, header included.

        Args:
            within_message: it belongs to what has begun, so that the peer may not think for long.

        Raises:
            PeerGone, PeerStalled, PduInvalid, Interrupted: as their names say.
        """
        header = bytearray(HEADER_BYTES)
        silence_seconds = self._one_pdu_seconds if within_message else self._silence_seconds
        self.waiting_since = time.monotonic()
        self._fill(memoryview(header)[:1], silence_seconds)  # counted apart from slowness
        self.waiting_since = None
        self._fill(memoryview(header)[1:], self._one_pdu_seconds)
        kind, length = _header(header)
        if kind not in _PDU_TYPES or length > LONGEST_PDU:
            raise PduInvalid(_what_begins(header))
        pdu = bytearray(HEADER_BYTES + length)
        pdu[:HEADER_BYTES] = header
        self._fill(memoryview(pdu)[HEADER_BYTES:], self._one_pdu_seconds)
        return kind, pdu

    def drain(self, seconds: float, most_bytes: int) -> bool:
        """Throw away what still comes; True once the peer closes, False if it is too long or too much."""
        deadline = time.monotonic() + seconds
        self._wake_at(1)
        while most_bytes > 0 and (remaining := deadline - time.monotonic()) > 0:
            self._socket.settimeout(min(remaining, _LOOK_UP_SECONDS))
            try:
                count = len(self._socket.recv(_DRAIN_BYTES))
            except TimeoutError:
                if self._interrupted():
                    return False
                continue
            except OSError:
                return True
            if count == 0:
                return True
            most_bytes -= count
        return False

    def _fill(self, view: memoryview, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while view:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise PeerStalled
            self._wake_at(len(view))
            self._socket.settimeout(min(remaining, _LOOK_UP_SECONDS))
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                if self._interrupted():
                    raise Interrupted from None
                continue
            except OSError:
                raise PeerGone from None
            if count == 0:
                raise PeerGone
            view = view[count:]

    def _wake_at(self, count: int) -> None:
        """Sleep until so many bytes are there or the connection ends: once a PDU, not once a segment."""
        count = count if count >= _WORTH_SLEEPING_FOR_BYTES else 1
        if count != self._wakes_at:
            self._wakes_at = count
            with contextlib.suppress(OSError):  # then it wakes more often
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


class SecuredPduStream(PduStream):
    """PDUs off a TLS connection."""

    def _wake_at(self, count: int) -> None:
        """What the kernel holds are records: how many bytes of a PDU are in them it cannot say."""


def _what_begins(header: bytearray) -> str:
    """What a connection may be whose first bytes are no PDU's."""
    if header[:2] == b"\x16\x03":
        return "tls"
    if bytes(header[:4]) in (b"GET ", b"POST", b"HEAD", b"OPTI", b"PUT "):
        return "http"
    return "too-long" if header[0] in _PDU_TYPES else "unknown"


class BoundedSocket(AssociationSocket):
    """pynetdicom's socket of an accepted connection: no delay, a deadline for sending, closed for certain.

    Args:
        assoc: the association it belongs to.
        client_socket: connected.
        seconds: deadline of every send.
    """

    def __init__(self, assoc: Association, client_socket: socket.socket, seconds: float) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._seconds = seconds
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, bytestream: bytes) -> None:
        """Send all of it or report the connection closed (Evt17, PS3.8 Table 9-10)."""
        try:
            if self.socket is None:
                raise ConnectionError
            self.socket.settimeout(self._seconds)
            self.socket.sendall(bytestream)
        except OSError:
            self.event_queue.put("Evt17")

    def secure(self, connection: ssl.SSLSocket) -> None:
        """Go on with TLS."""
        self.socket = connection

    def _shutdown_socket(self) -> None:
        if self.socket is not None:
            say_good_bye(self.socket)
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
