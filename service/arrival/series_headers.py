"""Headers of a complete series, for routing and for the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom import Dataset, dcmread

from service.arrival.routing import keywords_to_read
from service.backlog.records import PatientIdentity
from service.dicom.library_errors import LIBRARY_ERRORS
from service.errors import SeriesRefused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from service.backlog.records import ReceivedInstance
    from service.config.reader import LoadedSite

_IDENTITY: Final = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
    "study_description": "StudyDescription",
    "series_description": "SeriesDescription",
}


def read_headers(instances: Iterable[ReceivedInstance], loaded: LoadedSite) -> list[Dataset]:
    """What routing and the ledger look at, of each instance, in the order given.

    Raises:
        SeriesRefused: a file of the spool is no longer a DICOM file.
        OSError: the spool cannot be read just now.
    """
    return headers_of((instance.file for instance in instances), loaded)


def headers_of(files: Iterable[Path], loaded: LoadedSite) -> list[Dataset]:
    """The same of files of the spool; raises what :func:`read_headers` raises."""
    keywords = sorted({*keywords_to_read(loaded), *_IDENTITY.values()})
    try:
        return [dcmread(file, stop_before_pixels=True, specific_tags=list(keywords)) for file in files]
    except LIBRARY_ERRORS as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise  # it may pass; what is in the file does not
        raise _damaged() from None


def _damaged() -> SeriesRefused:
    sentence = "A file of the series cannot be read. Export the CT again and send it; check the node's disk."
    return SeriesRefused("spool.file-damaged", sentence)


def identity_of(header: Dataset) -> PatientIdentity:
    """Whose series it is, by one of its headers; what is absent or unreadable is empty."""
    return PatientIdentity(**{field: _text(header, keyword) for field, keyword in _IDENTITY.items()})


def _text(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
        text = "" if value is None else str(value)
    except LIBRARY_ERRORS:  # pydicom reads the value only now
        return ""
    # What no database takes (PostgreSQL a NUL, neither one half of a surrogate pair) must not lose the CT.
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
