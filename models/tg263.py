"""What is known of a structure's name: whether TG-263 has it, and the side that it says."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

import yaml

TABLE: Final = Path(__file__).with_suffix(".yaml")
"""The names in use, each with what the comparison with AAPM's worksheet gave."""

Standing = Literal["primary", "target", "local", "unchecked"]
Side = Literal["L", "R"]

_LUMBAR: Final = "VB_L"  # the lumbar vertebrae: the one name of the list that ends in _L and has no side


def standing_of(name: str) -> Standing:
    """How a name stands to TG-263.

    Returns:
        ``primary``: it is a primary name of the worksheet; ``target``: made by the report's rule for
        targets; ``local``: TG-263 has no such name; ``unchecked``: nobody compared it.
    """
    return _standings().get(name, "unchecked")


def side_of(name: str) -> Side | None:
    """The side that a TG-263 name says by its suffix; None if it says none."""
    stem, _, suffix = name.rpartition("_")
    if not stem or name == _LUMBAR:
        return None
    return "L" if suffix == "L" else "R" if suffix == "R" else None


@cache
def _standings() -> dict[str, Standing]:
    content = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    kinds: tuple[Standing, ...] = ("primary", "target", "local")
    return {name: kind for kind in kinds for name in content[kind]}
