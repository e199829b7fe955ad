"""What passes between the DIMSE layer and the services behind it: requests, answers, notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.arrival.instance import Claim
    from service.errors import SpoolUnavailable


class DimseViolation(ValueError):
    """The peer breaks PS3.7 or PS3.8: the association must be aborted."""


class Answer(NamedTuple):
    """Status of a C-STORE and a remark of at most 64 characters, without any value of the data set."""

    status: int
    comment: str = ""


class Context(NamedTuple):
    """An accepted presentation context."""

    sop_class_uid: str
    transfer_syntax_uid: str


class Store(Protocol):
    """Where C-STORE requests go."""

    def longest(self, sop_class_uid: str) -> int:
        """How many bytes of a data set of this class are wanted; a longer one is thrown away unseen."""

    def store(self, claim: Claim, parts: Sequence[memoryview], length: int) -> Answer:
        """Take a data set of this ``length``; ``parts`` are empty if it is longer than was wanted."""

    def unlike_its_context(self, length: int) -> Answer:
        """The answer where the request names another SOP class than its presentation context."""

    def not_kept(self, trouble: SpoolUnavailable, length: int) -> Answer:
        """The answer to a data set for which there was room neither in memory nor on the disk."""


class Normalized(NamedTuple):
    """An N-ACTION or N-EVENT-REPORT request (PS3.7 10.1.4, 10.1.1): what it is about and its data set."""

    field: int
    context_id: int
    context: Context
    sop_class_uid: str
    sop_instance_uid: str
    type_id: int
    data: bytes


class Notice(NamedTuple):
    """An N-EVENT-REPORT request of ours."""

    context_id: int
    sop_class_uid: str
    sop_instance_uid: str
    event_type: int
    data: bytes


class NormalizedService(Protocol):
    """Where N-ACTION and N-EVENT-REPORT requests go, and what we report on the same association."""

    def longest(self, sop_class_uid: str) -> int:
        """How many bytes of a data set of this class are wanted; 0 if the class is not of this service."""

    def take(self, request: Normalized) -> int:
        """The status of the response."""

    def due(self) -> Iterator[tuple[int, Notice]]:
        """What is to be reported now that nothing comes, each with a number."""

    def answered(self, number: int, status: int) -> None:
        """The peer's response to a report."""
