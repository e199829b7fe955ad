"""Carries storage commitment out: a row of the engine for each question and each answer.

What must be answered lies in the ledger before anything is sent: where a process dies, its row runs again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from service.backlog.commitment_answers import take_report
from service.backlog.commitment_records import AskedState, CommitmentState
from service.backlog.engine import COMMIT, Again
from service.backlog.ledger import LedgerRefused
from service.backlog.ledger_commitments import ask_key, report_key
from service.backlog.safekeeping import report_on
from service.config.site import Backoff
from service.delivery.association import Peer, peer_of
from service.delivery.backoff import wait_seconds
from service.delivery.commitment_scu import NOT_OFFERED, ask, tell
from service.dicom.uids import derived_uid
from service.log import EventLog

if TYPE_CHECKING:
    import sqlalchemy as sa

    from service.backlog.commitment_records import AskedCommitment, Commitment
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies
    from service.backlog.records import Delivery
    from service.backlog.spool import Spool
    from service.config.reader import LoadedSite
    from service.config.site import Destination, Sender

_HOUR: Final = 3600.0
_REPORT_FOR_SECONDS: Final = 24 * _HOUR
_WITHOUT_PORT_SECONDS: Final = 600.0  # then only the association on which it was asked could carry it
_ON_ITS_OWN_ASSOCIATION_SECONDS: Final = 8.0  # since arrival touched it: it is being reported there
_SHORTEST_WAIT_SECONDS: Final = 1.0

_log = EventLog("commitment")


class Committer:
    """Handler of the engine's queue ``commit``.

    Args:
        ledger, engine, spool: of this node.
        site: the configuration in force.
        notify: told of what a person must look at.
    """

    def __init__(
        self,
        ledger: Ledger,
        engine: EngineClient,
        spool: Spool,
        site: Callable[[], LoadedSite],
        notify: Notifies,
    ) -> None:
        self._ledger = ledger
        self._engine = engine
        self._spool = spool
        self._site = site
        self._notify = notify

    def want(self, conn: sa.Connection, delivery_id: int) -> None:
        """A delivery was acknowledged, in the caller's transaction: its destination is to be asked."""
        if self._ledger.want_commitment(conn, delivery_id):
            self._engine.submit(conn, COMMIT, ask_key(delivery_id), f"ask:{delivery_id}")

    def handle(self, payload: str) -> Again | None:
        """Do what the row says: ``ask:DELIVERY`` or ``report:REQUEST``."""
        kind, _, number = payload.partition(":")
        return self._ask(int(number)) if kind == "ask" else self._report(int(number))

    def _ask(self, delivery_id: int) -> Again | None:
        found = self._ledger.commitment(delivery_id)
        if found is None or not found.state.is_open:
            return None
        delivery = self._ledger.delivery(delivery_id)
        destination = self._destination(delivery)
        why = None
        if destination is None or not destination.storage_commitment or destination.ae_title is None:
            why = "The configuration does not ask for it any more."
        elif time.time() - found.created_at > destination.commitment.give_up_hours * _HOUR:
            why = "It has given no answer."
        if destination is None or why is not None:
            self._give_up(delivery, str(why))
            return None
        return self._request(delivery, found, destination)

    def _request(self, delivery: Delivery, found: Commitment, destination: Destination) -> Again | None:
        node = self._site().site.node
        at = destination.commitment
        own = peer_of(destination, destination.calling_ae_title or node.ae_title)
        asked = at.ae_title or own.ae_title
        peer = replace(own, ae_title=asked, host=at.host or own.host, port=at.port or own.port)
        transaction_uid = derived_uid(node.uid_root, "commitment", uuid4().hex)
        try:
            self._ledger.start_request(delivery.id, asked, transaction_uid)
        except LedgerRefused:  # answered since we looked
            return None
        instances = [(str(delivery.kind.sop_class_uid), delivery.sop_instance_uid)]
        said = ask(
            peer,
            transaction_uid,
            instances,
            lambda report: take_report(self._ledger, self._notify, asked, report),
        )
        self._ledger.end_request(transaction_uid, status=said.status, code=said.code, taken=said.stored)
        _log.info("commitment.asked", job=delivery.job_id, destination=delivery.destination, code=said.code)
        if said is NOT_OFFERED:
            state = CommitmentState.NOT_OFFERED
            self._ledger.end_commitment(delivery.id, state, code=said.code, sentence=said.sentence)
            self._notify.tell(said.code, f"{delivery.destination}: {said.sentence}", delivery.job_id)
            return None
        attempt = found.requests + 1
        wait = at.answer_hours * _HOUR if said.stored else wait_seconds(said.kind, attempt, destination.retry)
        pause = wait if wait is not None else destination.retry.longest_seconds
        return Again(
            ask_key(delivery.id, attempt + 1), f"ask:{delivery.id}", max(pause, _SHORTEST_WAIT_SECONDS)
        )

    def _give_up(self, delivery: Delivery, why: str) -> None:
        sentence = (
            f"{delivery.destination} has acknowledged a {delivery.noun} and not committed itself to keep it. "
            f"{why} Look whether it is there."
        )
        code, state = "commitment.unanswered", CommitmentState.UNANSWERED
        if self._ledger.end_commitment(delivery.id, state, code=code, sentence=sentence):
            self._notify.tell(code, sentence, delivery.job_id)

    def _destination(self, delivery: Delivery) -> Destination | None:
        return self._site().destination(delivery.destination)

    def _report(self, asked_id: int) -> Again | None:
        asked = self._ledger.asked(asked_id)
        if asked.state is not AskedState.WAITING:
            return None
        waited = time.time() - asked.asked_at
        attempt = 2 + int(waited)  # any number that grows
        again = report_key(asked.id, asked.asked_at, attempt)
        if (
            asked.asked_at < asked.updated_at
            and time.time() - asked.updated_at < _ON_ITS_OWN_ASSOCIATION_SECONDS
        ):
            return Again(again, f"report:{asked.id}", _ON_ITS_OWN_ASSOCIATION_SECONDS)
        sender = self._site().sender(asked.ae_title)
        if sender is not None and sender.port is not None:
            peer = self._peer_of(asked, sender, sender.port)
            said = tell(peer, report_on(asked, self._spool))
            _log.info("commitment.reporting", ae_title=asked.ae_title, code=said.code, status=said.status)
            if said.stored:
                self._ledger.move_asked(asked.id, AskedState.REPORTED)
                return None
        reachable = sender is not None and sender.port is not None
        if waited > (_REPORT_FOR_SECONDS if reachable else _WITHOUT_PORT_SECONDS):
            self._ledger.move_asked(asked.id, AskedState.UNREACHABLE)
            _log.warning("commitment.sender-unreachable", ae_title=asked.ae_title)
            return None
        retry = Backoff()
        return Again(
            again, f"report:{asked.id}", min(max(waited, retry.first_seconds), retry.longest_seconds)
        )

    def _peer_of(self, asked: AskedCommitment, sender: Sender, port: int) -> Peer:
        own = self._site().site.node.ae_title
        return Peer(asked.ae_title, sender.host or asked.address, port, own, tls=sender.tls)
