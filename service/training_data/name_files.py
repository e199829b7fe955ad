"""Files of ROI names: what people call structures, and what each name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from service.config.document import Document, read_document
from service.config.mistakes import key_text
from service.config.plain_text import EMPTY
from service.config.section import Section
from service.errors import DataRefused

SHIPPED: Final = Path(__file__).with_name("roi_names.yaml")

ENGLISH: Final = "en"
"""The language of names that stand without one; its words for sides count beside those of any other."""


class Sides(Section):
    """Words for left and right in one language."""

    left: list[str] = Field(default_factory=list)
    right: list[str] = Field(default_factory=list)


class NamedStructure(Section):
    """One structure and what people call it.

    Attributes:
        names: by language, or a list for English or any other.
        sides: stands for two structures, NAME_L and NAME_R.
        extent: from where to where it is drawn.
        minimum_height_mm: no whole one is lower.
        several_parts: there may be slices without it between others.
    """

    names: dict[str, list[str]] | list[str] = Field(default_factory=list)
    sides: bool = False
    extent: str = ""
    minimum_height_mm: float = Field(0.0, ge=0)
    several_parts: bool = False

    def by_language(self) -> Mapping[str, list[str]]:
        """Names by language."""
        return self.names if isinstance(self.names, dict) else {ENGLISH: self.names}


class NameFile(Section):
    """A whole file."""

    languages: dict[str, Sides] = Field(default_factory=dict)
    structures: dict[str, NamedStructure] = Field(default_factory=dict)
    ignore: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KnownStructure:
    """What the files say of a structure beside its names."""

    name: str
    extent: str = ""
    minimum_height_mm: float = 0.0
    several_parts: bool = False


def read_name_file(file: Path) -> NameFile:
    """One file.

    Raises:
        DataRefused: ``names.unreadable`` or ``names.invalid``, with the lines that are wrong.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataRefused(
            "names.unreadable", f"The file of names cannot be read as text ({type(error).__name__})."
        ) from error
    document = read_document(text)
    if document.tree is None or document.mistakes:
        raise DataRefused("names.invalid", "\n".join(one.said_of(file.name) for one in document.mistakes))
    tree = dict(document.tree)
    structures = tree.get("structures")
    if isinstance(structures, dict):
        tree["structures"] = {name: _as_section(value) for name, value in structures.items()}
    try:
        return NameFile.model_validate(tree)
    except ValidationError as error:
        raise DataRefused("names.invalid", "\n".join(_told(file, document, error))) from None


def _as_section(value: object) -> object:
    """``Bladder: [blaas]`` for ``Bladder: {names: [blaas]}``, and nothing for a structure without names."""
    if value is EMPTY:
        return {}
    return {"names": value} if isinstance(value, list) else value


def _told(file: Path, document: Document, error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        path = tuple(step for step in one["loc"] if step not in ("list[str]", "dict[str,list[str]]"))
        lines.append(f"{file.name}:{document.line(path)}: {key_text(path)}: {one['msg']}")
    return lines
