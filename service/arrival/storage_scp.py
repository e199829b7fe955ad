"""The Storage SCP: listens, admits, and stores what comes before the sender hears that it was stored.

Built on pynetdicom's server, negotiation and state machine; :mod:`service.arrival.association` says what is
driven differently and why.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from service.arrival.admission import LIMIT, SHUTTING_DOWN, Rejection, judge, plain_address
from service.arrival.association import ReceivingAssociation
from service.arrival.intake import Arrivals, Intake
from service.dicom.transfer_syntaxes import accepted_contexts
from service.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.errors import NodeError
from service.log import EventLog

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from service.arrival.instance import Origin
    from service.backlog.spool import Spool
    from service.config.site import Node, Site

MAX_PDU_BYTES: Final = 128 * 1024
"""The longest P-DATA-TF PDU we announce (PS3.8 Annex D.1)."""

SPARE_CONNECTIONS: Final = 64
"""Connections beyond the limit of associations that are heard out, so that each learns why it must wait."""

_POLL_SECONDS: Final = 0.1  # how soon a stop is noticed; connections wake the server at once
_log = EventLog("arrival")


class StorageScp:
    """Receives instances.

    Args:
        site: gives the configuration in force; who may call is asked anew for each association, what
            concerns the node itself is taken once.
        spool: where instances are kept.
        arrivals: is told of every instance and of the end of every association.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        site: Callable[[], Site],
        spool: Spool,
        arrivals: Arrivals,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._site = site
        self._node = site().node
        self._spool = spool
        self._arrivals = arrivals
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[ReceivingAssociation, Intake | None] = {}
        self._numbers = itertools.count(1)
        self._server: _Server | None = None
        self._refusing = False
        self.stopping = False
        self.discarded: Counter[str] = Counter()
        """How many instances were answered and thrown away, by SOP class UID."""

    def start(self, port_before: int = 0) -> int:
        """Begin to listen; returns the port.

        Args:
            port_before: taken again if the configuration leaves the port open and it is free, so that senders
                find a process that was started again where it was.

        Raises:
            NodeError: the address or port cannot be had; the sentence says so.
        """
        _config.LOG_HANDLER_LEVEL = "none"  # no identifiers in any log, and no time spent on formatting them
        if port_before and not self._node.port:
            with contextlib.suppress(OSError):
                self._server = _Server(self, self._node.model_copy(update={"port": port_before}))
        try:
            self._server = self._server or _Server(self, self._node)
        except OSError as error:
            sentence = (
                f"Cannot listen on {self._node.bind}:{self._node.port} ({error.strerror}). "
                "Stop what uses the port, or change node.bind or node.port."
            )
            _log.error("arrival.cannot-listen", address=self._node.bind, port=self._node.port)
            raise NodeError("arrival.cannot-listen", sentence) from None
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="storage-scp", daemon=True
        ).start()
        return int(self._server.server_address[1])

    @property
    def open_associations(self) -> int:
        """How many associations are established or being negotiated."""
        with self._lock:
            return len(self._open)

    def stop(self, grace_seconds: float) -> None:
        """Turn new associations away, let open ones finish for a while, abort the rest, stop listening."""
        self._refusing = True
        if self._server is None:
            return
        deadline = time.monotonic() + grace_seconds
        while self.open_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self.stopping = True
        self._server.shutdown()
        for thread in [found for found in threading.enumerate() if isinstance(found, ReceivingAssociation)]:
            if thread.host is self:
                thread.join(timeout=3)

    def admit(self, association: ReceivingAssociation, origin: Origin) -> Rejection | None:
        """See :class:`service.arrival.association.Host`."""
        site = self._site()
        rejection: Rejection | None = SHUTTING_DOWN
        if not self._refusing:
            rejection = judge(
                site, calling=origin.calling_ae_title, called=origin.called_ae_title, address=origin.address
            )
        with self._lock:
            if rejection is None and len(self._open) >= self._node.max_associations:
                rejection = LIMIT
            if rejection is None:
                self._open[association] = None
                return None
        _log.warning(
            rejection.code,
            address=origin.address,
            ae_title=origin.calling_ae_title,
            called_ae_title=origin.called_ae_title,
        )
        return rejection

    def serve(self, association: ReceivingAssociation, origin: Origin) -> Intake:
        """See :class:`service.arrival.association.Host`."""
        intake = Intake(
            next(self._numbers),
            origin,
            self._spool,
            self._arrivals,
            discard=self._node.accept_and_discard,
            reserve_bytes=int(self._node.disk.reserve_gb * 1e9),
            clock=self._clock,
            authorised=origin.calling_ae_title in self._site().senders,
        )
        with self._lock:
            self._open[association] = intake
        return intake

    def gone(self, association: ReceivingAssociation, *, released: bool) -> None:
        """See :class:`service.arrival.association.Host`."""
        with self._lock:
            intake = self._open.pop(association, None)
            if intake is not None:
                self.discarded.update(intake.discarded)
        if intake is not None:
            intake.end(released=released)


class _Server(AssociationServer):
    """pynetdicom's server with a longer queue and no traceback on standard error."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, scp: StorageScp, node: Node) -> None:
        self.scp = scp
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
            supported.append(context)
        address = AddressInformation.from_addr_port(node.bind, node.port).as_tuple
        super().__init__(ae, address, node.ae_title, supported, request_handler=_Handler)

    def verify_request(self, request: object, client_address: tuple[str, int]) -> bool:  # noqa: ARG002
        """Close connections at once that are too many even to be told so."""
        connections = sum(isinstance(thread, ReceivingAssociation) for thread in threading.enumerate())
        if connections < self.most_connections:
            return True
        _log.warning("association.too-many-connections", address=plain_address(client_address[0]))
        return False

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002
        """Say what kind of thing went wrong, without its text."""
        error = sys.exc_info()[1]
        if error is not None:
            _log.failure("association.not-begun", error, address=plain_address(client_address[0]))

    def service_actions(self) -> None:
        """Leave rubbish to Python's own collector; pynetdicom would stop everything for it twice a minute."""

    def shutdown(self) -> None:
        """Stop listening."""
        super(AssociationServer, self).shutdown()
        self.server_close()


class _Handler(RequestHandler):
    """Makes an association of each connection; the contexts are shared, not copied."""

    server: _Server

    def handle(self) -> None:
        """Begin an association on this connection."""
        connection: socket.socket = self.request
        server = self.server
        association = ReceivingAssociation(
            self.ae, server.scp, connection, plain_address(self.client_address[0]), server.seconds
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
