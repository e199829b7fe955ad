"""An archive that is asked by QIDO-RS and gives by WADO-RS (PS3.18 sections 10.6 and 10.4)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from pydicom.datadict import tag_for_keyword

from service.arrival.intake import LONGEST_BYTES
from service.delivery.query_retrieve import MOST_ANSWERS, Answer
from service.dicom.header_scan import HeaderIncomplete, HeaderMalformed, element_at
from service.retrieval.matching import Matching
from service.retrieval.multipart import MultipartInvalid, boundary_of, parts
from service.retrieval.troubles import ABORTED, TOO_MANY_ANSWERS, PullFailed
from service.retrieval.web_queries import WebQueries

if TYPE_CHECKING:
    from service.config.archive_section import Archive
    from service.retrieval.found import FoundSeries, Taken
    from service.retrieval.relay import Relay
    from service.retrieval.wanted import Wanted

_PAGE: Final = 500
_WADO: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PREAMBLE: Final = 132
_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x00020002, 0x00020003, 0x00020010
_LARGEST_META: Final = 1 << 16
_DELETED: Final = (204, 404)
_LONGEST_QUERY_TIMEOUTS: Final = 10
_MOST_SUPERFLUOUS: Final = 1000


class WebArchive:
    """See :class:`service.retrieval.source.Source`.

    Args:
        archive: its section of the configuration, to be retrieved from by wado.
        classes: SOP classes that the node takes.
    """

    def __init__(self, archive: Archive, classes: Sequence[str]) -> None:
        self._web = WebQueries(archive)
        self._longest_query_seconds = _LONGEST_QUERY_TIMEOUTS * archive.timeout_seconds
        self._classes = classes

    def find(self, wanted: Wanted) -> list[FoundSeries]:
        """See :class:`service.retrieval.source.Source`."""
        return Matching(wanted, self._classes, self._ask).series()

    def retrieve(self, series: FoundSeries, relay: Relay, taken: Taken) -> None:
        """See :class:`service.retrieval.source.Source`."""
        path = ("studies", series.study_instance_uid, "series", series.series_instance_uid)
        longest = max(LONGEST_BYTES[each] for each in relay.classes) + _LARGEST_META
        most = 2 * series.instances + _MOST_SUPERFLUOUS if series.instances else MOST_ANSWERS
        with self._web.answer(path, accept=_WADO) as answer:
            if answer.status in _DELETED:
                sentence = (
                    f"The archive has not what it said to have (HTTP {answer.status}). Ask it again later."
                )
                raise PullFailed("archive.series-gone", sentence, retry=True)
            boundary = _boundary(answer.content_type)
            try:
                for count, part in enumerate(parts(answer.next_bytes, boundary, longest), start=1):
                    if count > most:
                        raise PullFailed(*TOO_MANY_ANSWERS)
                    _hand_on(part, relay, taken)
                    if relay.stopped is not None:
                        raise relay.stopped
            except MultipartInvalid:
                raise PullFailed(*ABORTED, retry=True) from None

    def _ask(self, level: str, keys: dict[str, str]) -> list[Answer]:
        """A query by pages, to the end: a service gives as many at once as it likes."""
        path, query = _resource(level, keys)
        found: dict[str, Answer] = {}
        end_at = time.monotonic() + self._longest_query_seconds
        while True:
            page = self._web.matches(path, {**query, "limit": str(_PAGE), "offset": str(len(found))})
            answers = [_values(each, keys) for each in page]
            new = {"\0".join(answer.values()): answer for answer in answers}
            if not new.keys() - found.keys():
                return list(found.values())
            found |= new
            if len(found) > MOST_ANSWERS or time.monotonic() > end_at:
                raise PullFailed(*TOO_MANY_ANSWERS)


def _boundary(content_type: str) -> bytes:
    try:
        return boundary_of(content_type)
    except MultipartInvalid:
        sentence = "The archive gives no multipart document. Is `url` the root of its DICOMweb service?"
        raise PullFailed("archive.not-multipart", sentence) from None


def _resource(level: str, keys: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Path and query of PS3.18 Table 10.6.1-1: what is given and is no part of the path must match."""
    study, series = keys.get("StudyInstanceUID", ""), keys.get("SeriesInstanceUID", "")
    path: tuple[str, ...] = ("studies",)
    within: set[str] = set()
    if level == "SERIES":
        path = ("studies", study, "series") if study else ("series",)
        within = {"StudyInstanceUID"}
    elif level == "IMAGE":
        path, within = (
            ("studies", study, "series", series, "instances"),
            {"StudyInstanceUID", "SeriesInstanceUID"},
        )
    query = {keyword: value for keyword, value in keys.items() if value and keyword not in within}
    return path, query | {"includefield": ",".join(keyword for keyword in keys if keyword not in within)}


def _values(found: Mapping[str, Any], keys: Mapping[str, str]) -> Answer:
    """What was asked, as text; what a service leaves out of a path's own level it need not repeat."""
    return {keyword: _text(found.get(f"{tag_for_keyword(keyword):08X}")) for keyword in keys}


def _text(element: object) -> str:
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list):
        return ""
    return "\\".join(str(each).strip("\0 ") for each in values if isinstance(each, str | int | float))


def _hand_on(part: bytes, relay: Relay, taken: Taken) -> None:
    """One Part 10 file: its header says what it is, the rest is the data set as it is."""
    try:
        values, begins = _meta(part)
    except (HeaderMalformed, HeaderIncomplete, UnicodeDecodeError):
        taken.refused["archive.not-dicom"] += 1
        return
    about = values.get(_SOP_CLASS, ""), values.get(_SOP_INSTANCE, ""), values.get(_TRANSFER_SYNTAX, "")
    relay.store(*about, BytesIO(part[begins:]), taken)


def _meta(part: bytes) -> tuple[dict[int, str], int]:
    """File Meta Information (PS3.10 section 7.1) and where the data set begins."""
    if part[_PREAMBLE - 4 : _PREAMBLE] != b"DICM":
        message = "no Part 10 file"
        raise HeaderMalformed(message)
    place, values = _PREAMBLE, {}
    while part[place : place + 2] == b"\2\0":
        tag, length, value_at, _ = element_at(part, place, explicit=True)
        place = value_at + length
        if place > min(_LARGEST_META, len(part)):
            raise HeaderIncomplete
        if tag in (_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX):
            values[tag] = part[value_at:place].decode("ascii").rstrip("\0 ")
    return values, place
