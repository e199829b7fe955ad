"""What a check notices, and how a value is held against the range of the training cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from models.cards.statistics_card import Range

ENOUGH_CASES: Final = 8
"""Fewer say too little of what is usual: a range of fewer cases is not asked."""

WIDENED: Final = 0.25
"""Part of its span that a range grows by at either end: of (n + 1) / 2 new cases one lies beyond n others."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """One thing that a person should know.

    Attributes:
        code: of :data:`models.second_look.codes.KINDS`.
        sentence: for people, without patient data.
        structure: that it concerns, None for the whole CT.
        amounts: what was measured and what was held against it, units in their names.
    """

    code: str
    sentence: str
    structure: str | None = None
    amounts: Mapping[str, float] = field(default_factory=dict)


def widened(usual: Range, least: float) -> Range:
    """The range with room at either end: :data:`WIDENED` of its span, and at least ``least``."""
    low, high = usual
    room = max(least, WIDENED * (high - low))
    return low - room, high + room


def widened_by_factor(usual: Range, factor: float) -> Range:
    """The range of an amount that is never negative, with room by a factor, larger for a wide range."""
    low, high = usual
    more = factor * (high / low) ** WIDENED if low > 0 else factor
    return low / more, high * more


def is_beyond(value: float, allowed: Range) -> bool:
    """Whether a value lies outside of what is allowed."""
    return not allowed[0] <= value <= allowed[1]


def amounts_of(name: str, value: float, usual: Range) -> dict[str, float]:
    """What was measured beside the training cases' range; ``name`` ends in the unit."""
    return {name: value, f"least_{name}": usual[0], f"most_{name}": usual[1]}
