"""What guidance on automatic contouring asks of a commissioning, and where the report has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Guidance:
    """Sentences of the report.

    Attributes:
        tested: what was tested, and what that is worth.
        sources: of each source its title, what it asks for, and where that is here.
        not_shown: what no figure of the report says.
    """

    tested: tuple[str, ...]
    sources: tuple[tuple[str, str, str], ...]
    not_shown: tuple[str, ...]


@cache
def guidance() -> Guidance:
    """As the file beside this one has it."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the base loader makes texts only
    sources = tuple((each["source"], each["asks"], each["here"]) for each in found["guidance"])
    return Guidance(tuple(found["tested"]), sources, tuple(found["not_shown"]))
