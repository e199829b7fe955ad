"""The codes of all that is checked, and what becomes of a finding unless a site says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ignore", "note", "hold", "stop"]

ORDER: Final[tuple[Level, ...]] = ("ignore", "note", "hold", "stop")
"""From the mildest to the strictest."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a code.

    Attributes:
        group: kinds that a site may want to treat alike; it may be named in place of its codes.
        level: ignore, nobody is told; note, the finding is told; hold, the set waits for a person; stop, the
            structure is left out.
        fixed: no site can have it any milder.
    """

    group: str
    level: Level
    fixed: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "structure.wrong-side": Kind("side", "stop", fixed=True),
    "structure.side-unknown": Kind("side", "stop", fixed=True),
    "structure.not-found": Kind("absence", "note"),
    "structure.volume-unusual": Kind("size", "note"),
    "structure.volume-beyond-training": Kind("size", "note"),
    "structure.height-beyond-training": Kind("size", "note"),
    "structure.several-parts": Kind("shape", "note"),
    "structure.pieces-beyond-training": Kind("shape", "note"),
    "structure.cavities": Kind("shape", "note"),
    "structure.ends-abruptly": Kind("shape", "note"),
    "structure.slices-missing": Kind("gaps", "hold"),
    "structure.gap-beyond-training": Kind("gaps", "note"),
    "structure.cut-by-field-of-view": Kind("field-of-view", "note"),
    "ct.body-cut": Kind("field-of-view", "note"),
    "region.partial": Kind("field-of-view", "note"),
    "structure.outside-external": Kind("external", "hold"),
    "structure.margin-outside-external": Kind("external", "note"),
    "structure.overlap": Kind("overlap", "hold"),
    "structure.overlap-at-border": Kind("overlap", "note"),
    "structure.order-wrong": Kind("place", "hold"),
    "structure.order-unusual": Kind("place", "note"),
    "structure.place-beyond-training": Kind("place", "note"),
    "structure.uncertain": Kind("certainty", "note"),
    "structure.density-beyond-training": Kind("density", "note"),
    "structure.metal-nearby": Kind("metal", "note"),
    "ct.numbers-wrong": Kind("ct", "hold"),
    "ct.numbers-unlike-training": Kind("ct", "note"),
    "ct.geometry-unlike-training": Kind("ct", "note"),
}
"""By code, those of :mod:`models.plausibility` too.

What holds a set by default no patient has; what patients may have, though no training case had it, is told.
"""

GROUPS: Final[tuple[str, ...]] = tuple(dict.fromkeys(kind.group for kind in KINDS.values()))
FIXED: Final[frozenset[str]] = frozenset(
    name for code, kind in KINDS.items() if kind.fixed for name in (code, kind.group)
)
"""Codes and groups that stop whatever a site says."""


def names_of(code: str) -> Iterator[str]:
    """What a site may call a code by, the most particular first."""
    yield code
    if code in KINDS:
        yield KINDS[code].group


def level_of(code: str, *wishes: Mapping[str, Level]) -> Level | None:
    """What becomes of a finding with this code; None if it is none of a second look.

    Args:
        code: of the finding.
        wishes: levels by code or group, those to be heard first in front. A code counts before its group.
    """
    kind = KINDS.get(code)
    if kind is None or kind.fixed:
        return None if kind is None else kind.level
    for wish in wishes:
        for name in names_of(code):
            if name in wish:
                return wish[name]
    return kind.level
