"""What follows from a destination's answer to a request for storage commitment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.backlog.commitment_records import CommitmentState
from service.dicom.storage_commitment import Report, said_of
from service.log import EventLog

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies

_log = EventLog("commitment")


def take_report(ledger: Ledger, notify: Notifies, ae_title: str, report: Report) -> bool:
    """Write down what a destination reports, tell a person of a refusal; False if nothing was asked of it."""
    failed = {
        uid: (reason, f"The destination does not commit itself: {said_of(reason)}.")
        for uid, (_, reason) in report.failed.items()
    }
    answered = ledger.commitment_answered(report.transaction_uid, ae_title, set(report.committed), failed)
    if answered is None:
        _log.warning("commitment.transaction-unknown", ae_title=ae_title)
        return False
    delivery, state = answered
    _log.info("commitment.answered", job=delivery.job_id, destination=delivery.destination, state=state.value)
    if state is CommitmentState.REFUSED:
        _, sentence = failed[delivery.sop_instance_uid]
        told = f"{delivery.heading}, which had acknowledged it: {sentence}"
        notify.tell("commitment.refused", f"{told} Look at it there, then resend.", delivery.job_id)
    return True
