"""Asks destinations for structure sets of what we contoured, and fetches those that have not come.

C-FIND, Study Root, at series and image level (PS3.4 Annex C); then C-GET, or C-MOVE to this node where a
destination does not offer that. Only ever run by night or by a person; a destination that does not answer is
asked again the next time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast
from zoneinfo import ZoneInfo

from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage
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

from service.arrival.instance import Claim, Origin
from service.arrival.intake import LONGEST_BYTES
from service.arrival.spooled_series import file_header
from service.backlog.database import now
from service.backlog.ledger import Ledger
from service.backlog.spool import Spool, hashed
from service.delivery.answers import answers_kept
from service.delivery.association import Watch, associate, peer_of
from service.delivery.outcome import Outcome
from service.delivery.storage_scu import end
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.transfer_syntaxes import UNCOMPRESSED
from service.errors import SpoolUnavailable
from service.log import EventLog

if TYPE_CHECKING:
    from io import BytesIO

    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.events import Event
    from pynetdicom.presentation import PresentationContext

    from service.config.reader import LoadedSite
    from service.config.site import Destination

MOST_RESPONSES: Final = 200
"""Of one query: a destination that goes on and on is not listened to any longer."""

_DAY: Final = 86400.0
_LOOK_EVERY_SECONDS: Final = 20.0
_PENDING: Final = (0xFF00, 0xFF01)
_SUCCESS: Final = 0x0000
_OUT_OF_RESOURCES: Final = 0xA700
_NOT_ASKED_FOR: Final = 0xA900
_RTSTRUCT: Final = str(RTStructureSetStorage)

_log = EventLog("evaluation")


class _NotAnswered(Exception):
    """The destination cannot be called, or has gone away."""


@dataclass(slots=True)
class Asked:
    """What came of asking one destination: sets found, of those new to us, and fetched or on their way."""

    found: int = 0
    new: int = 0
    fetched: int = 0
    answered: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class _Instance:
    study: str
    series: str
    uid: str

    def identifier(self) -> Dataset:
        """Of a retrieval at image level."""
        return _identifier("IMAGE", self.study, SeriesInstanceUID=self.series, SOPInstanceUID=self.uid)


@dataclass(slots=True, repr=False)
class _Call:
    """An association with a destination, and the watch over it."""

    association: Association
    watch: Watch
    offered: set[str] = field(default_factory=set)

    def find(self, identifier: Dataset, *keywords: str) -> list[dict[str, str]]:
        """What it answers, as text, by keyword."""
        self.watch.expect(0)
        responses = islice(self.association.send_c_find(identifier, StudyRootFind), MOST_RESPONSES)
        answers = [found for status, found in responses if status and status.Status in _PENDING]
        return [read for each in answers if each is not None and (read := _texts(each, keywords))]


class DestinationQuery:
    """Asks the destinations of ``evaluation.query``.

    Args:
        site: the configuration in force.
        ledger, spool: of this node.
    """

    def __init__(self, site: Callable[[], LoadedSite], ledger: Ledger, spool: Spool) -> None:
        self._site = site
        self._ledger = ledger
        self._spool = spool

    def ask_all(self) -> dict[str, Asked]:
        """Ask each destination; what came of it, by name."""
        return {name: self.ask(name) for name in self._site().site.evaluation.query.destinations}

    def ask(self, name: str) -> Asked:
        """Ask one destination, and fetch what is new."""
        loaded, asked = self._site(), Asked()
        destination = loaded.site.destinations[name]
        studies = self._ledger.contoured_studies(now() - loaded.site.evaluation.query.days * _DAY)
        try:
            found = self._found(destination, studies) if studies else {}
            asked.answered, asked.found = True, len(found)
            new = [found[key] for key in sorted(self._ledger.record_query(found.keys(), name))]
            asked.new = len(new)
            if new:
                asked.fetched = self._fetched(destination, new)
        except _NotAnswered:
            _log.warning("review.no-association", destination=name, ae_title=destination.ae_title)
        _log.info("review.asked", destination=name, instances=asked.found, count=asked.fetched)
        return asked

    def _found(self, destination: Destination, studies: dict[str, set[str]]) -> dict[str, _Instance]:
        """Structure sets of the studies that are not ours, by their names in the spool."""
        with self._called(destination, [build_context(StudyRootFind)]) as call:
            every = [each for study in studies for each in _sets_of(call, study)]
        return {hashed(each.uid): each for each in every if each.uid not in studies[each.study]}

    def _fetched(self, destination: Destination, instances: Sequence[_Instance]) -> int:
        """How many came, or are on their way."""
        contexts = [build_context(StudyRootGet), build_context(StudyRootMove)]
        contexts += [build_context(_RTSTRUCT, list(UNCOMPRESSED))]
        watches: list[Watch] = []
        wanted = {each.uid for each in instances}

        def store(event: Event) -> int:
            watches[0].expect(LONGEST_BYTES[_RTSTRUCT])
            asked_for = str(cast("C_STORE", event.request).AffectedSOPInstanceUID) in wanted
            return self._store(event, destination) if asked_for else _NOT_ASKED_FOR

        handlers = [(evt.EVT_C_STORE, store)]
        roles = [build_role(_RTSTRUCT, scp_role=True)]
        reserve = self._site().site.node.disk.reserve_gb * 1e9
        fetched = 0
        with self._called(destination, contexts, handlers, roles) as call:
            watches.append(call.watch)
            for instance in instances:
                if self._spool.free_bytes() < reserve:
                    _log.error("spool.space-low", free_bytes=self._spool.free_bytes())
                    break
                fetched += self._fetch(call, instance)
        return fetched

    def _fetch(self, call: _Call, instance: _Instance) -> bool:
        call.watch.expect(LONGEST_BYTES[_RTSTRUCT])
        association, identifier = call.association, instance.identifier()
        if {str(StudyRootGet), _RTSTRUCT} <= call.offered:
            statuses = [status for status, _ in association.send_c_get(identifier, StudyRootGet)]
        elif str(StudyRootMove) in call.offered:
            own = self._site().site.node.ae_title
            statuses = [status for status, _ in association.send_c_move(identifier, own, StudyRootMove)]
        else:
            return False
        return bool(statuses and statuses[-1].get("Status") == _SUCCESS)

    def _store(self, event: Event, destination: Destination) -> int:
        """Keep a set that comes by C-GET, as reception keeps one that is sent."""
        request = cast("C_STORE", event.request)
        uid = str(request.AffectedSOPInstanceUID)
        claim = Claim(_RTSTRUCT, uid, str(event.context.transfer_syntax))
        own = self._site().site.node.ae_title
        peer = peer_of(destination, own)
        origin = Origin(peer.ae_title, own, peer.host)
        data = cast("BytesIO", request.DataSet).getvalue()
        try:
            self._spool.store_structure_set(uid, [file_header(claim, origin), data])
        except SpoolUnavailable as trouble:
            _log.error(trouble.code, free_bytes=self._spool.free_bytes())
            return _OUT_OF_RESOURCES
        return _SUCCESS

    @contextmanager
    def _called(
        self,
        destination: Destination,
        contexts: Sequence[PresentationContext],
        handlers: Sequence[tuple[evt.EventType, Callable[[Event], Any]]] = (),
        roles: Sequence[Any] = (),
    ) -> Iterator[_Call]:
        peer = peer_of(destination, destination.calling_ae_title or self._site().site.node.ae_title)
        watch = Watch(peer.timeout_seconds)
        association = associate(peer, contexts, watch, handlers=handlers, roles=roles)
        if isinstance(association, Outcome):
            raise _NotAnswered
        offered = {str(each.abstract_syntax) for each in association.accepted_contexts}
        try:
            with answers_kept(association):
                yield _Call(association, watch, offered)
        except (
            RuntimeError,
            ValueError,
        ) as error:  # pynetdicom: no association, or no such context, any more
            raise _NotAnswered from error
        finally:
            end(association)
            watch.close()


def _sets_of(call: _Call, study: str) -> Iterator[_Instance]:
    """The structure sets that a peer has of a study."""
    wanted = _identifier("SERIES", study, Modality="RTSTRUCT", SeriesInstanceUID="")
    for found in call.find(wanted, "SeriesInstanceUID", "Modality"):
        series = found["SeriesInstanceUID"]
        if found["Modality"] not in ("", "RTSTRUCT") or not series:
            continue
        images = _identifier("IMAGE", study, SeriesInstanceUID=series, SOPInstanceUID="")
        for image in call.find(images, "SOPInstanceUID"):
            if image["SOPInstanceUID"]:
                yield _Instance(study, series, image["SOPInstanceUID"])


def _identifier(level: str, study: str, **keys: str) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel, ds.StudyInstanceUID = level, study
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


def _texts(answer: Dataset, keywords: Iterable[str]) -> dict[str, str]:
    """Nothing of an answer that cannot be read."""
    try:
        return {keyword: str(answer.get(keyword) or "").strip("\0 ") for keyword in keywords}
    except LIBRARY_ERRORS:  # pydicom reads the values only now
        return {}


def is_time(at: str, timezone: str, last: str | None, moment: float) -> str | None:
    """The day on which to ask now, or None: it is not yet time, long past, or this day was asked on.

    Args:
        at: time of day, such as ``03:00``.
        timezone: IANA name.
        last: the day on which it was asked last, as this returned it.
        moment: now, seconds since the epoch.
    """
    local = datetime.fromtimestamp(moment, ZoneInfo(timezone))
    hour, minute = (int(part) for part in at.split(":"))
    late_minutes = (local.hour - hour) * 60 + local.minute - minute
    day = local.date().isoformat()
    return day if 0 <= late_minutes < 60 and day != last else None


def keep_asking(query: DestinationQuery, site: Callable[[], LoadedSite], stop: threading.Event) -> None:
    """Ask once a day until ``stop``; the body of a thread."""
    last: str | None = None
    while not stop.wait(_LOOK_EVERY_SECONDS):
        try:
            asks = site().site.evaluation.query
            day = is_time(asks.at, site().site.node.timezone, last, now()) if asks.destinations else None
            if day is not None:
                last = day
                query.ask_all()
        except Exception as error:  # noqa: BLE001 the loop body of this thread
            _log.failure("review.query-failed", error)
