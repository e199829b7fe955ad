"""An archive that is asked by C-FIND and gives by C-GET or C-MOVE (PS3.4 Annex C, Study Root).

By C-GET the images come on our own association, each to be answered once the node has answered for it. By
C-MOVE the archive sends them to the node itself, over an association of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from service.arrival.intake import LONGEST_BYTES
from service.arrival.spooled_series import count_instances
from service.backlog.spool import hashed
from service.delivery.association import Peer
from service.delivery.query_retrieve import FIND, GET, MOST_ANSWERS, MOVE, NotGiven, Storing, called
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.retrieval.matching import Matching
from service.retrieval.troubles import of_dimse

if TYPE_CHECKING:
    from io import BytesIO
    from pathlib import Path

    from service.config.archive_section import Archive
    from service.delivery.query_retrieve import Answer, QueryRetrieve
    from service.retrieval.found import FoundSeries, Taken
    from service.retrieval.relay import Relay
    from service.retrieval.wanted import Wanted

_LOOK_EVERY_SECONDS: Final = 0.1
_LONGEST_ON_ITS_WAY_SECONDS: Final = 10.0
_NAMES: Final = {FIND: "find", GET: "get", MOVE: "move"}


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
        with self._called(FIND) as call:

            def ask(level: str, keys: dict[str, str]) -> list[Answer]:
                return call.find(level, keys, MOST_ANSWERS)

            return Matching(wanted, self._classes, ask).series()

    def retrieve(self, series: FoundSeries, relay: Relay, taken: Taken) -> None:
        """See :class:`service.retrieval.source.Source`."""
        if self._archive.retrieve == "move":
            self._move(series, taken)
        else:
            self._get(series, relay, taken)

    def _get(self, series: FoundSeries, relay: Relay, taken: Taken) -> None:
        def store(sop_class: str, sop_instance: str, syntax: str, data: BytesIO) -> int:
            return relay.store(sop_class, sop_instance, syntax, data, taken)

        longest = max(LONGEST_BYTES[each] for each in relay.classes)
        try:
            with self._called(GET, Storing(relay.classes, TRANSFER_SYNTAXES, longest, store)) as call:
                call.get("SERIES", _keys(series), series.instances)
        finally:
            if relay.stopped is not None:
                raise relay.stopped

    def _move(self, series: FoundSeries, taken: Taken) -> None:
        seconds = 0.0
        try:
            with self._called(MOVE) as call:
                call.move("SERIES", _keys(series), series.instances, self._move_to)
            seconds = min(self._archive.timeout_seconds, _LONGEST_ON_ITS_WAY_SECONDS)
        finally:
            self._await(self._folder_of(series.series_instance_uid), series, taken, seconds)

    @staticmethod
    def _await(folder: Path, series: FoundSeries, taken: Taken, seconds: float) -> None:
        """What the archive has sent may still be on its way to the disk when it says that it is done."""
        deadline = time.monotonic() + seconds
        while count_instances(folder) < series.instances and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS)
        there = {file.stem for file in folder.glob("[!.]*.dcm")}
        taken.stored = {uid for uid in series.images if hashed(uid) in there} if series.images else there

    @contextmanager
    def _called(self, service: str, storing: Storing | None = None) -> Iterator[QueryRetrieve]:
        try:
            with called(self._peer, [service], storing) as call:
                yield call
        except NotGiven as found:
            raise of_dimse(_NAMES[service], found) from None


def _keys(series: FoundSeries) -> dict[str, str]:
    return {
        "StudyInstanceUID": series.study_instance_uid,
        "SeriesInstanceUID": series.series_instance_uid,
    }
