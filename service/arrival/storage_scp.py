"""The Storage SCP: listens, admits, and stores what comes before the sender hears that it was stored.

Built on pynetdicom's server, negotiation and state machine; :mod:`service.arrival.association` says what is
driven differently and why.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from pynetdicom import _config

from service.arrival.admission import LIMIT, SHUTTING_DOWN, Rejection, is_pulled, judge
from service.arrival.association import ReceivingAssociation
from service.arrival.in_flight import ReceivingMemory
from service.arrival.intake import Arrivals, Intake
from service.arrival.listener import Listener
from service.backlog.pull_orders import PullOrders
from service.backlog.refusals import Refusals
from service.dicom.transport_security import ServerCredentials
from service.errors import NodeError
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.arrival.commitments import Commitments
    from service.arrival.instance import Origin
    from service.arrival.messages import NormalizedService
    from service.backlog.spool import Spool
    from service.config.site import Site

GIVE_WAY_SECONDS: Final = 3.0
"""How long a new association waits for an idle one to end where no more may be open."""

_LOOPBACK: Final = {"::": "::1", "::1": "::1"}
_LOOK_AGAIN_SECONDS: Final = 0.1  # whether who was asked has begun to speak instead
_log = EventLog("arrival")


class StorageScp:
    """Receives instances.

    Args:
        site: gives the configuration in force; who may call is asked anew for each association, what
            concerns the node itself is taken once.
        spool: where instances are kept.
        arrivals: is told of every instance and of the end of every association.
        clock: seconds since the epoch.
        refusals: where those who are turned away and what is refused are counted.
        commitments: takes requests for storage commitment and answers to ours; None refuses them.
    """

    def __init__(
        self,
        site: Callable[[], Site],
        spool: Spool,
        arrivals: Arrivals,
        clock: Callable[[], float] = time.time,
        commitments: Commitments | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._refusals = refusals if refusals is not None else Refusals()
        self._commitments = commitments
        self._site = site
        self._node = site().node
        self._spool = spool
        self._arrivals = arrivals
        self._clock = clock
        self.idle_seconds = self._node.idle_seconds
        self._reserve_bytes = int(self._node.disk.reserve_gb * 1e9)
        self.memory = ReceivingMemory(spool, self._node.receiving_memory_mb * 1_000_000, self._reserve_bytes)
        self._lock = threading.Condition()
        self._waiting = 0
        self._orders = PullOrders(spool.storage, clock)
        self._open: dict[ReceivingAssociation, Intake | None] = {}
        self._numbers = itertools.count(1)
        self._listeners: list[Listener] = []
        self.tls_port: int | None = None
        self._refusing = False
        self.stopping = False
        self.discarded: Counter[str] = Counter()
        """How many instances were answered and thrown away, by SOP class UID."""

    def start(self, port_before: int = 0) -> int:
        """Begin to listen; returns the port, that of TLS if it is the only one.

        Args:
            port_before: taken again if the configuration leaves the port open and it is free, so that senders
                find a process that was started again where it was.

        Raises:
            NodeError: an address or port cannot be had; the sentence says so.
            TlsUnusable: certificate or key cannot be used.
        """
        _config.LOG_HANDLER_LEVEL = "none"  # no identifiers in any log, and no time spent on formatting them
        node, tls = self._node, self._node.tls
        credentials = ServerCredentials(tls) if tls is not None else None
        bind = node.bind if node.plain_port == "on" else _LOOPBACK.get(node.bind, "127.0.0.1")
        if port_before and not node.port and node.plain_port != "off":
            with contextlib.suppress(OSError):
                self._listeners.append(Listener(self, node, bind, port_before))
        if node.plain_port != "off" and not self._listeners:
            self._listen(bind, node.port, "node")
        if tls is not None:
            self._listen(tls.bind or node.bind, tls.port, "node.tls", credentials)
            self.tls_port = self._listeners[-1].port
        for listener in self._listeners:
            listener.start()
        return self._listeners[0].port if self._listeners else 0

    def _listen(self, bind: str, port: int, where: str, credentials: ServerCredentials | None = None) -> None:
        try:
            self._listeners.append(Listener(self, self._node, bind, port, credentials))
        except OSError as error:
            for listener in self._listeners:
                listener.server_close()
            sentence = (
                f"Cannot listen on {bind}:{port} ({error.strerror}). "
                f"Stop what uses the port, or change {where}.bind or {where}.port."
            )
            _log.error("arrival.cannot-listen", address=bind, port=port)
            raise NodeError("arrival.cannot-listen", sentence) from None

    @property
    def open_associations(self) -> int:
        """How many associations are established or being negotiated."""
        with self._lock:
            return len(self._open)

    def stop(self, grace_seconds: float) -> None:
        """Turn new associations away, let open ones finish for a while, abort the rest, stop listening."""
        self._refusing = True
        if not self._listeners:
            return
        deadline = time.monotonic() + grace_seconds
        while self.open_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self.stopping = True
        for listener in self._listeners:
            listener.shutdown()
        for thread in [found for found in threading.enumerate() if isinstance(found, ReceivingAssociation)]:
            if thread.host is self:
                thread.join(timeout=3)

    def admit(self, association: ReceivingAssociation, origin: Origin) -> Rejection | None:
        """See :class:`service.arrival.association.Host`."""
        site = self._site()
        rejection: Rejection | None = SHUTTING_DOWN
        if not self._refusing:
            rejection = judge(
                site,
                calling=origin.calling_ae_title,
                called=origin.called_ae_title,
                address=origin.address,
                connection=association.connection,
            )
        with self._lock:
            if rejection is None and not self._has_room():
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
        self.turned_away(rejection.code, origin.address, origin.calling_ae_title)
        return rejection

    def turned_away(self, reason: str, address: str, title: str = "") -> None:
        """See :class:`service.arrival.association.Host`."""
        sender = title if title in self._site().senders else ""
        self._refusals.add("association", reason, address=address, title=title, sender=sender)

    def _has_room(self) -> bool:
        """Whether one more may be open; if none may, the idlest is asked to give way. Holds the lock."""
        if self._is_room():
            return True
        deadline = time.monotonic() + GIVE_WAY_SECONDS
        asked: ReceivingAssociation | None = None
        self._waiting += 1
        try:
            while (asked is None or asked in self._open) and not self._is_room(waiting=self._waiting - 1):
                if asked is None or not asked.gives_way:
                    asked = self._idlest()
                    if asked is None:
                        return False
                    asked.give_way()
                if time.monotonic() > deadline:
                    return False
                self._lock.wait(_LOOK_AGAIN_SECONDS)
        finally:
            self._waiting -= 1
        return True

    def _is_room(self, waiting: int | None = None) -> bool:
        """Whether one more may be open beside those who wait for the place of another."""
        return len(self._open) + (self._waiting if waiting is None else waiting) < self._node.max_associations

    def _idlest(self) -> ReceivingAssociation | None:
        """Whom it costs least to end: who has stored nothing first, then who has been silent longest."""
        found = [
            (intake is not None and intake.stored > 0, -silent, id(association), association)
            for association, intake in self._open.items()
            if (silent := association.silent_seconds) >= self.idle_seconds and not association.gives_way
        ]
        return min(found)[-1] if found else None

    def serve(self, association: ReceivingAssociation, origin: Origin) -> Intake:
        """See :class:`service.arrival.association.Host`."""
        site, title = self._site(), origin.calling_ae_title
        ordered = self._orders if is_pulled(site, title, origin.address) else None
        intake = Intake(
            next(self._numbers),
            origin,
            self._spool,
            self._arrivals,
            discard=self._node.accept_and_discard,
            reserve_bytes=self._reserve_bytes,
            clock=self._clock,
            refusals=self._refusals,
            authorised=ordered is not None or title in site.senders,
            ordered=ordered,
        )
        with self._lock:
            self._open[association] = intake
        return intake

    def normalized(self, origin: Origin) -> NormalizedService | None:
        """See :class:`service.arrival.association.Host`."""
        return self._commitments.of(origin) if self._commitments is not None else None

    def gone(self, association: ReceivingAssociation, *, released: bool) -> None:
        """See :class:`service.arrival.association.Host`."""
        with self._lock:
            intake = self._open.pop(association, None)
            self._lock.notify_all()
            if intake is not None:
                self.discarded.update(intake.discarded)
        if intake is not None:
            intake.end(released=released)
