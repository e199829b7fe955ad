"""The places that a worker process takes for itself: its executor id, and on SQLite the sender's."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from service.backlog.liveness import Lock, Locks
from service.errors import NodeError

SENDER: Final = "the sender of this database"
_LOST_SECONDS: Final = 15.0


class WorkerRefused(NodeError):
    """This process must not start, or must not go on: another has its place."""


class Places:
    """Locks that are held as long as the process lives, and taken again after a restart of the database."""

    def __init__(self, locks: Locks, names: Sequence[str]) -> None:
        self._locks = locks
        self._names = names
        self._held: dict[str, Lock] = {}
        self._lost_since: float | None = None

    def take(self, patience_seconds: float, stop: threading.Event) -> None:
        """Take all of them; wait a little, since a reaper may hold one for a moment.

        Raises:
            WorkerRefused: a living process has one.
        """
        deadline = time.monotonic() + patience_seconds
        for name in self._names:
            lock = self._locks.take(name)
            while lock is None and time.monotonic() < deadline and not stop.wait(0.2):
                lock = self._locks.take(name)
            if lock is None:
                self.release()
                raise _refusal(name)
            self._held[name] = lock

    def keep(self, at: float) -> bool:
        """Take again what a restart of the database made us lose; ``at`` is a monotonic clock in seconds.

        Returns:
            Whether all are ours now.

        Raises:
            sqlalchemy.exc.OperationalError: the database is not back yet.
            WorkerRefused: another process has taken one and keeps it.
        """
        for name, lock in self._held.items():
            if lock.held():
                continue
            lock.release()
            anew = self._locks.take(name)
            if anew is None:
                self._lost_since = at if self._lost_since is None else self._lost_since
                if at - self._lost_since > _LOST_SECONDS:
                    raise _refusal(name)
                return False
            self._held[name] = anew
        self._lost_since = None
        return True

    def release(self) -> None:
        """Give all back."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()


def executor_place(executor_id: str) -> str:
    """Name of the lock that says that an executor lives."""
    return f"executor {executor_id}"


def _refusal(name: str) -> WorkerRefused:
    if name == SENDER:
        sentence = "Another process already sends from this SQLite database. Several senders need PostgreSQL."
        return WorkerRefused("engine.sender-taken", sentence)
    sentence = "A process with this executor id is running. Stop it first, or give this one another role."
    return WorkerRefused("engine.executor-taken", sentence)
