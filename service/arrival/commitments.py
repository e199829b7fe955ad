"""Storage commitment on our port: senders ask us to keep what they sent, destinations answer what we asked.

A request is written down before it is answered, together with the row of the engine that reports it later on
a new association; where the sender keeps its association open and silent, the report goes out on that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from service.arrival.dimse import N_ACTION, N_EVENT_REPORT
from service.arrival.messages import Normalized, Notice
from service.backlog.commitment_answers import take_report
from service.backlog.commitment_records import AskedState
from service.backlog.engine import COMMIT
from service.backlog.ledger import LedgerRefused
from service.backlog.ledger_commitments import report_key
from service.backlog.safekeeping import report_on
from service.dicom import storage_commitment as service
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.arrival.instance import Origin
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies
    from service.backlog.spool import Spool
    from service.config.site import Site

LONGEST_BYTES: Final = 64 << 20
ON_THE_SAME_ASSOCIATION_SECONDS: Final = 5.0
"""So long the engine leaves a report to the association on which it was asked for."""

_SUCCESS: Final = 0x0000
_PROCESSING_FAILURE: Final = 0x0110
_NO_SUCH_INSTANCE: Final = 0x0112
_NO_SUCH_EVENT: Final = 0x0113
_INVALID_ARGUMENT: Final = 0x0115
_NO_SUCH_CLASS: Final = 0x0118
_NO_SUCH_ACTION: Final = 0x0123
_NOT_AUTHORISED: Final = 0x0124
_UNRECOGNISED_OPERATION: Final = 0x0211
_RESOURCE_LIMITATION: Final = 0x0213

_log = EventLog("commitment")


class Commitments:
    """What all associations share.

    Args:
        site: the configuration in force.
        spool, ledger, engine: of this node.
        notify: told of refused commitments.
    """

    def __init__(
        self,
        site: Callable[[], Site],
        spool: Spool,
        ledger: Ledger,
        engine: EngineClient,
        notify: Notifies,
    ) -> None:
        self.site = site
        self.spool = spool
        self.ledger = ledger
        self.engine = engine
        self.notify = notify

    def of(self, origin: Origin) -> AssociationCommitments:
        """For one association."""
        return AssociationCommitments(self, origin)


class AssociationCommitments:
    """See :class:`service.arrival.dimse.NormalizedService`; used by the association's thread alone."""

    def __init__(self, shared: Commitments, origin: Origin) -> None:
        self._shared = shared
        self._origin = origin
        self._waiting: list[tuple[int, Normalized]] = []

    def longest(self, sop_class_uid: str) -> int:
        """See :class:`service.arrival.dimse.NormalizedService`."""
        return LONGEST_BYTES if sop_class_uid == service.SOP_CLASS else 0

    def take(self, request: Normalized) -> int:
        """See :class:`service.arrival.dimse.NormalizedService`."""
        if request.context.sop_class_uid != service.SOP_CLASS:
            return _UNRECOGNISED_OPERATION
        if request.sop_class_uid != service.SOP_CLASS:
            return _NO_SUCH_CLASS
        if request.sop_instance_uid != service.INSTANCE:
            return _NO_SUCH_INSTANCE
        if not request.data:
            return _RESOURCE_LIMITATION  # longer than any that is taken, or nothing
        try:
            status = self._asked(request) if request.field == N_ACTION else self._report(request)
        except service.CommitmentUnreadable as error:
            _log.warning(error.code, ae_title=self._origin.calling_ae_title)
            return _INVALID_ARGUMENT
        except SQLAlchemyError as error:
            _log.failure("commitment.ledger-silent", error, ae_title=self._origin.calling_ae_title)
            return _PROCESSING_FAILURE
        return status

    def due(self) -> Iterator[tuple[int, Notice]]:
        """See :class:`service.arrival.dimse.NormalizedService`."""
        waiting, self._waiting = self._waiting, []
        for asked_id, request in waiting:
            try:
                asked = self._shared.ledger.asked(asked_id)
                if asked.state is not AskedState.WAITING:
                    continue
                self._shared.ledger.move_asked(asked_id, AskedState.WAITING)  # the engine leaves it to us
                report = report_on(asked, self._shared.spool)
            except (SQLAlchemyError, LedgerRefused, OSError) as error:  # then the engine reports it
                _log.failure("commitment.not-reported", error, ae_title=self._origin.calling_ae_title)
                continue
            data = service.encoded(service.report_data_set(report), request.context.transfer_syntax_uid)
            about = service.SOP_CLASS, service.INSTANCE
            yield asked_id, Notice(request.context_id, *about, report.event_type, data)

    def answered(self, number: int, status: int) -> None:
        """See :class:`service.arrival.dimse.NormalizedService`."""
        _log.info("commitment.reported", ae_title=self._origin.calling_ae_title, status=f"{status:04X}")
        if status == _SUCCESS:
            try:
                self._shared.ledger.move_asked(number, AskedState.REPORTED)
            except SQLAlchemyError as error:  # then the engine reports it a second time
                _log.failure("commitment.ledger-silent", error, ae_title=self._origin.calling_ae_title)

    def _asked(self, request: Normalized) -> int:
        """A sender asks us to keep what it sent."""
        title = self._origin.calling_ae_title
        if title not in self._shared.site().senders:
            return _NOT_AUTHORISED
        if request.type_id != service.REQUEST:
            return _NO_SUCH_ACTION
        ds = service.decoded(request.data, request.context.transfer_syntax_uid)
        transaction_uid, instances = service.read_request(ds)
        ledger = self._shared.ledger
        try:
            with ledger.begin() as conn:
                asked_id, asked_at = ledger.record_asked(
                    conn,
                    ae_title=title,
                    address=self._origin.address,
                    transaction_uid=transaction_uid,
                    instances=instances,
                )
                self._shared.engine.submit(
                    conn,
                    COMMIT,
                    report_key(asked_id, asked_at),
                    f"report:{asked_id}",
                    delay_seconds=ON_THE_SAME_ASSOCIATION_SECONDS,
                )
        except LedgerRefused as refused:
            _log.warning(refused.code, ae_title=title)
            return _INVALID_ARGUMENT
        self._waiting.append((asked_id, request))
        _log.info("commitment.requested", ae_title=title, instances=len(instances))
        return _SUCCESS

    def _report(self, request: Normalized) -> int:
        """A destination says whether it keeps what it acknowledged."""
        if request.field != N_EVENT_REPORT:
            return _UNRECOGNISED_OPERATION
        if request.type_id not in (service.ALL_COMMITTED, service.FAILURES_EXIST):
            return _NO_SUCH_EVENT
        report = service.read_report(service.decoded(request.data, request.context.transfer_syntax_uid))
        title = self._origin.calling_ae_title
        known = take_report(self._shared.ledger, self._shared.notify, title, report)
        return _SUCCESS if known else _INVALID_ARGUMENT
