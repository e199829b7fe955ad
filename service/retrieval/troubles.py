"""What keeps a CT from being pulled: an archive that does other than it should, a node that takes no more.

Codes that begin with ``archive.`` are the archive's, with ``pull.`` ours. No sentence names a patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.delivery import outcome
from service.delivery.outcome import Kind
from service.errors import NodeError

if TYPE_CHECKING:
    from service.delivery.outcome import Outcome
    from service.delivery.query_retrieve import NotGiven


class PullFailed(NodeError):
    """One row or one series cannot be pulled; ``retry`` says whether trying again may help.

    ``away`` says that nothing else can be pulled either.
    """

    def __init__(self, code: str, sentence: str, *, retry: bool = False, away: bool = False) -> None:
        super().__init__(code, sentence, retry=retry)
        self.away = away


class PullStopped(NodeError):
    """The run cannot go on: nothing more would come, or there is no room. Run again, it goes on from here."""


ABORTED: Final = ("archive.broke-off", "The archive broke the association off, or gave no valid answer.")
NO_RESPONSE: Final = (
    "archive.no-response",
    "Nothing came from the archive for `timeout_seconds`. Try again, or allow it more time.",
)
_SILENT: Final = {
    outcome.ABORTED.code: ABORTED,
    outcome.NO_RESPONSE.code: NO_RESPONSE,
    outcome.NO_ANSWER.code: NO_RESPONSE,
}
_PASSING_TLS: Final = ("tls-stalled", "tls-connection-lost")
_NOT_OFFERED: Final = 0x0122
_RETRIED_STATUS: Final = {
    0xA700: "it is out of resources",
    0xA701: "it could not count the matches",
    0xA702: "it could not send them: it is out of resources, or does not reach this node",
    0xB000: "some of the images could not be sent",
    0xFE00: "it was cancelled",
    0x0110: "it failed to process the request",
    0x0213: "it is out of resources",
}
_REFUSED_STATUS: Final = {
    0xA801: "it does not know the AE title to send to; have this node entered there, or set `move_to`",
    0xA900: "it finds that the request does not fit what it holds; it may find series only within a study",
    0x0122: "it does not offer this service",
    0x0124: "it does not allow this node to do that; have its AE title allowed there",
    0x0211: "it does not know the request",
}


def of_connection(found: Outcome, address: str) -> PullFailed:
    """Why no association, or no HTTP exchange, with the archive came about.

    Args:
        found: as it is of a delivery.
        address: the keys of the configuration that say where it is.
    """
    if found.code in _SILENT:
        return PullFailed(*_SILENT[found.code], retry=True, away=True)
    name = found.code.partition(".")[2].removeprefix("stow-")
    sentence = found.sentence.replace("destination's host and port", f"archive's {address}")
    sentence = sentence.replace("`host` and `port` right", f"{address} right").replace(
        "destination", "archive"
    )
    if name == "no-presentation-context":
        sentence = "The archive does not offer this service to us; have it enabled there."
    lasting = found.kind is Kind.DEAD or name == "secret-missing"
    lasting = lasting or (name.startswith("tls-") and name not in _PASSING_TLS)
    return PullFailed(f"archive.{name}", sentence, retry=not lasting, away=True)


def of_web(found: Outcome) -> PullFailed:
    """Why an HTTP request came to nothing."""
    silent = _SILENT.get(found.code)
    return of_connection(found, "`url`") if silent is None else PullFailed(*silent, retry=True)


TOO_MANY_ANSWERS: Final = (
    "archive.too-many-answers",
    "The archive goes on and on answering. Ask for less, or have it repaired.",
)
_NOT_GIVEN: Final = {
    "no-response": NO_RESPONSE,
    "broke-off": ABORTED,
    "too-many-answers": TOO_MANY_ANSWERS,
    "too-large": (
        "archive.too-large",
        "The archive sent more at once than any image is. Have it repaired.",
    ),
}
_PASSING: Final = ("no-response", "broke-off")


def of_dimse(service: str, found: NotGiven) -> PullFailed:
    """Why a C-FIND, C-GET or C-MOVE came to nothing."""
    if found.outcome is not None:
        return of_connection(found.outcome, "`host` and `port`")
    if found.status is not None or found.code == "not-offered":
        return of_status(service, _NOT_OFFERED if found.status is None else found.status)
    return PullFailed(*_NOT_GIVEN[found.code], retry=found.code in _PASSING)


def of_status(service: str, status: int) -> PullFailed:
    """What the last response of a C-FIND, C-GET or C-MOVE says (PS3.4 Tables C.4-1, C.4-2, C.4-3)."""
    refused = _REFUSED_STATUS.get(status)
    if refused is not None:
        return PullFailed(f"archive.{service}-refused", _said(service, refused, status))
    why = _RETRIED_STATUS.get(status, "it could not process the request; its log says why")
    return PullFailed(f"archive.{service}-failed", _said(service, why, status), retry=True)


def _said(service: str, why: str, status: int) -> str:
    return f"The archive answered the C-{service.upper()} with {status:04X}h: {why}."
