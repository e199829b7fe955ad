"""Tells people, once each time, of what keeps CT away from the node without any CT being there to show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.backlog.notify import Notifies

_AGAIN_FROM: Final = 1.1  # so many times the reserve must be free before too little is told once more


class Watchman:
    """Looks at the configuration file and at the disk.

    Args:
        mistakes: what is wrong with the file as it is now.
        free_bytes: space that is left in the storage folder.
        reserve_bytes: free space under which C-STORE is answered 0xA700.
        notify: told.
    """

    def __init__(
        self,
        mistakes: Callable[[], tuple[str, ...]],
        free_bytes: Callable[[], int],
        reserve_bytes: float,
        notify: Notifies,
    ) -> None:
        self._mistakes = mistakes
        self._free_bytes = free_bytes
        self._reserve_bytes = reserve_bytes
        self._notify = notify
        self._known_mistakes: tuple[str, ...] = ()
        self._is_low = False

    def look(self) -> None:
        """Look once; cheap enough for every turn of a loop."""
        self._look_at_the_file()
        self._look_at_the_disk()

    def _look_at_the_file(self) -> None:
        mistakes = self._mistakes()
        if mistakes and mistakes != self._known_mistakes:
            noun = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
            self._notify.tell(
                "config.invalid",
                f"The configuration file has {noun} and is not used; the last good one stays in force. "
                "`delineate check` says what is wrong.",
            )
        self._known_mistakes = mistakes

    def _look_at_the_disk(self) -> None:
        free = self._free_bytes()
        if free < self._reserve_bytes and not self._is_low:
            self._is_low = True
            self._notify.tell(
                "spool.space-low",
                "The storage folder has less free space than node.disk.reserve_gb, so that images are turned "
                "away with 0xA700. Free space, or keep less (node.retention, node.disk.budget_gb).",
            )
        elif free > _AGAIN_FROM * self._reserve_bytes:
            self._is_low = False
