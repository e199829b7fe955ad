"""What people may do to a job in the state that it is in, as buttons."""

from __future__ import annotations

from typing import Final

_BY_STATE: Final = {
    "queued": ("first", "priority", "hold", "cancel"),
    "contouring": ("hold", "cancel"),
    "held": ("release", "priority", "cancel"),
    "delivering": ("hold", "cancel"),
    "done": ("resend",),
    "refused": ("retry",),
    "failed": ("retry", "resend", "cancel"),
    "cancelled": ("retry",),
}


def possible_deeds(state: str, *, contoured: bool = True) -> tuple[str, ...]:
    """Names of deeds; ``resend`` needs a structure set, so a job that has none is not offered it."""
    return tuple(each for each in _BY_STATE.get(state, ()) if contoured or each != "resend")
