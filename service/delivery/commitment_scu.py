"""Storage commitment on the wire: asking a destination, and reporting to a sender that asked us."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from pynetdicom import build_context, build_role, evt

from service.delivery import outcome
from service.delivery.answers import answers_kept
from service.delivery.association import Peer, Watch, associate
from service.delivery.outcome import Kind, Outcome
from service.delivery.storage_scu import end
from service.dicom.storage_commitment import (
    INSTANCE,
    REQUEST,
    SOP_CLASS,
    CommitmentUnreadable,
    Report,
    read_report,
    report_data_set,
    request_data_set,
)
from service.dicom.transfer_syntaxes import UNCOMPRESSED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

ANSWER_AT_ONCE_SECONDS: Final = 3.0
"""So long an association is kept open for an answer; a later one comes on an association of the peer's."""

_SUCCESS: Final = 0x0000
_INVALID_ARGUMENT: Final = 0x0115
_PROCESSING_FAILURE: Final = 0x0110
_LACKS_RESOURCES: Final = 0x0213

TAKEN: Final = Outcome(Kind.DONE, "commitment.requested", "The destination has taken the request.")
REPORTED: Final = Outcome(Kind.DONE, "commitment.reported", "The sender has its answer.")
NOT_OFFERED: Final = Outcome(
    Kind.DEAD,
    "commitment.not-offered",
    "The destination offers no storage commitment. It stays at its acknowledgement; have the service enabled "
    "there, or take `storage_commitment` out.",
)


def ask(
    peer: Peer,
    transaction_uid: str,
    instances: Sequence[tuple[str, str]],
    answered: Callable[[Report], bool],
) -> Outcome:
    """Ask a peer by N-ACTION to commit itself; ``instances`` are SOP class and SOP instance UIDs.

    ``answered`` is called, in another thread, with what it reports on the same association; True if that was
    expected. Never raises for what the peer does.
    """
    over = threading.Event()

    def take(event: Event) -> tuple[int, None]:
        status = _reported(event, answered)
        over.set()
        return status, None

    watch = Watch(peer.timeout_seconds)
    context = build_context(SOP_CLASS, list(UNCOMPRESSED))
    found = associate(peer, [context], watch, handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    if isinstance(found, Outcome):
        return NOT_OFFERED if found is outcome.NO_CONTEXT else found
    try:
        watch.expect(0)
        with answers_kept(found):
            data = request_data_set(transaction_uid, instances)
            answer, _ = found.send_n_action(data, REQUEST, SOP_CLASS, INSTANCE)
        judged = _judged(answer, watch, TAKEN)
        if judged is TAKEN:
            _wait(found, over, min(ANSWER_AT_ONCE_SECONDS, peer.timeout_seconds))
            with answers_kept(found):  # until our response to the report is on its way
                pass
    except (RuntimeError, ValueError):  # pynetdicom: no longer established, or the peer took another role
        judged = outcome.ABORTED
    finally:
        end(found)
        watch.close()
    return judged


def tell(peer: Peer, report: Report) -> Outcome:
    """Report to a peer by N-EVENT-REPORT what we keep, on an association on which we are the provider."""
    watch = Watch(peer.timeout_seconds)
    context = build_context(SOP_CLASS, list(UNCOMPRESSED))
    found = associate(peer, [context], watch, roles=[build_role(SOP_CLASS, scp_role=True)])
    if isinstance(found, Outcome):
        return found
    try:
        for accepted in found.accepted_contexts:
            accepted._as_scp = True  # one that answers nothing to our role takes the report all the same
        watch.expect(0)
        with answers_kept(found):
            data = report_data_set(report)
            answer, _ = found.send_n_event_report(data, report.event_type, SOP_CLASS, INSTANCE)
        judged = _judged(answer, watch, REPORTED)
    except (RuntimeError, ValueError):
        judged = outcome.ABORTED
    finally:
        end(found)
        watch.close()
    return judged


def _wait(association: Association, over: threading.Event, seconds: float) -> None:
    pause = 0.05
    for _ in range(round(seconds / pause)):
        if over.wait(pause) or not association.is_alive():
            return


def _reported(event: Event, answered: Callable[[Report], bool]) -> int:
    try:
        report = read_report(event.event_information)
    except (CommitmentUnreadable, AttributeError, ValueError):
        return _INVALID_ARGUMENT
    return _SUCCESS if answered(report) else _INVALID_ARGUMENT


def _judged(answer: Dataset, watch: Watch, success: Outcome) -> Outcome:
    if "Status" not in answer:
        return outcome.NO_RESPONSE if watch.expired else outcome.ABORTED
    status = int(answer.Status)
    if status == _SUCCESS:
        return success
    kind = Kind.RETRY if status in (_PROCESSING_FAILURE, _LACKS_RESOURCES) else Kind.SLOW_RETRY
    sentence = f"The peer does not take the message of storage commitment (status {status:04X}h)."
    return Outcome(kind, "commitment.message-refused", sentence, status)
