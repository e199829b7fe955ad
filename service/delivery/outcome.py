"""What an attempt to deliver came to, and what follows from it.

C-STORE statuses: PS3.4 Table B.2-1; general ones: PS3.7 Annex C. Reasons of a rejected association: PS3.8
Table 9-21. What neither names is tried again slowly and told to a person: it may pass, it is never silent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.errors import NodeError


class Kind(StrEnum):
    """What to do next."""

    DONE = "done"
    DONE_WITH_WARNING = "done_with_warning"
    RETRY = "retry"
    SLOW_RETRY = "slow_retry"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt.

    Attributes:
        kind: what to do next.
        code: stable, may be logged.
        sentence: for people; names no patient.
        status: DIMSE status, None if the peer gave none.
        alarm: a person must be told although the node goes on.
    """

    kind: Kind
    code: str
    sentence: str
    status: int | None = None
    alarm: bool = False

    @property
    def stored(self) -> bool:
        """Whether the destination has the instance."""
        return self.kind in (Kind.DONE, Kind.DONE_WITH_WARNING)


_EXACT: Final[dict[int, Outcome]] = {
    0x0000: Outcome(Kind.DONE, "delivery.stored", "Stored by the destination."),
    0x0111: Outcome(Kind.DONE, "delivery.already-there", "The destination has it already."),
    0xB000: Outcome(
        Kind.DONE_WITH_WARNING,
        "delivery.coerced",
        "Stored, but the destination changed data elements of it; compare patient, study and contours there.",
        alarm=True,
    ),
    0xB006: Outcome(
        Kind.DONE_WITH_WARNING, "delivery.elements-discarded", "Stored, without some of its data elements."
    ),
    0xB007: Outcome(
        Kind.DONE_WITH_WARNING,
        "delivery.stored-although-unlike-class",
        "Stored, although the destination finds that the data do not match the SOP class; look at it there.",
    ),
    0x0110: Outcome(Kind.RETRY, "delivery.processing-failure", "The destination failed to process it."),
    0x0122: Outcome(
        Kind.DEAD,
        "delivery.class-not-supported",
        "The destination does not take this SOP class; have it enabled there, then resend.",
    ),
    0x0124: Outcome(
        Kind.DEAD,
        "delivery.not-authorized",
        "The destination does not allow this node to store; have its AE title and address allowed there, "
        "then resend.",
    ),
    0x0210: Outcome(Kind.RETRY, "delivery.duplicate-invocation", "The destination saw the message twice."),
    0x0213: Outcome(Kind.RETRY, "delivery.out-of-resources", "The destination is out of resources."),
}
_UNUSUAL_WARNING: Final = Outcome(
    Kind.DONE_WITH_WARNING,
    "delivery.unusual-warning",
    "Stored, with a warning that is not one of C-STORE's; look at it there.",
    alarm=True,
)
_OUT_OF_RESOURCES: Final = Outcome(
    Kind.RETRY, "delivery.out-of-resources", "The destination is out of resources, its disk perhaps."
)
_UNLIKE_CLASS: Final = Outcome(
    Kind.DEAD,
    "delivery.unlike-class",
    "Refused: the destination finds that the data do not match the SOP class. Try another `profile`, and "
    "report it to the destination's vendor.",
)
_NOT_UNDERSTOOD: Final = Outcome(
    Kind.DEAD,
    "delivery.not-understood",
    "Refused: the destination could not understand it; its own log says why. Often the patient or the CT is "
    "not there yet: import the CT, then resend.",
)
_PROTOCOL: Final = Outcome(
    Kind.DEAD,
    "delivery.refused-by-protocol",
    "The destination refused the request itself, not its contents; report the status to its vendor.",
)
_UNKNOWN: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.unknown-status",
    "The destination answered with a status that the Standard lacks for C-STORE.",
    alarm=True,
)
_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 C.4: the other statuses of class Warning
_REFUSALS: Final = frozenset(
    {0x0105, 0x0106, 0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120, 0x0121, 0x0123, 0x0131}
    | {0x0211, 0x0212}
)


def of_status(status: int, offending: Sequence[str] = ()) -> Outcome:
    """What a C-STORE response means.

    Args:
        status: (0000,0900).
        offending: keywords of the data elements the destination complains of, (0000,0901).
    """
    found = _EXACT.get(status) or _by_range(status)
    sentence = found.sentence
    if status != 0x0000:
        sentence += f" (status {status:04X}h"
        sentence += f", data elements: {', '.join(offending)})" if offending else ")"
    return replace(found, status=status, sentence=sentence)


def _by_range(status: int) -> Outcome:
    if status >> 12 == 0xC:
        return _NOT_UNDERSTOOD
    if status >> 8 == 0xA7:
        return _OUT_OF_RESOURCES
    if status >> 8 == 0xA9:
        return _UNLIKE_CLASS
    if status >> 12 == 0xB or status in _WARNINGS:
        return _UNUSUAL_WARNING
    return _PROTOCOL if status in _REFUSALS else _UNKNOWN


_REJECTIONS: Final[dict[tuple[int, int], str]] = {  # (source, reason), PS3.8 Table 9-21
    (1, 2): "does not support our application context",
    (1, 3): "does not know our AE title; have it entered there, or set `calling_ae_title`",
    (1, 7): "does not know the AE title we call; correct `ae_title` of the destination",
    (2, 2): "does not support our protocol version",
    (3, 1): "is congested for the moment",
    (3, 2): "has as many associations as it allows",
}


def of_rejection(result: int, source: int, reason: int) -> Outcome:
    """What an A-ASSOCIATE-RJ means: someone must change a title or a limit, so we knock less often."""
    why = _REJECTIONS.get((source, reason), "gave no reason")
    return Outcome(
        Kind.SLOW_RETRY,
        "delivery.association-rejected",
        f"The destination rejected the association: it {why} ({result}/{source}/{reason}).",
        alarm=True,
    )


_TLS_FAILURES: Final[dict[str, str]] = {
    "not-trusted": "nobody whom `trusted_certificates` names has signed its certificate",
    "expired": "its certificate has ended; have it renewed there",
    "not-yet-valid": "its certificate does not count yet; look at the clocks of both",
    "other-name": "its certificate bears another name; correct `host` or `server_name`",
    "other-fingerprint": "its certificate is none of `fingerprints`; if it was renewed, enter the new one",
    "our-certificate-missing": "it wants a certificate of ours; set `certificate` and `key`",
    "our-certificate-refused": "it does not trust our certificate; have it entered there",
    "version": "it speaks neither TLS 1.2 nor TLS 1.3",
    "no-shared-cipher": "it knows none of the cipher suites of PS3.15 B.12, or wants another certificate",
    "not-tls": "it does not speak TLS at this port",
    "stalled": "it did not finish the handshake in time; perhaps it does not speak TLS at this port",
    "connection-lost": "it closed the connection; perhaps it does not speak TLS at this port",
}
OUR_CERTIFICATE_REFUSED: Final = "delivery.tls-our-certificate-refused"


def of_tls_failure(kind: str) -> Outcome:
    """What a failed handshake means: a person must change something, at one of both ends."""
    why = _TLS_FAILURES.get(kind, "the handshake failed")
    return Outcome(
        Kind.SLOW_RETRY,
        f"delivery.tls-{kind}",
        f"No TLS connection with the destination: {why}.",
        alarm=True,
    )


def of_unusable_tls(error: NodeError) -> Outcome:
    """Our own ``tls:`` section cannot be used."""
    return Outcome(Kind.SLOW_RETRY, f"delivery.{error.code.replace('.', '-')}", error.sentence, alarm=True)


REFUSED: Final = Outcome(
    Kind.RETRY,
    "delivery.no-connection",
    "Nothing answers at the destination's host and port. Is it running, and are `host` and `port` right?",
)
UNRESOLVED: Final = Outcome(
    Kind.RETRY,
    "delivery.host-not-found",
    "The destination's host name cannot be resolved. Correct `host`, or use its address.",
)
NO_ANSWER: Final = Outcome(
    Kind.RETRY,
    "delivery.no-association-answer",
    "The destination took the connection but did not answer the association request in time.",
)
ABORTED: Final = Outcome(
    Kind.RETRY,
    "delivery.aborted",
    "The destination broke the association off, or gave no valid answer.",
)
NO_RESPONSE: Final = Outcome(
    Kind.RETRY,
    "delivery.no-response",
    "The destination did not answer in time; it may have stored it or not. A further attempt "
    "sends the same SOP instance.",
)
NO_CONTEXT: Final = Outcome(
    Kind.DEAD,
    "delivery.no-presentation-context",
    "The destination does not take this SOP class in this encoding; have it enabled there, or set "
    "`transfer_syntax`, then resend.",
)
FILE_MISSING: Final = Outcome(
    Kind.DEAD,
    "delivery.file-missing",
    "The file is no longer on disk; contour the series again.",
)
FILE_UNREADABLE: Final = Outcome(
    Kind.RETRY,
    "delivery.file-unreadable",
    "The file cannot be read just now. Look at the node's disk.",
    alarm=True,
)
OTHER_INSTANCE: Final = Outcome(
    Kind.DEAD,
    "delivery.other-instance",
    "The file on disk is not the structure set that the ledger means, as after restoring only one of the two "
    "from a backup. It was not sent. Contour the series again.",
)
NO_DESTINATION: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.no-such-destination",
    "The configuration has no such destination any more, or the sender it means has no port or address. "
    "Put it back, or cancel the delivery.",
    alarm=True,
)
NOT_DICOM: Final = Outcome(Kind.DEAD, "delivery.not-dicom", "The file is not a DICOM file with File Meta.")
