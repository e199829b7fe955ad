"""From a row to CT series: which queries an archive is asked, and which of its answers count.

The same for C-FIND and QIDO-RS. An answer that does not match what was asked is not believed: an archive that
overlooks a key would else give the CT of every patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from service.arrival.instance import is_valid_uid
from service.delivery.query_retrieve import Answer
from service.retrieval.found import FoundSeries, counted
from service.retrieval.troubles import PullFailed

if TYPE_CHECKING:
    from service.retrieval.wanted import Wanted

Ask = Callable[[str, dict[str, str]], Sequence[Answer]]


class Matching:
    """The queries of one row.

    Args:
        wanted: the row.
        classes: SOP classes that the node takes.
        ask: puts a query of a level, STUDY, SERIES or IMAGE, with keys by keyword, empty for "tell me".
    """

    def __init__(self, wanted: Wanted, classes: Sequence[str], ask: Ask) -> None:
        self._wanted = wanted
        self._classes = classes
        self._ask = ask
        self._others = 0

    def series(self) -> list[FoundSeries]:
        """The CT series that match, each once, in the order of the archive.

        Raises:
            PullFailed: it answers only with what was not asked for.
        """
        found: dict[str, FoundSeries] = {}
        for study in self._studies():
            for uid, of_study, said in self._series_of(study):
                if uid not in found:
                    one = self._counted(of_study, uid, said)
                    if one is not None:
                        found[uid] = one
        if not found and self._others:
            sentence = (
                "The archive answers with studies or series that were not asked for, and with none that was. "
                "It may not know the key; ask by another."
            )
            raise PullFailed("archive.answers-other", sentence)
        return list(found.values())

    def _studies(self) -> Iterator[str]:
        wanted = self._wanted
        if not wanted.needs_study_level:
            yield wanted.study_instance_uid
            return
        keys = {
            "StudyInstanceUID": wanted.study_instance_uid,
            "PatientID": wanted.patient_id,
            "AccessionNumber": wanted.accession_number,
            "StudyDate": wanted.dates,
            "ModalitiesInStudy": "",
        }
        seen = set()
        for answer in self._ask("STUDY", keys):
            uid = answer.get("StudyInstanceUID", "")
            modalities = answer.get("ModalitiesInStudy", "").split("\\")
            if uid in seen or ("CT" not in modalities and any(modalities)):
                continue
            seen.add(uid)
            if self._matches_study(answer) and is_valid_uid(uid):
                yield uid
            else:
                self._others += 1

    def _matches_study(self, answer: Answer) -> bool:
        wanted, date = self._wanted, answer.get("StudyDate", "")
        same = (
            ("StudyInstanceUID", wanted.study_instance_uid),
            ("PatientID", wanted.patient_id),
            ("AccessionNumber", wanted.accession_number),
        )
        if any(value and answer.get(keyword, "") != value for keyword, value in same):
            return False
        return not wanted.dates or (wanted.since or "0") <= date <= (wanted.until or "9")

    def _series_of(self, study: str) -> Iterator[tuple[str, str, int | None]]:
        asked = self._wanted.series_instance_uid
        keys = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": asked,
            "Modality": "CT",
            "NumberOfSeriesRelatedInstances": "",
        }
        for answer in self._ask("SERIES", keys):
            uid, of_study = answer.get("SeriesInstanceUID", ""), answer.get("StudyInstanceUID", "") or study
            if answer.get("Modality", "") not in ("CT", ""):
                continue
            right = (not asked or uid == asked) and (not study or of_study == study)
            if right and is_valid_uid(uid) and is_valid_uid(of_study):
                yield uid, of_study, _number(answer, "NumberOfSeriesRelatedInstances")
            else:
                self._others += 1

    def _counted(self, study: str, series: str, said: int | None) -> FoundSeries | None:
        keys = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "SOPInstanceUID": "",
            "SOPClassUID": "",
        }
        answers = self._ask("IMAGE", keys)
        images = [
            (each.get("SOPInstanceUID", ""), each.get("SOPClassUID", ""))
            for each in answers
            if each.get("SeriesInstanceUID", "") in (series, "")
            and each.get("StudyInstanceUID", "") in (study, "")
        ]
        return counted(study, series, said, images, self._classes)


def _number(answer: Answer, keyword: str) -> int | None:
    text = answer.get(keyword, "")
    return int(text) if text.isascii() and text.isdigit() else None
