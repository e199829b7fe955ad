"""Looks at lists of patients: a page that asks every few seconds is one look, not hundreds."""

from __future__ import annotations

import threading
import time
from typing import Final

_AGAIN_SECONDS: Final = 300.0


class Looks:
    """Who has just seen which list."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], float] = {}

    def is_new(self, who: str, what: str) -> bool:
        """Whether this has to be written down: the same list was not seen by the same person just now."""
        at = time.monotonic()
        with self._lock:
            self._seen = {key: seen for key, seen in self._seen.items() if at - seen < _AGAIN_SECONDS}
            if (who, what) in self._seen:
                return False
            self._seen[who, what] = at
            return True
