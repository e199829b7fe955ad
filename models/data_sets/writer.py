"""Writes a data set case by case, so that a kill leaves it whole, or unfinished and resumable."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from models.data_sets.case_file import Case, DataSetInvalid, write_case
from models.data_sets.contents import CASES, FILE, JOURNAL, CaseEntry, Contents, Part, entry_of
from models.full_disk import disk_errors


class DataSetWriter:
    """Writes a data set; a folder that holds an unfinished one of the same kind is gone on with.

    Args:
        folder: new, empty, or left unfinished by a writer that was given the same arguments.
        structures: every structure that a case may have.
        source: where the cases come from, in words.
        licence: of the cases.
        extents: by structure, from where to where it was drawn.

    Raises:
        DataSetInvalid: ``data.exists``, ``data.folder-in-use`` or ``data.other-unfinished``.
    """

    def __init__(
        self,
        folder: Path,
        structures: Sequence[str],
        source: str,
        *,
        licence: str = "",
        extents: Mapping[str, str] | None = None,
    ) -> None:
        known = extents or {}
        self._folder = folder
        self._contents = Contents({name: known.get(name, "") for name in structures}, source, licence)
        self._entries: dict[str, CaseEntry] = {}
        _refuse_foreign(folder)
        with disk_errors(DataSetInvalid, "data"):
            (folder / CASES).mkdir(parents=True, exist_ok=True)
            self._resume()

    @property
    def names(self) -> tuple[str, ...]:
        """Cases that are written already, those of an interrupted writer among them."""
        return tuple(sorted(self._entries))

    def add(self, case: Case, part: Part) -> None:
        """Write one case; once this returns, it is on disk.

        Raises:
            DataSetInvalid: ``data.case-twice``, ``data.patient-in-two-parts``, ``data.structure-unknown``,
                ``data.disk-full`` or ``data.unwritable``.
        """
        self._refuse(case, part)
        file = self._folder / CASES / f"{case.name}.npz"
        unfinished = file.with_suffix(".part")
        with disk_errors(DataSetInvalid, "data", unfinished):
            with unfinished.open("wb") as stream:
                write_case(stream, case)
                stream.flush()
                os.fsync(stream.fileno())
            sha256, size = _hash(unfinished), unfinished.stat().st_size
            unfinished.replace(file)
            entry = CaseEntry(case.name, case.patient, part, sha256, size, tuple(case.masks))
            self._note(asdict(entry))
        self._entries[case.name] = entry

    def close(self, parts: Mapping[str, Part] | None = None) -> None:
        """Write ``data.yaml``: from now on the folder is a data set. Structures that no case knows drop out.

        Args:
            parts: by patient, in place of what ``add`` was told, where that could not be known then.

        Raises:
            DataSetInvalid: ``data.empty``, ``data.disk-full`` or ``data.unwritable``.
        """
        if not self._entries:
            raise DataSetInvalid("data.empty", "Not one case could be made, so there is no data set.")
        final = parts or {}
        every = (self._entries[name] for name in self.names)
        entries = tuple(replace(entry, part=final.get(entry.patient, entry.part)) for entry in every)
        known = {name for entry in entries for name in entry.structures}
        structures = {name: text for name, text in self._contents.structures.items() if name in known}
        contents = replace(self._contents, structures=structures, cases=entries)
        head = {"fingerprint": contents.fingerprint()}
        text = yaml.safe_dump(head | contents.as_yaml(), sort_keys=False, allow_unicode=True, width=120)
        unfinished = self._folder / f"{FILE}.part"
        with disk_errors(DataSetInvalid, "data", unfinished):
            with unfinished.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(self._folder / FILE)
            (self._folder / JOURNAL).unlink()

    def discard(self) -> None:
        """Remove a data set that was begun and has no case."""
        if not self._entries:
            (self._folder / JOURNAL).unlink()
            (self._folder / CASES).rmdir()
            self._folder.rmdir()

    def _refuse(self, case: Case, part: Part) -> None:
        if case.name in self._entries:
            raise DataSetInvalid("data.case-twice", f"Case {case.name} was written before.")
        if any(one.patient == case.patient and one.part != part for one in self._entries.values()):
            raise DataSetInvalid(
                "data.patient-in-two-parts", f"Patient {case.patient} has a case in a part other than {part}."
            )
        unknown = [name for name in case.masks if name not in self._contents.structures]
        if unknown:
            raise DataSetInvalid(
                "data.structure-unknown", f"Case {case.name} has {unknown[0]}, which the data set has not."
            )

    def _resume(self) -> None:
        journal = self._folder / JOURNAL
        head = self._contents.as_yaml()
        lines = list(_lines(journal)) if journal.is_file() else []
        if lines and lines[0] != head:
            raise DataSetInvalid(
                "data.other-unfinished",
                "The folder holds an unfinished data set that was begun differently. Choose another folder, "
                "or remove this one.",
            )
        for values in lines[1:]:
            entry = entry_of(values)
            file = self._folder / CASES / f"{entry.name}.npz"
            if file.is_file() and file.stat().st_size == entry.size and _hash(file) == entry.sha256:
                self._entries[entry.name] = entry
        for file in (self._folder / CASES).iterdir():
            if file.suffix == ".part" or (file.suffix == ".npz" and file.stem not in self._entries):
                file.unlink()
        if not lines:
            journal.unlink(missing_ok=True)
            self._note(head)

    def _note(self, values: Mapping[str, Any]) -> None:
        """Append a line to the journal; a torn last line is closed by the line break before the next."""
        with (self._folder / JOURNAL).open("ab") as stream:
            stream.write(b"\n" + json.dumps(values).encode("ascii") + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    """The lines that were written to their end."""
    for line in journal.read_bytes().split(b"\n"):
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            yield values


def _refuse_foreign(folder: Path) -> None:
    if (folder / FILE).exists():
        raise DataSetInvalid(
            "data.exists", f"The folder holds a data set already ({FILE}). Choose another folder."
        )
    ours = (CASES, JOURNAL, f"{FILE}.part")
    if folder.exists() and (not folder.is_dir() or any(one.name not in ours for one in folder.iterdir())):
        raise DataSetInvalid(
            "data.folder-in-use", "The folder holds other files. Choose a new or an empty folder."
        )


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
