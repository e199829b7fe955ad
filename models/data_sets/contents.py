"""``data.yaml``, the table of contents of a data set, and an entry of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import yaml

from models.data_sets.case_file import SIMPLE_NAME, DataSetInvalid

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

FORMAT: Final = "delineate data set 1"
FILE: Final = "data.yaml"
CASES: Final = "cases"
JOURNAL: Final = "unfinished.jsonl"


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """What ``data.yaml`` says of a case.

    Attributes:
        name: of the case; its file is ``cases/<name>.npz``.
        patient: whose it is.
        part: train, validation or test.
        sha256: of the file, hex.
        size: of the file, bytes.
        structures: those that are known here, in the case's order.
    """

    name: str
    patient: str
    part: Part
    sha256: str
    size: int
    structures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """``data.yaml`` without its fingerprint.

    Attributes:
        structures: every structure that a case may have, by TG-263 name, with its extent; empty if unknown.
        source: where the cases come from, in words.
        licence: of the cases, empty if nobody said.
        cases: by name, ascending.
    """

    structures: Mapping[str, str]
    source: str
    licence: str = ""
    cases: tuple[CaseEntry, ...] = field(default=())

    def as_yaml(self) -> dict[str, Any]:
        """Keys and values as the file has them."""
        cases = {}
        for entry in sorted(self.cases, key=lambda one: one.name):
            values = asdict(entry) | {"structures": list(entry.structures)}
            cases[values.pop("name")] = values
        return {
            "format": FORMAT,
            "source": self.source,
            "licence": self.licence,
            "structures": dict(self.structures),
            "cases": cases,
        }

    def fingerprint(self) -> str:
        """SHA-256, hex, of all that the file says: as JSON, keys sorted, no spaces, ASCII."""
        text = json.dumps(self.as_yaml(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_contents(folder: Path) -> tuple[Contents, str]:
    """What ``data.yaml`` in a folder says, and the fingerprint that stands in it.

    Raises:
        DataSetInvalid: ``data.missing``, ``data.unfinished`` or ``data.unreadable``.
    """
    file = folder / FILE
    if not file.is_file() and (folder / JOURNAL).is_file():
        raise DataSetInvalid(
            "data.unfinished",
            "The data set was not written to its end. Run the command that makes it again: it goes on where "
            "it stopped.",
        )
    if not file.is_file():
        raise DataSetInvalid("data.missing", f"The folder holds no {FILE}, so it is no data set.")
    try:
        return _contents(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise DataSetInvalid(
            "data.unreadable", f"{FILE} cannot be read as a data set's. Make the data set again."
        ) from error


def _contents(content: Mapping[str, Any]) -> tuple[Contents, str]:
    if content["format"] != FORMAT:
        message = "another format"
        raise ValueError(message)
    cases = tuple(entry_of({"name": name} | values) for name, values in content["cases"].items())
    structures = {str(name): str(extent) for name, extent in content["structures"].items()}
    found = Contents(structures, str(content["source"]), str(content["licence"]), cases)
    return found, str(content["fingerprint"])


def entry_of(values: Mapping[str, Any]) -> CaseEntry:
    """The entry that was written as ``values``; ValueError, KeyError or TypeError if it was not one."""
    known: Sequence[str] = values["structures"]
    entry = CaseEntry(
        str(values["name"]),
        str(values["patient"]),
        values["part"],
        str(values["sha256"]),
        int(values["size"]),
        tuple(str(one) for one in known),
    )
    if not SIMPLE_NAME.fullmatch(entry.name) or entry.part not in PARTS:
        message = "not a case's entry"
        raise ValueError(message)
    return entry
