"""Asks destinations for structure sets of what we contoured, and fetches those that have not come.

C-FIND at series and image level; then C-GET, or C-MOVE to this node where a destination does not offer that.
Only ever run by night or by a person; a destination that does not answer is asked again the next time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from pydicom.uid import RTStructureSetStorage

from service.arrival.instance import Claim, Origin, StoreStatus, check_header, is_valid_uid
from service.arrival.intake import LONGEST_BYTES
from service.arrival.spooled_series import file_header
from service.backlog.database import now
from service.backlog.ledger import Ledger
from service.backlog.spool import Spool, hashed
from service.delivery.association import Peer, peer_of
from service.delivery.query_retrieve import FIND, GET, MOVE, NotGiven, QueryRetrieve, Storing, called
from service.dicom.transfer_syntaxes import UNCOMPRESSED
from service.errors import InstanceRefused, SpoolUnavailable
from service.log import EventLog

if TYPE_CHECKING:
    from io import BytesIO

    from service.config.reader import LoadedSite

MOST_RESPONSES: Final = 200
"""Of one query: a destination that goes on and on is not listened to any longer."""

_DAY: Final = 86400.0
_LONGEST_SECONDS: Final = 4 * 3600.0
"""In which a destination has answered about all studies, or is asked again the next night."""

_LOOK_EVERY_SECONDS: Final = 20.0
_RTSTRUCT: Final = str(RTStructureSetStorage)

_log = EventLog("evaluation")


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

    def keys(self) -> dict[str, str]:
        """Of a retrieval at image level."""
        return _keys(self.study, SeriesInstanceUID=self.series, SOPInstanceUID=self.uid)


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
        peer = peer_of(destination, destination.calling_ae_title or loaded.site.node.ae_title)
        studies = self._ledger.contoured_studies(now() - loaded.site.evaluation.query.days * _DAY)
        try:
            found = _found(peer, studies) if studies else {}
            asked.answered, asked.found = True, len(found)
            new = [found[key] for key in sorted(self._ledger.record_query(found.keys(), name))]
            asked.new = len(new)
            for fetched in self._fetched(peer, new) if new else ():
                asked.fetched += fetched
        except NotGiven as trouble:
            code = trouble.code if trouble.outcome is None else trouble.outcome.code
            _log.warning(f"review.{trouble.code}", destination=name, ae_title=peer.ae_title, code=code)
        _log.info("review.asked", destination=name, instances=asked.found, count=asked.fetched)
        return asked

    def _fetched(self, peer: Peer, instances: Sequence[_Instance]) -> Iterator[bool]:
        """Of each, whether it came or is on its way."""
        wanted = {each.uid: each for each in instances}
        came: set[str] = set()

        def store(sop_class: str, sop_instance: str, syntax: str, data: BytesIO) -> int:
            asked_for = wanted.get(sop_instance)
            if asked_for is None:
                return StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
            status = self._store(Claim(sop_class, sop_instance, syntax), asked_for, data, peer)
            if status == StoreStatus.SUCCESS:
                came.add(sop_instance)
            return status

        reserve = self._site().site.node.disk.reserve_gb * 1e9
        storing = Storing((_RTSTRUCT,), UNCOMPRESSED, LONGEST_BYTES[_RTSTRUCT], store)
        with called(peer, [GET, MOVE], storing) as call:
            for instance in instances:
                if self._spool.free_bytes() < reserve:
                    _log.error("spool.space-low", free_bytes=self._spool.free_bytes())
                    return
                yield self._fetch(call, instance, came)

    def _fetch(self, call: QueryRetrieve, instance: _Instance, came: set[str]) -> bool:
        """By C-GET where it is offered: what counts then is what came, not what the destination says."""
        by_get = {GET, _RTSTRUCT} <= call.offered
        try:
            if by_get:
                call.get("IMAGE", instance.keys(), 1)
            else:
                call.move("IMAGE", instance.keys(), 1, self._site().site.node.ae_title)
        except NotGiven as trouble:
            _go_on(trouble)
            return instance.uid in came
        return instance.uid in came or not by_get

    def _store(self, claim: Claim, asked_for: _Instance, data: BytesIO, peer: Peer) -> int:
        """Keep a set that comes by C-GET, as reception keeps one that is sent, if it is the one asked for."""
        with data.getbuffer() as view:
            try:
                header = check_header([view], claim)
                if (header.study_instance_uid, header.series_instance_uid) != (
                    asked_for.study,
                    asked_for.series,
                ):
                    return StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
                origin = Origin(peer.ae_title, self._site().site.node.ae_title, peer.host)
                stored = self._spool.store_structure_set(
                    claim.sop_instance_uid, [file_header(claim, origin), view]
                )
            except InstanceRefused as refusal:
                _log.warning(refusal.code, ae_title=peer.ae_title, status=f"{refusal.status:04X}")
                return refusal.status
            except SpoolUnavailable as trouble:
                _log.error(trouble.code, free_bytes=self._spool.free_bytes())
                return StoreStatus.OUT_OF_RESOURCES
        conflict = stored.outcome == "conflict"
        return StoreStatus.DUPLICATE_SOP_INSTANCE if conflict else StoreStatus.SUCCESS


def _found(peer: Peer, studies: dict[str, set[str]]) -> dict[str, _Instance]:
    """Structure sets of the studies that are not ours, by their names in the spool."""
    found: dict[str, _Instance] = {}
    end_at = time.monotonic() + _LONGEST_SECONDS
    with called(peer, [FIND]) as call:
        for study, ours in studies.items():
            try:
                found |= {
                    hashed(each.uid): each for each in _sets_of(call, study, end_at) if each.uid not in ours
                }
            except NotGiven as trouble:
                _go_on(trouble)
    return found


def _go_on(trouble: NotGiven) -> None:
    """A status that says no is about one study or set; after all else the association is over.

    Raises:
        NotGiven: it is.
    """
    if trouble.status is None:
        raise trouble
    _log.warning("review.refused", status=f"{trouble.status:04X}")


def _sets_of(call: QueryRetrieve, study: str, end_at: float) -> Iterator[_Instance]:
    """The structure sets that a peer has of a study; answers about others are not believed.

    Raises:
        NotGiven: it does not say, or has been asked until ``end_at``, in seconds of the monotonic clock.
    """
    wanted = _keys(study, Modality="RTSTRUCT", SeriesInstanceUID="")
    for found in call.find("SERIES", wanted, MOST_RESPONSES):
        series = found["SeriesInstanceUID"]
        if found["Modality"] not in ("", "RTSTRUCT") or found["StudyInstanceUID"] not in ("", study):
            continue
        if not is_valid_uid(series):
            continue
        if time.monotonic() > end_at:
            raise NotGiven("too-many-answers")
        images = _keys(study, SeriesInstanceUID=series, SOPInstanceUID="")
        for image in call.find("IMAGE", images, MOST_RESPONSES):
            same = image["StudyInstanceUID"] in ("", study) and image["SeriesInstanceUID"] in ("", series)
            if same and is_valid_uid(image["SOPInstanceUID"]):
                yield _Instance(study, series, image["SOPInstanceUID"])


def _keys(study: str, **keys: str) -> dict[str, str]:
    return {"StudyInstanceUID": study, **keys}


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
