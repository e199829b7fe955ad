"""Pseudonyms of patients, and which part of the data set each is in; the list is kept outside the data set.

``patients.csv`` lets a hospital find its patient again, and keeps pseudonyms and parts the same in a later
import that is given the same list. A patient without a case has no part. Whoever holds the list can name the
patients: it stays where it was made.
"""

from __future__ import annotations

import csv
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.data_sets.data_set import PARTS, Part, split
from models.full_disk import disk_errors
from service.errors import DataRefused

FILE: Final = "patients.csv"
_COLUMNS: Final = ("patient", "part", "id", "issuer")

PatientKey = tuple[str, str]
"""Issuer of Patient ID (or ``NIfTI``) and Patient ID."""


class PatientList:
    """The list of patients of an import.

    Args:
        file: where it is kept; patients that it names already keep pseudonym and part.
        read_only: leave the file as it is.

    Raises:
        DataRefused: ``patients.unreadable``.
    """

    def __init__(self, file: Path, *, read_only: bool = False) -> None:
        self._file, self._read_only = file, read_only
        self._names: dict[PatientKey, str] = {}
        self._parts: dict[str, Part] = {}
        if file.exists():
            self._read()

    def add(self, patients: Sequence[PatientKey], *, in_order: bool) -> None:
        """Give new patients a pseudonym and write the list.

        Args:
            patients: in the order of the export; repeated ones count once.
            in_order: number them in this order, else in an order that nobody can repeat.

        Raises:
            DataRefused: ``records.disk-full`` or ``records.unwritable``.
        """
        new = [one for one in dict.fromkeys(patients) if one not in self._names]
        if not in_order:
            secrets.SystemRandom().shuffle(new)
        first = 1 + max((int(name[1:]) for name in self._names.values()), default=0)
        self._names |= {one: f"p{number:04d}" for number, one in enumerate(new, first)}
        self._write()

    def pseudonym(self, patient: PatientKey) -> str:
        """What a patient is called in the data set."""
        return self._names[patient]

    def split(self, with_cases: Iterable[str], seed: int, shares: Mapping[Part, float]) -> Mapping[str, Part]:
        """The part of each of these pseudonyms: the one it had, or one drawn now; writes the list.

        Raises:
            DataRefused: ``records.disk-full`` or ``records.unwritable``.
        """
        wanted = set(with_cases)
        new = wanted - self._parts.keys()
        if new:
            self._parts |= split(new, seed, shares)
            self._write()
        return {name: self._parts[name] for name in wanted}

    def by_hash(self, with_cases: Iterable[str], shares: Mapping[Part, float]) -> Mapping[str, Part]:
        """The part of each of these pseudonyms, by :func:`part_of`; nothing is drawn and nothing kept."""
        wanted = set(with_cases)
        return {name: part_of(key, shares) for key, name in self._names.items() if name in wanted}

    def remove(self) -> None:
        """Forget who is who."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            with self._file.open(encoding="utf-8-sig", newline="") as stream:
                rows = list(csv.DictReader(stream))
            self._names = {(row["issuer"], row["id"]): row["patient"] for row in rows}
            self._parts = {row["patient"]: _part(row["part"]) for row in rows if row["part"]}
            numbers = {int(name.removeprefix("p")) for name in self._names.values()}
        except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise DataRefused(
                "patients.unreadable",
                f"{FILE} cannot be read as a list of patients with the columns {', '.join(_COLUMNS)}. "
                "Restore it, or choose another folder for the records.",
            ) from error
        if len(numbers) < len(rows):
            raise DataRefused("patients.unreadable", f"{FILE} names a patient or a pseudonym twice.")

    def _write(self) -> None:
        if self._read_only:
            return
        unfinished = self._file.with_suffix(".part")
        with disk_errors(DataRefused, "records", unfinished):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished.touch(mode=0o600)
            with unfinished.open("w", encoding="utf-8", newline="") as stream:
                table = csv.writer(stream)
                table.writerow(_COLUMNS)
                for (issuer, identifier), name in sorted(self._names.items(), key=lambda item: item[1]):
                    table.writerow((name, self._parts.get(name, ""), identifier, issuer))
            unfinished.replace(self._file)


def part_of(patient: PatientKey, shares: Mapping[Part, float]) -> Part:
    """The part that a patient is in whenever and wherever it is asked, as long as the shares stay.

    A larger share of test cases keeps those of a smaller one.

    Args:
        patient: issuer and Patient ID.
        shares: of ``test`` and ``validation`` among all patients; the rest is trained on.
    """
    if _place(patient, "test") < shares["test"]:
        return "test"
    if _place(patient, "validation") * (1 - shares["test"]) < shares["validation"]:
        return "validation"
    return "train"


def _place(patient: PatientKey, purpose: str) -> float:
    """Between 0 and 1, alike for all patients: from the SHA-256 of purpose, issuer and Patient ID."""
    digest = hashlib.sha256("\0".join((purpose, *patient)).encode()).digest()
    return float(int.from_bytes(digest[:6], "big")) / 2**48


def _part(text: str) -> Part:
    for part in PARTS:
        if part == text:
            return part
    message = f"{text} is no part"
    raise ValueError(message)
