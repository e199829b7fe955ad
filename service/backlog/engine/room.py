"""How many rows of a queue run here at a time, and who must run alone.

A row that ends its process again and again is set aside. Rows that merely ran beside it must not be set aside
with it, so one that has been run before runs alone: only what it does itself then counts against it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_UP_SECONDS = 0.5


class Room:
    """Places for rows.

    Args:
        size: how many may be inside at a time.
        stopped: asked while somebody waits; True ends the waiting.
    """

    def __init__(self, size: int, stopped: Callable[[], bool] = lambda: False) -> None:
        self.size = size
        self._stopped = stopped
        self._changed = threading.Condition()
        self._inside = 0
        self._alone_inside = False
        self._alone_waiting = 0

    @contextmanager
    def place(
        self,
        *,
        alone: bool,
        waits: Callable[[], None] = lambda: None,
        waited: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Be inside for as long as this lasts.

        Args:
            alone: with nobody else; goes before those who want company.
            waits, waited: called before and after waiting, if there is any.

        Raises:
            Stopped: the process ends meanwhile.
        """
        if not self._entered(alone=alone):
            waits()
            self._wait(alone=alone)
            waited()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone_inside = False
                self._changed.notify_all()

    def _entered(self, *, alone: bool) -> bool:
        with self._changed:
            if self._is_full(alone=alone):
                return False
            self._enter(alone=alone)
            return True

    def _wait(self, *, alone: bool) -> None:
        with self._changed:
            self._alone_waiting += alone
            try:
                while self._is_full(alone=alone, in_line=True):
                    if self._stopped():
                        raise Stopped
                    self._changed.wait(_LOOK_UP_SECONDS)
                self._enter(alone=alone)
            finally:
                self._alone_waiting -= alone
                self._changed.notify_all()

    def _is_full(self, *, alone: bool, in_line: bool = False) -> bool:
        if alone:
            return self._inside > 0 or (self._alone_waiting > 0 and not in_line)
        return self._alone_inside or self._alone_waiting > 0 or self._inside >= self.size

    def _enter(self, *, alone: bool) -> None:
        self._inside += 1
        self._alone_inside = alone


class Stopped(BaseException):
    """The process ends while a row waits for its place: it stays and is run again later."""
