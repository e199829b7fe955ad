"""Storage Commitment Push Model (PS3.4 Annex J): its data sets, made and read on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.transfer_syntaxes import STORAGE_COMMITMENT
from service.errors import NodeError

SOP_CLASS: Final = STORAGE_COMMITMENT
INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The well-known instance that every request and report is about (PS3.4 J.3.5)."""

REQUEST: Final = 1
"""Action Type ID (PS3.4 Table J.3-1)."""

ALL_COMMITTED: Final = 1
FAILURES_EXIST: Final = 2
"""Event Type IDs (PS3.4 Table J.3-2)."""

MOST_INSTANCES: Final = 100_000


class FailureReason(IntEnum):
    """Failure Reason (0008,1197) in a Failed SOP Sequence (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213


_SENTENCES: Final = {
    FailureReason.PROCESSING_FAILURE: "it failed to process the request",
    FailureReason.NO_SUCH_OBJECT_INSTANCE: "it has no such instance, although it acknowledged it",
    FailureReason.CLASS_INSTANCE_CONFLICT: "it has the instance under another SOP class",
    FailureReason.SOP_CLASS_NOT_SUPPORTED: "it commits itself for no instance of this SOP class",
    FailureReason.DUPLICATE_TRANSACTION_UID: "it knows the transaction UID already",
    FailureReason.RESOURCE_LIMITATION: "it lacks the resources",
}


def said_of(reason: int) -> str:
    """A failure reason as part of a sentence."""
    known = next((text for each, text in _SENTENCES.items() if each == reason), "it gave no known reason")
    return f"{known} ({reason:04X}h)"


class CommitmentUnreadable(NodeError):
    """A request or report lacks what it must have."""


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What a provider says of a transaction.

    Attributes:
        transaction_uid: of the request.
        committed: SOP instance UIDs that it keeps, each with its SOP class UID.
        failed: SOP instance UIDs that it does not keep, each with SOP class UID and failure reason.
    """

    transaction_uid: str
    committed: Mapping[str, str]
    failed: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def event_type(self) -> int:
        """Event Type ID."""
        return FAILURES_EXIST if self.failed else ALL_COMMITTED


def request_data_set(transaction_uid: str, instances: Iterable[tuple[str, str]]) -> Dataset:
    """Action Information; ``instances`` are SOP class and SOP instance UIDs (PS3.4 Table J.3-1)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_item(sop_class, uid) for sop_class, uid in instances]
    return ds


def report_data_set(report: Report) -> Dataset:
    """Event Information (PS3.4 Table J.3-2)."""
    ds = Dataset()
    ds.TransactionUID = report.transaction_uid
    if report.committed:
        ds.ReferencedSOPSequence = [_item(sop_class, uid) for uid, sop_class in report.committed.items()]
    if report.failed:
        ds.FailedSOPSequence = [_item(each[0], uid, each[1]) for uid, each in report.failed.items()]
    return ds


def read_request(ds: Dataset) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Transaction UID and (SOP class UID, SOP instance UID) of each instance.

    Raises:
        CommitmentUnreadable: one of them is missing, or there are absurdly many.
    """
    instances = tuple(_pairs(ds.get("ReferencedSOPSequence") or ()))
    transaction_uid = str(ds.get("TransactionUID") or "")
    if not transaction_uid or not instances or len(instances) > MOST_INSTANCES:
        code, sentence = "commitment.request-unreadable", "The request names no transaction or no instance."
        raise CommitmentUnreadable(code, sentence)
    return transaction_uid, instances


def read_report(ds: Dataset) -> Report:
    """What a provider reports.

    Raises:
        CommitmentUnreadable: it names no transaction or no instance.
    """
    transaction_uid = str(ds.get("TransactionUID") or "")
    committed = {uid: sop_class for sop_class, uid in _pairs(ds.get("ReferencedSOPSequence") or ())}
    failed = {
        str(item.get("ReferencedSOPInstanceUID", "")): (
            str(item.get("ReferencedSOPClassUID", "")),
            int(item.get("FailureReason") or FailureReason.PROCESSING_FAILURE),
        )
        for item in ds.get("FailedSOPSequence") or ()
    }
    if not transaction_uid or not (committed or failed):
        code, sentence = "commitment.report-unreadable", "The report names no transaction or no instance."
        raise CommitmentUnreadable(code, sentence)
    return Report(transaction_uid, committed, failed)


def decoded(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """A data set as it came over the network.

    Raises:
        CommitmentUnreadable: it is none.
    """
    try:
        ds = read_dataset(BytesIO(data), UID(transfer_syntax_uid).is_implicit_VR, is_little_endian=True)
        for _ in ds.iterall():  # what is wrong inside is found here, not later
            pass
    except LIBRARY_ERRORS as error:
        code, sentence = "commitment.unreadable", "The data set cannot be read."
        raise CommitmentUnreadable(code, sentence) from error
    return ds


def encoded(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """A data set as it goes over the network."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, UID(transfer_syntax_uid).is_implicit_VR
    write_dataset(stream, ds)
    return stream.getvalue()


def _pairs(items: Sequence[Dataset]) -> Iterable[tuple[str, str]]:
    for item in items:
        yield str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", ""))


def _item(sop_class: str, uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item
