"""What ``config.yaml`` may say of findings of the second look: what holds the set, what stops a structure.

The codes and what becomes of them by default stand in :mod:`models.second_look.codes`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from models.second_look.codes import FIXED, GROUPS, KINDS, Level
from service.config.field_types import ALLOWED
from service.config.mistakes import did_you_mean

_NAMES: Final = (*GROUPS, *KINDS)
_SAYS: Final = f"a code of docs/second-look.md, or one of the groups {', '.join(GROUPS)}"


def _known(levels: dict[str, Level]) -> dict[str, Level]:
    """Refuse names that are no code and no group, and any but ``stop`` for left and right."""
    for name, level in levels.items():
        if name not in _NAMES:
            message = f"{_SAYS}; found '{name}'{did_you_mean(name, _NAMES)}"
            raise ValueError(message)
        if name in FIXED and level != "stop":
            message = f"stop alone for {name}: what lies on the wrong side is never delivered"
            raise ValueError(message)
    return levels


SecondLook = Annotated[
    dict[str, Level],
    AfterValidator(_known),
    Field(
        json_schema_extra={
            ALLOWED: f"ignore, note, hold or stop for {_SAYS}",
            "propertyNames": {"enum": list(_NAMES)},
        }
    ),
]
"""Levels by code or by group."""
