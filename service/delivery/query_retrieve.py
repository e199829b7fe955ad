"""C-FIND, C-GET and C-MOVE as a user of the services (PS3.4 Annex C, Study Root).

Nothing that a peer does goes on without end: how many answers and images come, how long they are, and for how
long nothing gets any further have their bounds. What a peer says is never logged or quoted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, cast

from pydicom import Dataset
from pydicom.multival import MultiValue
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from service.delivery.answers import answers_kept
from service.delivery.association import Peer, Watch, associate
from service.delivery.outcome import Outcome
from service.delivery.storage_scu import end
from service.dicom.library_errors import LIBRARY_ERRORS

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.events import Event
    from pynetdicom.transport import AssociationSocket

FIND: Final = str(StudyRootQueryRetrieveInformationModelFind)
GET: Final = str(StudyRootQueryRetrieveInformationModelGet)
MOVE: Final = str(StudyRootQueryRetrieveInformationModelMove)

MOST_ANSWERS: Final = 20_000
"""To one query; no series has as many images, and no sensible question as many studies."""

_LARGEST_ANSWERS: Final = 64 << 20
_SLACK_BYTES: Final = 1 << 20
_MOST_SUPERFLUOUS: Final = 1000
_LONGEST_PDU_BYTES: Final = 128 * 1024
_LONGEST_QUERY_TIMEOUTS: Final = 10
_LONGEST_STANDSTILL_TIMEOUTS: Final = 60
_PENDING: Final = (0xFF00, 0xFF01)
_SUCCESS: Final = 0x0000
_NOT_AUTHORISED: Final = 0x0124

Answer = Mapping[str, str]
"""Values by keyword, several of one attribute divided by backslashes."""

Store = Callable[[str, str, str, BytesIO], int]
"""Takes a data set: SOP class, SOP instance and transfer syntax as announced; gives the status to answer."""


class NotGiven(Exception):
    """A peer has not done, or not to its end, what it was asked for.

    Attributes:
        code: ``no-association``, ``not-offered``, ``broke-off``, ``no-response``, ``too-many-answers``,
            ``too-large`` or ``status``.
        outcome: why no association came about; for ``no-association`` alone.
        status: that it ended with; for ``status`` alone.
    """

    def __init__(self, code: str, *, outcome: Outcome | None = None, status: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.outcome = outcome
        self.status = status


@dataclass(frozen=True, slots=True)
class Storing:
    """What may come by C-GET on our own association.

    Attributes:
        sop_classes: for which the role of SCP is proposed.
        transfer_syntaxes: each in a presentation context of its own.
        longest_bytes: that one data set may have.
        store: takes it.
    """

    sop_classes: Collection[str]
    transfer_syntaxes: Collection[str]
    longest_bytes: int
    store: Store


@contextmanager
def called(peer: Peer, services: Sequence[str], storing: Storing | None = None) -> Iterator[QueryRetrieve]:
    """An association for some of :data:`FIND`, :data:`GET` and :data:`MOVE`.

    Raises:
        NotGiven: it does not come about, or none of them is offered.
    """
    watch, bound = Watch(peer.timeout_seconds), _Bound()
    calls: list[QueryRetrieve] = []
    contexts, roles = [build_context(each) for each in services], []
    handlers: list[tuple[evt.EventType, Callable[[Event], Any]]] = [(evt.EVT_DATA_RECV, bound.received)]
    if storing is not None:
        pairs = [(each, syntax) for each in storing.sop_classes for syntax in storing.transfer_syntaxes]
        contexts += [build_context(*pair) for pair in pairs]
        roles = [build_role(each, scp_role=True) for each in storing.sop_classes]
        handlers.append((evt.EVT_C_STORE, lambda event: calls[0].take(event) if calls else _NOT_AUTHORISED))
    association = associate(
        peer, contexts, watch, handlers=handlers, roles=roles, longest_pdu_bytes=_LONGEST_PDU_BYTES
    )
    if isinstance(association, Outcome):
        raise NotGiven("no-association", outcome=association)
    try:
        call = QueryRetrieve(association, watch, bound, storing, peer.timeout_seconds)
        calls.append(call)
        if not call.offered & set(services):
            raise NotGiven("not-offered")
        with answers_kept(association):
            yield call
    finally:
        end(association)
        watch.close()


class QueryRetrieve:
    """An open association; made by :func:`called`.

    Attributes:
        offered: SOP classes that the peer has accepted.
    """

    def __init__(
        self,
        association: Association,
        watch: Watch,
        bound: _Bound,
        storing: Storing | None,
        timeout_seconds: float,
    ) -> None:
        self._association = association
        self._watch = watch
        self._bound = bound
        self._storing = storing
        self._timeout = timeout_seconds
        self._taken = self._most_taken = 0
        self.offered = frozenset(str(each.abstract_syntax) for each in association.accepted_contexts)

    def find(self, level: str, keys: Mapping[str, str], most_answers: int = MOST_ANSWERS) -> list[Answer]:
        """What the peer has, as text, by the keywords of ``keys``; nothing of what cannot be read.

        Args:
            level: STUDY, SERIES or IMAGE.
            keys: by keyword; empty for "tell me".
            most_answers: more are not listened to.

        Raises:
            NotGiven: it does not answer, not well, or on and on.
        """
        self._begin(_LARGEST_ANSWERS)
        found: list[Answer] = []
        end_at = time.monotonic() + _LONGEST_QUERY_TIMEOUTS * self._timeout
        send = self._association.send_c_find
        for count, (status, answer) in enumerate(self._sent(send, FIND, _identifier(level, keys)), start=1):
            self._watch.expect(0)
            if self._is_over(status):
                break
            if count > most_answers or time.monotonic() > end_at:
                self._association.abort()
                raise NotGiven("too-many-answers")
            found += _values(answer, keys)
        return found

    def get(self, level: str, keys: Mapping[str, str], instances: int) -> None:
        """Have about ``instances`` instances sent on this association, 0 for nobody knows how many.

        Raises:
            NotGiven: it could not send all of them.
        """
        longest = self._storing.longest_bytes if self._storing is not None else 0
        self._retrieve(self._association.send_c_get, GET, _identifier(level, keys), instances, longest)

    def move(self, level: str, keys: Mapping[str, str], instances: int, to: str) -> None:
        """Have them sent to the AE ``to``; as :meth:`get`."""

        def send(identifier: Dataset, service: str) -> Iterator[tuple[Dataset, Dataset | None]]:
            return self._association.send_c_move(identifier, to, service)

        self._retrieve(send, MOVE, _identifier(level, keys), instances, _LARGEST_ANSWERS)

    def take(self, event: Event) -> int:
        """Answer a C-STORE sub-operation."""
        storing = cast("Storing", self._storing)
        self._begin(storing.longest_bytes)
        self._taken += 1
        if self._taken > self._most_taken:
            self._bound.shut(event.assoc, "too-many-answers")
        request = cast("C_STORE", event.request)
        about = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        data = cast("BytesIO", request.DataSet)
        status = storing.store(*about, str(event.context.transfer_syntax), data)
        self._watch.expect(storing.longest_bytes)
        return status

    def _retrieve(
        self, send: Callable[..., Any], service: str, identifier: Dataset, instances: int, longest: int
    ) -> None:
        most = 2 * instances + _MOST_SUPERFLUOUS if instances else MOST_ANSWERS
        self._taken, self._most_taken = 0, most
        self._begin(longest)
        seen, moved_at = (-1, -1), time.monotonic()
        for status, _ in self._sent(send, service, identifier):
            self._watch.expect(longest if service == GET else 0)
            if self._is_over(status):
                return
            now, at = time.monotonic(), (self._taken, int(status.get("NumberOfRemainingSuboperations") or 0))
            if at != seen:
                seen, moved_at = at, now
            elif now - moved_at > _LONGEST_STANDSTILL_TIMEOUTS * self._timeout:
                self._association.abort()
                raise NotGiven("no-response")

    def _begin(self, most_bytes: int) -> None:
        self._watch.expect(most_bytes)
        self._bound.begin(most_bytes)

    def _sent(
        self, send: Callable[..., Any], service: str, identifier: Dataset
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        if service not in self.offered:
            raise NotGiven("not-offered")
        try:
            return cast("Iterator[tuple[Dataset, Dataset | None]]", send(identifier, service))
        except RuntimeError:  # pynetdicom: the association is no longer established
            raise self._unanswered() from None

    def _is_over(self, status: Dataset) -> bool:
        """Whether that was the last answer."""
        if "Status" not in status:
            raise self._unanswered()
        said = int(status.Status)
        if said not in (*_PENDING, _SUCCESS):
            raise NotGiven("status", status=said)
        return said == _SUCCESS

    def _unanswered(self) -> NotGiven:
        return NotGiven(self._bound.exceeded or ("no-response" if self._watch.expired else "broke-off"))


class _Bound:
    """Shuts a connection on which more comes than can be meant; ``exceeded`` says of what."""

    def __init__(self) -> None:
        self.exceeded = ""
        self._most_bytes = self._bytes = 0

    def begin(self, most_bytes: int) -> None:
        """What was waited for is here whole; the next may be so long."""
        self._most_bytes, self._bytes = most_bytes, 0

    def received(self, event: Event) -> None:
        """Some of it came."""
        self._bytes += len(event.data)
        if self._bytes > self._most_bytes + _SLACK_BYTES:
            self.shut(event.assoc, "too-large")

    def shut(self, association: Association, why: str) -> None:
        """Listen no more."""
        if not self.exceeded:
            self.exceeded = why
            cast("AssociationSocket", association.dul.socket).close()


def _identifier(level: str, keys: Mapping[str, str]) -> Dataset:
    identifier = Dataset()
    if not all(value.isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"  # else "?" would be sent, which asks for any character
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _values(answer: Dataset | None, keys: Iterable[str]) -> list[Answer]:
    """What was asked of an answer, as text; nothing of one that cannot be read."""
    try:
        return [] if answer is None else [{keyword: _text(answer.get(keyword)) for keyword in keys}]
    except LIBRARY_ERRORS:  # pydicom reads the values only now
        return []


def _text(value: object) -> str:
    if isinstance(value, MultiValue):
        return "\\".join(str(each).strip() for each in value)
    return "" if value is None else str(value).strip("\0 ")
