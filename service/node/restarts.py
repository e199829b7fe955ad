"""How often each process of this host was started, from the supervisor to the metrics."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Starts:
    """The numbers in the storage folder, written when they change; a disk that is full changes nothing."""

    def __init__(self, storage: Path) -> None:
        self._file = _file(storage)
        self._written: dict[str, int] = {}

    def tell(self, starts: Mapping[str, int]) -> None:
        """The numbers as they are now, by role."""
        if self._written == starts:
            return
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps(dict(starts)))
            part.replace(self._file)
        except OSError:  # told again with the next turn
            return
        self._written = dict(starts)


def read_starts(storage: Path) -> dict[str, int]:
    """The numbers of this host; empty if no supervisor has run here."""
    try:
        return {str(role): int(count) for role, count in json.loads(_file(storage).read_text()).items()}
    except (OSError, ValueError):
        return {}


def _file(storage: Path) -> Path:
    return storage / f"starts.{socket.gethostname()}.json"
