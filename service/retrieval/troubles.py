"""What keeps a CT from being pulled: an archive that does other than it should, a node that takes no more.

Codes that begin with ``archive.`` are the archive's, with ``pull.`` ours. No sentence names a patient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.delivery.outcome import Kind
from service.errors import NodeError

if TYPE_CHECKING:
    from service.delivery.outcome import Outcome


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


def of_association(found: Outcome) -> PullFailed:
    """Why no association with the archive came about."""
    code = f"archive.{found.code.partition('.')[2]}"
    sentence = found.sentence.replace("destination", "archive")
    if code == "archive.no-presentation-context":
        sentence = "The archive does not offer this service to us; have it enabled there."
    return PullFailed(code, sentence, retry=found.kind is not Kind.DEAD, away=True)


def of_status(service: str, status: int) -> PullFailed:
    """What the last response of a C-FIND, C-GET or C-MOVE says (PS3.4 Tables C.4-1, C.4-2, C.4-3)."""
    refused = _REFUSED_STATUS.get(status)
    if refused is not None:
        return PullFailed(f"archive.{service}-refused", _said(service, refused, status))
    why = _RETRIED_STATUS.get(status, "it could not process the request; its log says why")
    return PullFailed(f"archive.{service}-failed", _said(service, why, status), retry=True)


def _said(service: str, why: str, status: int) -> str:
    return f"The archive answered the C-{service.upper()} with {status:04X}h: {why}."
