"""What is to be pulled: rows of a list, or one that the command line names.

A list is a CSV file whose first line names columns: StudyInstanceUID, SeriesInstanceUID, PatientID,
AccessionNumber; others are passed over. Each further line is a row; what is given in it must all match.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from service.arrival.instance import is_valid_uid
from service.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_COLUMNS: Final = {
    "studyinstanceuid": "study_instance_uid",
    "seriesinstanceuid": "series_instance_uid",
    "patientid": "patient_id",
    "accessionnumber": "accession_number",
}
_UIDS: Final = ("study_instance_uid", "series_instance_uid")
_LONGEST: Final = 64
_LARGEST_LIST: Final = 64 << 20
_MOST_ROWS: Final = 1_000_000
_WILDCARDS: Final = re.compile(r"[*?\\\x00-\x1f\x7f]")


class ListInvalid(NodeError):
    """The list cannot be used; the sentence names rows, never what stands in them."""


@dataclass(frozen=True, slots=True, repr=False)
class Wanted:
    """What one row asks for; everything that is given must match. Printing it shows nothing.

    Attributes:
        row: its number, 1 for the first after the heading.
        study_instance_uid, series_instance_uid, patient_id, accession_number: empty if not given.
        since, until: study dates, YYYYMMDD, both included; empty if not given.
    """

    row: int
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    patient_id: str = ""
    accession_number: str = ""
    since: str = ""
    until: str = ""

    @property
    def dates(self) -> str:
        """The range of study dates as a query has it (PS3.4 C.2.2.2.5); empty for any."""
        return f"{self.since}-{self.until}" if self.since or self.until else ""

    @property
    def needs_study_level(self) -> bool:
        """Whether studies must be looked for, and not only series of a known study."""
        return bool(self.patient_id or self.accession_number or self.dates)


def checked(wanted: Wanted) -> Wanted:
    """The same, if it asks for something that an archive can be asked for without finding everything.

    Raises:
        ListInvalid: it names nothing, or with characters that a query takes for "anything".
    """
    values = [getattr(wanted, field.name) for field in fields(wanted) if field.name != "row"]
    if not any(values):
        raise ListInvalid("pull.row-empty", f"Row {wanted.row} asks for nothing. Fill it in or remove it.")
    if any(_WILDCARDS.search(value) or len(value) > _LONGEST for value in values):
        sentence = "has a value with *, ?, a backslash or a control character, or of more than 64 characters"
        raise ListInvalid("pull.row-invalid", f"Row {wanted.row} {sentence}. Correct it.")
    if any(value and not is_valid_uid(value) for value in (getattr(wanted, name) for name in _UIDS)):
        raise ListInvalid(
            "pull.row-invalid", f"Row {wanted.row} has a UID that is none (PS3.5 9.1). Correct it."
        )
    return wanted


def read_list(file: Path, *, since: str = "", until: str = "") -> tuple[Wanted, ...]:
    """The rows of a list.

    Raises:
        ListInvalid: it cannot be read, has none of the columns, or a row that asks for nothing or too much.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_LIST + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        sentence = "The list cannot be read, or is not UTF-8. Name a CSV file that is."
        raise ListInvalid("pull.list-unreadable", sentence) from None
    if len(content) > _LARGEST_LIST:
        raise ListInvalid("pull.list-too-large", "The list is larger than 64 MiB. Divide it.")
    try:
        lines = [
            line
            for line in csv.reader(io.StringIO(text, newline=""), _dialect(text))
            if any(map(str.strip, line))
        ]
    except csv.Error:
        raise ListInvalid("pull.list-unreadable", "The list is no CSV file. Save it as CSV.") from None
    return _rows(lines, since, until)


def fingerprint(rows: Sequence[Wanted], *further: str) -> str:
    """16 hex digits that are the same for the same rows and choices, and tell nothing of them."""
    digest = hashlib.sha256()
    for value in (*further, *(str(getattr(row, field.name)) for row in rows for field in fields(row))):
        digest.update(value.encode() + b"\0")
    return digest.hexdigest()[:16]


def _rows(lines: Sequence[Sequence[str]], since: str, until: str) -> tuple[Wanted, ...]:
    heading = [re.sub(r"[^a-z]", "", name.casefold()) for name in lines[0]] if lines else []
    places = {_COLUMNS[name]: place for place, name in enumerate(heading) if name in _COLUMNS}
    if not places:
        sentence = "The first line of the list names none of StudyInstanceUID, SeriesInstanceUID, PatientID, "
        raise ListInvalid("pull.list-without-columns", sentence + "AccessionNumber. Add a heading.")
    if len(lines) - 1 > _MOST_ROWS:
        raise ListInvalid("pull.list-too-large", "The list has more than a million rows. Divide it.")
    rows = []
    for number, line in enumerate(lines[1:], start=1):
        values = {name: line[place].strip() for name, place in places.items() if place < len(line)}
        if not any(values.values()):
            raise ListInvalid("pull.row-empty", f"Row {number} asks for nothing. Fill it in or remove it.")
        rows.append(checked(Wanted(number, **values, since=since, until=until)))
    return tuple(rows)


def _dialect(text: str) -> type[csv.Dialect]:
    heading = text.partition("\n")[0]

    class Found(csv.excel):
        delimiter = max(",;\t", key=heading.count)

    return Found
