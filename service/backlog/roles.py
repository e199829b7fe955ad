"""What people may do at the console."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each may do what those before may."""

    READER = "reader"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    def may(self, needed: Role) -> bool:
        """Whether this role is at least that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
