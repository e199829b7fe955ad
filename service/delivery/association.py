"""One association as requestor, with a deadline on everything a peer can hold up.

pynetdicom waits without end for a peer that stops reading, counts a long transfer as time without an answer,
and buffers a PDU of any length. Here progress is watched on the socket itself: we go on as long as the TCP of
the peer takes bytes or sends some; ``timeout_seconds`` without either, and the connection is shut.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from pynetdicom import AE, _config, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import MaximumLengthNotification
from pynetdicom.transport import AddressInformation, AssociationSocket

from service.delivery import outcome
from service.dicom.tls_failures import kind_of_failure
from service.dicom.transport_security import TlsUnusable, client_context, say_good_bye
from service.errors import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pynetdicom.association import Association
    from pynetdicom.events import Event
    from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
    from pynetdicom.presentation import PresentationContext

    from service.config.site import Destination
    from service.config.transport_security import ClientTls
    from service.dicom.transport_security import ClientContext

_config.STORE_SEND_CHUNKED_DATASET = True  # C-STORE from a path reads PDU by PDU and decodes nothing

_LARGEST_PDU_WE_READ: Final = 1 << 20
_USUAL_PDU_WE_READ: Final = 16382  # as pynetdicom's
_LARGEST_PDU_WE_WRITE: Final = 128 * 1024
_SMALLEST_PDU_WE_WRITE: Final = 1024
_SLOWEST_BYTES_PER_SECOND: Final = 8192
_RELEASE_SECONDS: Final = 5.0
_LOOK_EVERY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Peer:
    """Where to send: the called AE, its address, the title we call with, deadline of every answer, TLS."""

    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    timeout_seconds: float = 30.0
    tls: ClientTls | None = None


def peer_of(destination: Destination, calling_ae_title: str) -> Peer:
    """A destination of the configuration, called with that title.

    Raises:
        DeliveryFailed: it is no Storage SCP.
    """
    at = destination
    if at.ae_title is None or at.host is None or at.port is None:
        sentence = "It is reached by DICOMweb or is a folder; this can be done with a Storage SCP alone."
        raise DeliveryFailed("delivery.no-storage-scp", sentence)
    return Peer(at.ae_title, at.host, at.port, calling_ae_title, at.timeout_seconds, at.tls)


class _BoundedSocket(AssociationSocket):
    """Refuses to buffer what no answer to us can need."""

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > _LARGEST_PDU_WE_READ:
            message = "PDU too long"
            raise OSError(message)
        try:
            return super().recv(nr_bytes)
        except ssl.SSLError as error:  # with TLS 1.3 a server judges our certificate after our handshake
            context = cast("ssl.SSLSocket", self.socket).context
            cast("ClientContext", context).failure = error
            raise

    def _shutdown_socket(self) -> None:
        """Close it in any case: pynetdicom leaves a descriptor open if the peer is gone already."""
        opened = cast("socket.socket", self.socket)
        say_good_bye(opened)
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()


class _Requestor(AE):
    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        bounded = _BoundedSocket(assoc, address=address)
        if tls_args:
            bounded.tls_args = tls_args
        return bounded


class Watch:
    """Shuts a connection on which nothing moves for ``timeout_seconds``, or that takes absurdly long in all.

    ``connected_at`` and ``accepted`` say how far the association came, ``expired`` that it was shut here.
    ``rejection`` is the peer's: result, source, reason. pynetdicom itself forgets it where the connection is
    closed before it waits for the answer, as on a busy machine.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.connected_at: float | None = None
        self.accepted = False
        self.expired = False
        self.rejection: tuple[int, int, int] | None = None
        self._timeout = timeout_seconds
        self._bytes = 0
        self._moved_at = self._begun_at = 0.0
        self._bytes_before = self._size = 0
        self._socket: socket.socket | None = None
        self._over = threading.Event()

    def handlers(self) -> list[tuple[evt.EventType, Callable[[Event], Any]]]:
        """What pynetdicom shall call."""
        return [
            (evt.EVT_CONN_OPEN, self._on_connected),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_DATA_SENT, self._on_data),
            (evt.EVT_DATA_RECV, self._on_data),
        ]

    def expect(self, size: int) -> None:
        """Another ``size`` bytes are about to be sent, or so many may come."""
        self._moved_at = self._begun_at = time.monotonic()
        self._bytes_before, self._size = self._bytes, size

    def close(self) -> None:
        """Stop watching and close what is still open."""
        self._over.set()
        if self._socket is not None:
            self._socket.close()

    def _on_connected(self, event: Event) -> None:
        wrapper = cast("AssociationSocket", event.assoc.dul.socket)
        self._socket = cast("socket.socket", wrapper.socket)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.expect(0)
        self.connected_at = time.monotonic()
        threading.Thread(target=self._look, args=(event.assoc,), name="delivery-watch", daemon=True).start()

    def _on_accepted(self, event: Event) -> None:
        self.accepted = True
        _bound_pdu_length(event.assoc)

    def _on_pdu(self, event: Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            answer = event.pdu.to_primitive()
            self.rejection = (
                cast("int", answer.result), cast("int", answer.result_source), cast("int", answer.diagnostic),
            )  # fmt: skip

    def _on_data(self, event: Event) -> None:
        self._bytes += len(event.data)

    def _look(self, association: Association) -> None:
        seen = -1
        while not self._over.wait(_LOOK_EVERY_SECONDS):
            if not association.dul.is_alive():  # nobody is left to wake who waits for an answer
                association.dimse.msg_queue.put((None, None))
                return
            now = time.monotonic()
            moved = self._bytes - self._waiting_in_kernel()
            if moved != seen:
                seen, self._moved_at = moved, max(now, self._moved_at)
            if now - self._moved_at > self._timeout or now - self._begun_at > self._longest(moved):
                self.expired = True
                self._shut()
                return

    def _longest(self, moved: int) -> float:
        """Seconds that it may have taken by now: what has moved buys time, what was only announced none."""
        since = min(max(moved - self._bytes_before, 0), self._size)
        return 2 * self._timeout + since / _SLOWEST_BYTES_PER_SECOND

    def _waiting_in_kernel(self) -> int:
        """Bytes given to the kernel that the peer's TCP has not acknowledged."""
        try:
            found = fcntl.ioctl(cast("socket.socket", self._socket), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):
            return 0
        return int(struct.unpack("i", found)[0])

    def _shut(self) -> None:
        with contextlib.suppress(OSError):
            cast("socket.socket", self._socket).shutdown(socket.SHUT_RDWR)


def _bound_pdu_length(association: Association) -> None:
    """Zero ("no limit") would make one PDU of the file, copied again for every part the kernel takes."""
    for item in association.acceptor.user_information:
        if isinstance(item, MaximumLengthNotification):
            announced = item.maximum_length_received or _LARGEST_PDU_WE_WRITE
            item.maximum_length_received = min(max(announced, _SMALLEST_PDU_WE_WRITE), _LARGEST_PDU_WE_WRITE)
            return
    item = MaximumLengthNotification()
    item.maximum_length_received = 16 * 1024
    association.acceptor.user_information.append(item)


def associate(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    watch: Watch,
    *,
    handlers: Sequence[tuple[evt.EventType, Callable[[Event], Any]]] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    longest_pdu_bytes: int = _USUAL_PDU_WE_READ,
) -> Association | outcome.Outcome:
    """Connect and negotiate, ``roles`` too (PS3.7 D.3.3.4); the outcome of a delivery if it fails.

    ``longest_pdu_bytes`` is what we announce that we read, for associations on which much comes.
    """
    requestor = _Requestor(ae_title=peer.calling_ae_title)
    requestor.connection_timeout = peer.timeout_seconds
    requestor.acse_timeout = peer.timeout_seconds
    requestor.dimse_timeout = None  # the watch decides: a long transfer is not a missing answer
    requestor.network_timeout = None  # counts only what we receive
    try:
        context = client_context(peer.tls) if peer.tls is not None else None
    except TlsUnusable as error:
        return outcome.of_unusable_tls(error)
    name = peer.tls.server_name if peer.tls is not None else None
    try:
        association = requestor.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            tls_args=(context, name or peer.host) if context is not None else None,
            max_pdu=longest_pdu_bytes,  # what is set of the AE counts for associations that it accepts
            ext_neg=list(roles),
            evt_handlers=[*watch.handlers(), *handlers],
        )
    except socket.gaierror:
        return outcome.UNRESOLVED
    if association.is_established:
        association.acse_timeout = min(
            peer.timeout_seconds, _RELEASE_SECONDS
        )  # from now on only for the release
        return association
    watch.close()
    if context is not None and context.failure is not None:
        return outcome.of_tls_failure(kind_of_failure(context.failure))
    if watch.connected_at is None:
        return outcome.REFUSED
    if watch.rejection is not None:
        return outcome.of_rejection(*watch.rejection)
    if watch.accepted:  # one without contexts is over at once; else the peer broke it off in the same moment
        return outcome.ABORTED if association.accepted_contexts else outcome.NO_CONTEXT
    in_time = time.monotonic() - watch.connected_at < 0.9 * peer.timeout_seconds
    return outcome.ABORTED if in_time else outcome.NO_ANSWER
