"""To where array axes run, in letters: S or I, P or A, L or R, one for each axis."""

from __future__ import annotations

from typing import Final

AXIS_OF: Final = {"S": 0, "I": 0, "P": 1, "A": 1, "L": 2, "R": 2}
"""Which axis of our arrays (z to head, y to posterior, x to left) runs along each direction or against it."""

AGAINST: Final = frozenset("IAR")
"""Letters of directions that our axes run against."""

AXES_RULE: Final = "axes are three letters, one each of S or I, P or A, L or R"


def axes_fit(axes: str) -> bool:
    """True for three letters, one for each axis of the patient."""
    return len(axes) == 3 and {AXIS_OF.get(letter) for letter in axes} == {0, 1, 2}
