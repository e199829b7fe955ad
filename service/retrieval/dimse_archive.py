"""An archive that is asked by C-FIND and gives by C-GET or C-MOVE (PS3.4 Annex C, Study Root).

By C-GET the images come on our own association, each to be answered once the node has answered for it. By
C-MOVE the archive sends them to the node itself, over an association of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from pydicom import Dataset
from pydicom.multival import MultiValue
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as StudyRootGet,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as StudyRootMove,
)

from service.arrival.intake import LONGEST_BYTES
from service.arrival.listener import MAX_PDU_BYTES
from service.arrival.spooled_series import count_instances
from service.backlog.spool import hashed
from service.delivery.answers import answers_kept
from service.delivery.association import Peer, Watch, associate
from service.delivery.outcome import Outcome
from service.delivery.storage_scu import end
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.retrieval.matching import MOST_ANSWERS, Answer, Matching
from service.retrieval.troubles import (
    ABORTED,
    NO_RESPONSE,
    PullFailed,
    of_association,
    of_status,
)

if TYPE_CHECKING:
    from io import BytesIO
    from pathlib import Path

    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.events import Event
    from pynetdicom.presentation import PresentationContext
    from pynetdicom.transport import AssociationSocket

    from service.config.archive_section import Archive
    from service.retrieval.found import FoundSeries, Taken
    from service.retrieval.relay import Relay
    from service.retrieval.wanted import Wanted

_PENDING: Final = (0xFF00, 0xFF01)
_SUCCESS: Final = 0x0000
_LOOK_EVERY_SECONDS: Final = 0.1
_LONGEST_ON_ITS_WAY_SECONDS: Final = 10.0
_Handlers = Sequence[tuple[evt.EventType, Callable[["Event"], Any]]]


class DimseArchive:
    """See :class:`service.retrieval.source.Source`.

    Args:
        archive: its section of the configuration, to be retrieved from by get or move.
        own_ae_title: of this node.
        classes: SOP classes that the node takes.
        folder_of: where a series lies in the spool, to see what has come by C-MOVE.
    """

    def __init__(
        self, archive: Archive, own_ae_title: str, classes: Sequence[str], folder_of: Callable[[str], Path]
    ) -> None:
        self._archive = archive
        self._move_to = archive.move_to or own_ae_title
        self._classes = classes
        self._folder_of = folder_of
        calling = archive.calling_ae_title or own_ae_title
        host, port = archive.host or "", archive.port or 0
        self._peer = Peer(archive.ae_title, host, port, calling, archive.timeout_seconds, archive.tls)

    def find(self, wanted: Wanted) -> list[FoundSeries]:
        """See :class:`service.retrieval.source.Source`."""
        with self._associated([build_context(StudyRootFind)]) as (association, watch):

            def ask(level: str, keys: dict[str, str]) -> list[Answer]:
                return self._ask(association, watch, level, keys)

            return Matching(wanted, self._classes, ask).series()

    def retrieve(self, series: FoundSeries, relay: Relay, taken: Taken) -> None:
        """See :class:`service.retrieval.source.Source`."""
        if self._archive.retrieve == "move":
            self._move(series, taken)
        else:
            self._get(series, relay, taken)

    def _ask(self, association: Association, watch: Watch, level: str, keys: dict[str, str]) -> list[Answer]:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        watch.expect(0)
        found: list[Answer] = []
        for status, answer in association.send_c_find(identifier, StudyRootFind):
            watch.expect(0)
            if "Status" not in status:
                raise _unanswered(watch)
            if status.Status in _PENDING:
                found += _values(answer, keys)
                if len(found) > MOST_ANSWERS:
                    association.abort()
                    sentence = "The archive goes on and on answering. Ask for less, or have it repaired."
                    raise PullFailed("archive.too-many-answers", sentence)
            elif status.Status != _SUCCESS:
                raise of_status("find", int(status.Status))
        return found

    def _get(self, series: FoundSeries, relay: Relay, taken: Taken) -> None:
        contexts = [build_context(StudyRootGet)]
        contexts += [build_context(each, syntax) for each in relay.classes for syntax in TRANSFER_SYNTAXES]
        roles = [build_role(sop_class, scp_role=True) for sop_class in relay.classes]
        bound = _Bound(max(LONGEST_BYTES[each] for each in relay.classes))

        def store(event: Event) -> int:
            bound.begin()
            watch.expect(bound.most_bytes)
            request = cast("C_STORE", event.request)
            about = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
            data = cast("BytesIO", request.DataSet)
            status = relay.store(*about, str(event.context.transfer_syntax), data, taken)
            watch.expect(bound.most_bytes)
            return status

        handlers: _Handlers = [(evt.EVT_C_STORE, store), (evt.EVT_DATA_RECV, bound.received)]
        with self._associated(contexts, handlers, roles) as (association, watch):
            watch.expect(bound.most_bytes)
            responses = association.send_c_get(_identifier(series), StudyRootGet)
            try:
                self._follow("get", responses, watch, taken)
            except PullFailed:
                if bound.exceeded:
                    sentence = "The archive sent more at once than any image is. Have it repaired."
                    raise PullFailed("archive.too-large", sentence) from None
                raise
            finally:
                if relay.stopped is not None:
                    raise relay.stopped

    def _move(self, series: FoundSeries, taken: Taken) -> None:
        folder = self._folder_of(series.series_instance_uid)
        with self._associated([build_context(StudyRootMove)]) as (association, watch):
            watch.expect(0)
            responses = association.send_c_move(_identifier(series), self._move_to, StudyRootMove)
            seconds = 0.0
            try:
                self._follow("move", responses, watch, taken)
                seconds = min(self._archive.timeout_seconds, _LONGEST_ON_ITS_WAY_SECONDS)
            finally:
                self._await(folder, series, taken, seconds)

    @staticmethod
    def _await(folder: Path, series: FoundSeries, taken: Taken, seconds: float) -> None:
        """What the archive has sent may still be on its way to the disk when it says that it is done."""
        deadline = time.monotonic() + seconds
        while count_instances(folder) < series.instances and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS)
        there = {file.stem for file in folder.glob("[!.]*.dcm")}
        taken.stored = {uid for uid in series.images if hashed(uid) in there} if series.images else there

    def _follow(
        self, service: str, responses: Iterator[tuple[Dataset, Dataset | None]], watch: Watch, taken: Taken
    ) -> None:
        for status, _ in responses:
            watch.expect(0)
            if "Status" not in status:
                raise _unanswered(watch)
            taken.failed = int(status.get("NumberOfFailedSuboperations", 0) or 0)
            if status.Status not in (*_PENDING, _SUCCESS):
                raise of_status(service, int(status.Status))

    @contextmanager
    def _associated(
        self,
        contexts: Sequence[PresentationContext],
        handlers: _Handlers = (),
        roles: Sequence[Any] = (),
    ) -> Iterator[tuple[Association, Watch]]:
        watch = Watch(self._peer.timeout_seconds)
        association = associate(
            self._peer, contexts, watch, handlers=handlers, roles=roles, longest_pdu_bytes=MAX_PDU_BYTES
        )
        if isinstance(association, Outcome):
            raise of_association(association)
        try:
            if str(association.accepted_contexts[0].abstract_syntax) != str(contexts[0].abstract_syntax):
                raise of_status("find", 0x0122)
            with answers_kept(association):
                yield association, watch
        except RuntimeError:  # pynetdicom: the association is no longer established
            raise _unanswered(watch) from None
        finally:
            end(association)
            watch.close()


class _Bound:
    """Shuts a connection on which more comes than one image can be."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.exceeded = False
        self._bytes = 0

    def begin(self) -> None:
        """An image is here whole."""
        self._bytes = 0

    def received(self, event: Event) -> None:
        """Some of it came."""
        self._bytes += len(event.data)
        if self._bytes > self.most_bytes + (1 << 20) and not self.exceeded:
            self.exceeded = True
            cast("AssociationSocket", event.assoc.dul.socket).close()


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


def _identifier(series: FoundSeries) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID = series.study_instance_uid
    identifier.SeriesInstanceUID = series.series_instance_uid
    return identifier


def _unanswered(watch: Watch) -> PullFailed:
    code, sentence = NO_RESPONSE if watch.expired else ABORTED
    return PullFailed(code, sentence, retry=True)
