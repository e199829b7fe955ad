"""A file that a living process touches, for the health check."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDER: Final = "alive"
_EVERY_SECONDS: Final = 2.0
_LEFT_OVER_SECONDS: Final = 86400.0

_log = EventLog("node")


class Heartbeat:
    """Touches ``<storage>/alive/<host>.<role>`` while ``healthy`` returns; removes it at the end.

    Args:
        storage: the node's storage folder.
        role: of this process, e.g. ``work``.
        healthy: raises or blocks if something this process needs does not answer.
    """

    def __init__(self, storage: Path, role: str, healthy: Callable[[], None] = lambda: None) -> None:
        self._file = storage / FOLDER / f"{socket.gethostname()}.{role}"
        self._healthy = healthy
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_left_over(self._file.parent)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_EVERY_SECONDS)
        self._file.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.is_set():
            try:
                self._healthy()
                self._file.touch()
            except Exception as error:  # noqa: BLE001 the loop body of this thread
                _log.failure("node.no-heartbeat", error, role=self._file.suffix[1:])
            self._over.wait(_EVERY_SECONDS)


def ages_seconds(storage: Path) -> dict[str, float]:
    """Seconds since the last beat of each process of this host, by role."""
    here = socket.gethostname()
    return {role: age for (host, role), age in ages_everywhere_seconds(storage).items() if host == here}


def ages_everywhere_seconds(storage: Path) -> dict[tuple[str, str], float]:
    """The same of every host that shares the storage folder, by host and role; clocks are taken to agree."""
    found = {}
    for file in (storage / FOLDER).glob("*"):
        host, _, role = file.name.rpartition(".")
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            found[host, role] = time.time() - file.stat().st_mtime
    return found


def _forget_left_over(folder: Path) -> None:
    for file in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > _LEFT_OVER_SECONDS:
                file.unlink()
