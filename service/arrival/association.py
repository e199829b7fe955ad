"""An association of pynetdicom's, accepted and driven by one thread that blocks on its socket.

pynetdicom runs two threads for each association, both polling a thousand times a second: a hundred
associations then take a quarter of a minute to negotiate, and a peer that stalls inside a PDU stays for ever.
Here its state machine (PS3.8 section 9.2), its negotiation and its PDUs are driven by the association's own
thread, and P-DATA goes straight to :mod:`service.arrival.dimse`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE

from service.arrival.admission import PLAIN, Connection
from service.arrival.dimse import DimseReceiver
from service.arrival.instance import Origin
from service.arrival.messages import Context, DimseViolation, NormalizedService, Store
from service.arrival.pdu_stream import (
    P_DATA_TF,
    BoundedSocket,
    Interrupted,
    PduInvalid,
    PduStream,
    PeerGone,
    PeerStalled,
    SecuredPduStream,
)
from service.dicom.tls_failures import kind_of_failure
from service.dicom.transport_security import peer_certificate
from service.log import EventLog

if TYPE_CHECKING:
    import socket

    from pynetdicom.ae import ApplicationEntity

    from service.arrival.admission import Rejection
    from service.arrival.in_flight import ReceivingMemory
    from service.dicom.transport_security import ServerCredentials

HANDSHAKE_SECONDS: Final = 15.0
"""How long a TLS handshake may take in all."""

LINGER_SECONDS: Final = 5.0
"""How long a peer may take to close the connection once the association is over; then we close it (ARTIM)."""

LINGER_BYTES: Final = 4 << 20
"""How much of what was under way is read and thrown away meanwhile."""

_log = EventLog("arrival")


class Host(Protocol):
    """What an association asks of the SCP it belongs to."""

    stopping: bool
    idle_seconds: float
    memory: ReceivingMemory

    def admit(self, association: ReceivingAssociation, origin: Origin) -> Rejection | None:
        """Whether this peer is let in; if so it counts as open until :meth:`gone`."""

    def serve(self, association: ReceivingAssociation, origin: Origin) -> Store:
        """Where the association's C-STORE requests go."""

    def normalized(self, origin: Origin) -> NormalizedService | None:
        """Where N-ACTION and N-EVENT-REPORT requests of this peer go."""

    def turned_away(self, reason: str, address: str, title: str = "") -> None:
        """A peer was not let in; what was said of it stands in the log already."""

    def gone(self, association: ReceivingAssociation, *, released: bool) -> None:
        """The association is over; called once, whether it was ever let in or not."""


class ReceivingAssociation(Association):
    """One peer's association with our Storage SCP.

    Args:
        ae: pynetdicom's application entity.
        host: the SCP.
        connection: accepted.
        address: of the peer, as people write it.
        seconds: deadline of every read and send.
        credentials: TLS from the first byte on; None for none.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        host: Host,
        connection: socket.socket,
        address: str,
        seconds: float,
        credentials: ServerCredentials | None = None,
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.host = host
        self._address = address
        self._over = self._warned = False
        self._credentials = credentials
        self._seconds = seconds
        self._plain = connection
        self.connection: Connection = PLAIN
        self._messages: DimseReceiver | None = None
        self._asked_to_give_way_at: float | None = None
        self._connected_at = time.monotonic()
        self._bounded = BoundedSocket(self, connection, seconds)
        self._stream = PduStream(connection, seconds, self._is_interrupted)
        self.set_socket(self._bounded)

    @property
    def silent_seconds(self) -> float:
        """How long it has been between messages; 0 while one is half-received or dealt with."""
        since, messages = self._stream.waiting_since, self._messages
        if since is None or messages is None or messages.busy:
            return 0.0
        return time.monotonic() - since

    @property
    def unasked_seconds(self) -> float:
        """For how long it has been connected without an association; 0 once it has one or is over."""
        return 0.0 if self._messages is not None or self._over else time.monotonic() - self._connected_at

    def give_way(self) -> None:
        """End at the next look-up in favour of somebody else, unless something comes before."""
        self._asked_to_give_way_at = time.monotonic()

    @property
    def gives_way(self) -> bool:
        """Whether it was asked to, and nothing has come since if it has an association."""
        asked, since = self._asked_to_give_way_at, self._stream.waiting_since
        if asked is None or self._messages is None:
            return asked is not None
        return since is not None and since <= asked

    def run_reactor(self) -> None:
        """The thread: from the connection's first byte to its end."""
        try:
            if self._credentials is None or self._secure(self._credentials):
                self._drive()
        except InvalidEventError:  # what came does not go with where we are: the connection is of no use
            self._warn("association.out-of-step")
        except Exception as error:  # noqa: BLE001 - one association must never take the SCP down
            _log.failure("association.failed", error, address=self._address)
        finally:
            self._bounded.close()
            if self._messages is not None:
                self._messages.close()
            self._end(released=False)

    def _secure(self, credentials: ServerCredentials) -> bool:
        """The handshake, in this thread, so that a peer that stalls in it holds up nobody else."""
        seconds = min(HANDSHAKE_SECONDS, self._seconds)
        try:
            connection = credentials.context().wrap_socket(
                self._plain, server_side=True, do_handshake_on_connect=False
            )
            self._bounded.secure(connection)
            connection.settimeout(seconds)
            connection.do_handshake()
        except OSError as error:
            _log.warning("tls.handshake-failed", address=self._address, kind=kind_of_failure(error))
            self.host.turned_away("tls.handshake-failed", self._address)
            return False
        self.connection = Connection(tls=True, certificate=peer_certificate(connection))
        self._stream = SecuredPduStream(connection, self._seconds, self._is_interrupted)
        return True

    def _drive(self) -> None:
        machine = self.dul.state_machine
        machine.do_action(self.dul.event_queue.get_nowait())  # Evt5: the connection is there
        self._settle()
        while machine.current_state not in ("Sta1", "Sta13"):
            self._read()
            self._settle()
        self._end(released=False)
        if machine.current_state == "Sta13":  # it is the peer's turn to close
            if not (self._warned or self.is_released or self.is_rejected):
                self._warn(
                    "association.out-of-step"
                )  # the state machine ended it: what came was not its turn
            closed = self._stream.drain(LINGER_SECONDS, LINGER_BYTES)
            machine.do_action("Evt17" if closed else "Evt18")

    def _read(self) -> None:
        """Wait for one PDU and put the event it is into the queue (PS3.8 Table 9-10)."""
        events, state = self.dul.event_queue, self.dul.state_machine.current_state
        try:
            begun = self._messages is not None and self._messages.busy
            kind, pdu = self._stream.read(within_message=begun)
            if kind == P_DATA_TF and state == "Sta6" and self._messages is not None:
                self._stream.spoken()
                for response in self._messages.receive(pdu):
                    self._bounded.send(response)
            else:
                decoded, event = self._decode(pdu)
                self.dul._recv_pdu.put(decoded)
                events.put(event)
        except PeerGone:
            events.put("Evt17")
        except (PduInvalid, DimseViolation) as error:
            self._breach(error, state)
            events.put("Evt19")
        except (PeerStalled, Interrupted) as reason:
            gives_way = self.gives_way and not self.host.stopping
            if gives_way:
                self._warn("association.gave-way", seconds=int(self.silent_seconds or self.unasked_seconds))
            elif state == "Sta6" or isinstance(reason, PeerStalled):
                self._warn("association.cut-off", type=type(reason).__name__)
            if state == "Sta6":
                self.acse.send_abort(0x02 if gives_way or isinstance(reason, PeerStalled) else 0x00)
            else:
                events.put("Evt18")

    def _breach(self, error: PduInvalid | DimseViolation, state: str) -> None:
        if state == "Sta6":
            self._warn("association.violated", kind=str(error))
            return
        self._warn("association.not-dicom", kind=str(error))
        self.host.turned_away("association.not-dicom", self._address)

    def _decode(self, pdu: bytearray):  # type: ignore[no-untyped-def]  # noqa: ANN202 - pynetdicom's own pair
        try:
            return self.dul._decode_pdu(pdu)
        except Exception as error:
            raise PduInvalid("unreadable") from error

    def _settle(self) -> None:
        """Let the state machine, negotiation and release run until they wait for the peer again."""
        while self.dul.state_machine.current_state != "Sta1":
            if not self.dul.event_queue.empty():
                self.dul.state_machine.do_action(self.dul.event_queue.get_nowait())
            elif (primitive := self._from_peer()) is not None:
                self._follow(primitive)
            elif not self.dul._process_recv_primitive():
                return

    def _from_peer(self) -> object:
        return self.dul.receive_pdu(wait=False)

    def _follow(self, primitive: object) -> None:
        if isinstance(primitive, A_ASSOCIATE):
            self._negotiate(primitive)
        elif isinstance(primitive, A_RELEASE):
            self.is_released, self.is_established = True, False
            self._end(released=True)  # before the peer hears of it
            self.acse.send_release(is_response=True)
            evt.trigger(self, evt.EVT_RELEASED, {})
        elif isinstance(primitive, A_ABORT | A_P_ABORT):
            self.is_aborted, self.is_established = True, False
            self._end(released=False)
            evt.trigger(self, evt.EVT_ABORTED, {})

    def _negotiate(self, request: A_ASSOCIATE) -> None:
        self.requestor.primitive = request
        evt.trigger(self, evt.EVT_REQUESTED, {})
        calling, called = str(request.calling_ae_title).strip(), str(request.called_ae_title).strip()
        origin = Origin(calling, called, self._address)
        rejection = self.host.admit(self, origin)
        if rejection is not None:
            self.is_rejected = True
            self.acse.send_reject(rejection.result, rejection.source, rejection.reason)
            evt.trigger(self, evt.EVT_REJECTED, {})
            return
        self.acse.negotiate_association()
        contexts = {
            int(agreed.context_id or 0): Context(str(agreed.abstract_syntax), str(agreed.transfer_syntax[0]))
            for agreed in self.accepted_contexts
        }
        self._stream.established(self.host.idle_seconds)
        peer_max_pdu = self.requestor.maximum_length or 0
        store, normalized = self.host.serve(self, origin), self.host.normalized(origin)
        self._messages = DimseReceiver(contexts, store, peer_max_pdu, self.host.memory, normalized)

    def _end(self, *, released: bool) -> None:
        if not self._over:
            self._over = True
            self.host.gone(self, released=released)

    def _warn(self, event: str, **facts: str | int) -> None:
        """One line for what a peer does wrong."""
        self._warned = True
        _log.warning(event, address=self._address, **facts)

    def _is_interrupted(self) -> bool:
        """Asked while nothing comes, in this thread: the moment for what we have to report."""
        if self._messages is not None and self.dul.state_machine.current_state == "Sta6":
            for pdu in self._messages.idle():
                self._bounded.send(pdu)
        return self.host.stopping or self.gives_way
