"""What an import has done so far: after a kill or a full disk it goes on, and its report is still whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from models.full_disk import disk_errors
from service.errors import DataRefused
from service.training_data.import_report import CaseMade
from service.training_data.remarks import Remark, remark_of

FILE: Final = "unfinished.jsonl"


@dataclass(frozen=True, slots=True)
class CtDone:
    """What became of one CT.

    Attributes:
        case: if it has one.
        hu_sha256: of its CT numbers, empty if they were not read.
        remarks: what was said of it.
    """

    case: CaseMade | None
    hu_sha256: str
    remarks: Sequence[Remark]


class ProgressJournal:
    """One line for each CT that is done: its case if it has one, and what was said of it.

    Args:
        file: where it is kept; removed by ``remove``.
        begun_as: options of the import; a journal that was begun with others is refused.

    Raises:
        DataRefused: ``records.other-unfinished``; later ``records.disk-full`` or ``records.unwritable``.

    Attributes:
        is_new: nothing was begun before.
    """

    def __init__(self, file: Path, begun_as: str) -> None:
        self._file, self._begun_as = file, begun_as
        self._done: dict[str, dict[str, Any]] = {}
        lines = _lines(file)
        self.is_new = not lines
        if lines and lines[0] != {"begun_as": begun_as}:
            raise DataRefused(
                "records.other-unfinished",
                "An import that was begun with other options, or of another export, was not finished. Remove "
                f"{FILE} from the folder of records and the unfinished data set, or choose other folders.",
            )
        for line in lines[1:]:
            self._done[line["key"]] = line

    def begin(self) -> None:
        """Say on disk how the import was begun, before anything is made."""
        if not self.is_new:
            return
        with disk_errors(DataRefused, "records", self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch(mode=0o600)
            self._file.write_text(json.dumps({"begun_as": self._begun_as}) + "\n", encoding="ascii")

    def done(self, key: str) -> CtDone | None:
        """What became of a CT; None if that is not known yet."""
        line = self._done.get(key)
        if line is None:
            return None
        case = None if line["case"] is None else CaseMade(**line["case"])
        return CtDone(case, line["hu_sha256"], [remark_of(row) for row in line["remarks"]])

    def note(self, key: str, done: CtDone) -> None:
        """A CT is done."""
        line = {
            "key": key,
            "case": None if done.case is None else asdict(done.case),
            "hu_sha256": done.hu_sha256,
            "remarks": [one.as_row() for one in done.remarks],
        }
        with disk_errors(DataRefused, "records"), self._file.open("a", encoding="ascii") as stream:
            stream.write(f"\n{json.dumps(line)}\n")

    def remove(self) -> None:
        """The import is done."""
        self._file.unlink(missing_ok=True)


def _lines(file: Path) -> list[dict[str, Any]]:
    """Lines that were written to their end."""
    if not file.exists():
        return []
    lines = []
    for line in file.read_text(encoding="ascii").split("\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines
