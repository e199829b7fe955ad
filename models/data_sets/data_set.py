"""A data set: a folder of cases that training and evaluation read, and nothing in it that names a patient.

::

    DATA/data.yaml               what is in it, which part each case is in, SHA-256 of every file
    DATA/cases/<name>.npz        one case each (``case_file.py``)
    DATA/unfinished.jsonl        while it is being written: what is done so far

``data.yaml`` is written last and in one piece, so a folder without it is no data set. Every case is compared
with its SHA-256 before it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.data_sets.case_file import Case, DataSetInvalid, read_case
from models.data_sets.contents import CASES, FILE, PARTS, CaseEntry, Contents, Part, read_contents
from models.data_sets.writer import DataSetWriter

__all__ = ["PARTS", "Case", "CaseEntry", "DataSet", "DataSetInvalid", "DataSetWriter", "Part", "split"]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that has been opened.

    Attributes:
        folder: where it lies.
        contents: what ``data.yaml`` says.
        fingerprint: SHA-256 of the contents, hashes of all cases included.
    """

    folder: Path
    contents: Contents
    fingerprint: str

    @classmethod
    def open(cls, folder: Path) -> DataSet:
        """Open a data set; the cases themselves are checked when they are read, or all by ``check``.

        Raises:
            DataSetInvalid: ``data.missing``, ``data.unfinished``, ``data.unreadable``, ``data.fingerprint``
                or ``data.case-missing``.
        """
        contents, written = read_contents(folder)
        if contents.fingerprint() != written:
            raise DataSetInvalid(
                "data.fingerprint",
                f"{FILE} was changed after the data set was written: its fingerprint does not fit. "
                "Make the data set again.",
            )
        for entry in contents.cases:
            file = folder / CASES / f"{entry.name}.npz"
            if not file.is_file() or file.stat().st_size != entry.size:
                raise DataSetInvalid(
                    "data.case-missing",
                    f"The file of case {entry.name} is missing or cut short. Copy the data set again.",
                )
        return cls(folder, contents, written)

    @property
    def structures(self) -> tuple[str, ...]:
        """Every structure that a case may have."""
        return tuple(self.contents.structures)

    def names(self, part: Part | None = None) -> tuple[str, ...]:
        """Names of the cases of a part, or of all, ascending."""
        return tuple(one.name for one in self.contents.cases if part is None or one.part == part)

    def entry(self, name: str) -> CaseEntry:
        """What is known of a case without reading it; KeyError if there is no such case."""
        for one in self.contents.cases:
            if one.name == name:
                return one
        raise KeyError(name)

    def read(self, name: str) -> Case:
        """One case, compared with its SHA-256 first.

        Raises:
            DataSetInvalid: ``data.case-missing``, ``data.case-hash`` or ``data.case-unreadable``.
        """
        entry = self.entry(name)
        try:
            content = (self.folder / CASES / f"{name}.npz").read_bytes()
        except OSError as error:
            raise DataSetInvalid(
                "data.case-missing", f"The file of case {name} cannot be read. Copy the data set again."
            ) from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise DataSetInvalid(
                "data.case-hash",
                f"The file of case {name} is not the one that was written: its SHA-256 differs. "
                "Copy the data set again, or make it again.",
            )
        return read_case(content, name, entry.patient)

    def check(self) -> None:
        """Compare every case with its SHA-256; raises as ``read`` does."""
        for name in self.names():
            self.read(name)


def split(patients: Iterable[str], seed: int, shares: Mapping[Part, float]) -> Mapping[str, Part]:
    """Which part each patient is in: a patient's place in the draw follows from the seed and the name alone.

    Args:
        patients: in any order; one that is named twice counts once.
        seed: of the draw.
        shares: how much of the patients each part gets; they are scaled to a sum of one. Counts are those
            of the largest remainder, but a part with a share gets at least one patient where there are
            enough, taken from the largest part.
    """
    weights = {part: float(shares.get(part, 0.0)) for part in PARTS}
    if min(weights.values()) < 0 or sum(weights.values()) <= 0 or set(shares) - set(PARTS):
        message = f"shares are numbers of at least 0 for {', '.join(PARTS)}, not all 0: {dict(shares)}"
        raise ValueError(message)
    drawn = sorted(set(patients), key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).digest())
    counts = _counts(len(drawn), weights)
    parts = [part for part in PARTS for _ in range(counts[part])]
    return dict(zip(drawn, parts, strict=True))


def _counts(n: int, weights: Mapping[Part, float]) -> dict[Part, int]:
    total = sum(weights.values())
    exact = {part: n * weight / total for part, weight in weights.items()}
    counts = {part: int(value) for part, value in exact.items()}
    rest = sorted(PARTS, key=lambda part: counts[part] - exact[part])
    for part in rest[: n - sum(counts.values())]:
        counts[part] += 1
    for part in PARTS:
        largest = max(PARTS, key=lambda one: counts[one])
        if weights[part] > 0 and counts[part] == 0 and counts[largest] > 1:
            counts[part] += 1
            counts[largest] -= 1
    return counts
