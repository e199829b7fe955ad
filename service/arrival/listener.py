"""The listening sockets: pynetdicom's server, with an association of ours for each connection."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from service.arrival.admission import plain_address
from service.arrival.association import ReceivingAssociation
from service.dicom.transfer_syntaxes import STORAGE_COMMITMENT, accepted_contexts
from service.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.log import EventLog

if TYPE_CHECKING:
    import socket

    from service.arrival.association import Host
    from service.config.site import Node
    from service.dicom.transport_security import ServerCredentials

MAX_PDU_BYTES: Final = 128 * 1024
"""The longest P-DATA-TF PDU we announce (PS3.8 Annex D.1)."""

SPARE_CONNECTIONS: Final = 64
"""Connections beyond the limit of associations that are heard out, so that each learns why it must wait."""

PATIENCE_SECONDS: Final = 3.0
"""How long a connection may be open without asking for an association where others wait to be heard."""

_POLL_SECONDS: Final = 0.1  # how soon a stop is noticed; connections wake the server at once
_log = EventLog("arrival")


class Listener(AssociationServer):
    """pynetdicom's server with a longer queue and no traceback on standard error.

    Args:
        host: the SCP.
        node: its configuration.
        bind, port: where to listen; port 0 picks a free one.
        credentials: TLS from the first byte on; None for none.

    Raises:
        OSError: address or port cannot be had.
    """

    request_queue_size = 256
    daemon_threads = True

    def __init__(
        self, host: Host, node: Node, bind: str, port: int, credentials: ServerCredentials | None = None
    ) -> None:
        self.host = host
        self.credentials = credentials
        self.seconds = float(node.network_timeout_seconds)
        self.most_connections = node.max_associations + SPARE_CONNECTIONS
        ae = ApplicationEntity(node.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = MAX_PDU_BYTES
        ae.maximum_associations = 100_000  # we count ourselves, and answer with the right code
        ae.network_timeout = self.seconds
        contexts = accepted_contexts(enhanced_ct=node.enhanced_ct, discard=node.accept_and_discard)
        supported = []
        for sop_class, syntaxes in contexts.items():
            context = PresentationContext()
            context.abstract_syntax = sop_class
            context.transfer_syntax = list(syntaxes)
            if (
                sop_class == STORAGE_COMMITMENT
            ):  # senders use the service, destinations that answer provide it
                context.scu_role = context.scp_role = True
            supported.append(context)
        address = AddressInformation.from_addr_port(bind, port).as_tuple
        super().__init__(ae, address, node.ae_title, supported, request_handler=_Handler)

    def verify_request(self, request: object, client_address: tuple[str, int]) -> bool:  # noqa: ARG002
        """Close connections at once that are too many even to be told so.

        One that asks for no association for long makes room before: who opens connections and says nothing
        keeps nobody out.
        """
        connections = [thread for thread in threading.enumerate() if isinstance(thread, ReceivingAssociation)]
        staying = [connection for connection in connections if not connection.gives_way]
        if len(staying) < self.most_connections and len(connections) < 2 * self.most_connections:
            return True
        longest = max(staying, key=lambda connection: connection.unasked_seconds, default=None)
        if longest is not None and longest.unasked_seconds >= PATIENCE_SECONDS:
            longest.give_way()
            if len(connections) < 2 * self.most_connections:
                return True
        address = plain_address(client_address[0])
        _log.warning("association.too-many-connections", address=address)
        self.host.turned_away("association.too-many-connections", address)
        return False

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Say what kind of thing went wrong, without its text."""
        error = sys.exc_info()[1]
        if error is not None:
            _log.failure("association.not-begun", error, address=plain_address(client_address[0]))

    def service_actions(self) -> None:
        """Leave rubbish to Python's own collector; pynetdicom would stop everything for it twice a minute."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Take connections in a thread."""
        threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="storage-scp", daemon=True
        ).start()

    def shutdown(self) -> None:
        """Stop listening."""
        super(AssociationServer, self).shutdown()
        self.server_close()


class _Handler(RequestHandler):
    """Makes an association of each connection; the contexts are shared, not copied."""

    server: Listener

    def handle(self) -> None:
        """Begin an association on this connection."""
        connection: socket.socket = self.request
        server = self.server
        association = ReceivingAssociation(
            self.ae,
            server.host,
            connection,
            plain_address(self.client_address[0]),
            server.seconds,
            server.credentials,
        )
        association._server = server
        association.name = "association"
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = server.contexts
        association.requestor.address_info = self.remote
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        association.start()
