"""What a person must know of an import: one remark for each thing that is not simply as it should be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class Weight(StrEnum):
    """What became of the thing that a remark is about."""

    NOTE = "note"
    """Taken whole."""
    WARNING = "warning"
    """Taken; a person should look at it."""
    LEFT_OUT = "left out"
    """Not in the data set."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that a person must know.

    Attributes:
        code: stable, e.g. ``roi.gap``.
        sentence: for people; holds no text of the export, so that it may be kept when the rest may not.
        weight: what became of it.
        folder: where it lies, below the folder that was imported. May name a patient.
        roi: ROI name, label or file name as in the export. May hold anything.
        patient: pseudonym, if it has one.
        case: in the data set, if it has one.
        structure: TG-263 name, if it has one.
    """

    code: str
    sentence: str
    weight: Weight
    folder: str = ""
    roi: str = ""
    patient: str = ""
    case: str = ""
    structure: str = ""

    def anonymous(self) -> Remark:
        """Without what was copied from the export."""
        return replace(self, folder="", roi="")

    def as_row(self) -> dict[str, str]:
        """By column."""
        row = asdict(self)
        return {
            key: str(row[key])
            for key in ("weight", "code", "patient", "case", "structure", "folder", "roi", "sentence")
        }


def remark_of(row: dict[str, str]) -> Remark:
    """The remark that ``as_row`` gave."""
    return Remark(**(row | {"weight": Weight(row["weight"])}))  # type: ignore[arg-type]
