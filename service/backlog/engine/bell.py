"""Rings when the SQLite database has changed, so that a new row is taken at once and not at the next look.

The engine looks into its queues now and then. Looking often enough to be quick costs a good part of a core;
asking SQLite whether anybody has committed since costs next to nothing, and so does asking in which queues
rows wait: only those are looked into, since each look takes a write lock that others may be waiting for. A
server says nothing of that kind without a connection that listens: there the engine's own looks remain.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dbos import _dbos

if TYPE_CHECKING:
    from dbos import DBOS

_LISTEN_SECONDS: Final = 0.02
_LISTEN_AT_REST_SECONDS: Final = 0.1  # waking costs a fifth of a millisecond: at the other pace 1 % of a core
_AT_REST_AFTER_SECONDS: Final = 20.0  # longer than most wait for a CT's last image, which has rung by coming
_AWAY_SECONDS: Final = 1.0
_ECHO_LISTENS: Final = 5  # a row's end is committed a moment before its place is free
_WAITING: Final = "select distinct queue_name from workflow_status where status = 'ENQUEUED'"
_QUEUE_THREAD: Final = "queue-worker-"  # how the engine calls the threads that look


class Bell:
    """Ends the waiting of the engine's threads that look into ``queues``.

    Args:
        file: the database.
        queues: whose threads are woken.
        stop: ends the listening.
    """

    def __init__(self, file: Path, queues: Collection[str], stop: threading.Event) -> None:
        self._file = file
        self._names = frozenset(f"{_QUEUE_THREAD}{queue}" for queue in queues)
        self._stop = stop
        self._rung = threading.Condition()
        self._due: set[str] = set()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """What the engine starts inside listens to the bell."""
        engines_own = _dbos.queue_thread  # type: ignore[attr-defined]

        def with_bell(stop_event: threading.Event, dbos: DBOS) -> None:
            engines_own(_Woken(stop_event, self), dbos)

        _dbos.queue_thread = with_bell  # type: ignore[attr-defined]
        try:
            yield
        finally:
            _dbos.queue_thread = engines_own  # type: ignore[attr-defined]

    def listen(self) -> None:
        """Ring where rows wait, at every commit of another connection and once more; the body of a thread."""
        while not self._stop.is_set():
            with suppress(sqlite3.Error):  # the engine's own looks go on meanwhile
                self._listen()
            self._stop.wait(_AWAY_SECONDS)
        self.ring(self._names)

    def ring(self, threads: Collection[str]) -> None:
        """Let these look, now or as soon as they wait again."""
        with self._rung:
            self._due |= self._names.intersection(threads)
            self._rung.notify_all()

    def wait(self, stop_event: threading.Event, timeout: float) -> bool:
        """Wait for the ring, the engine's stop or the timeout; whether it is the stop."""
        name = threading.current_thread().name
        if name not in self._names:
            return stop_event.wait(timeout)
        deadline = time.monotonic() + timeout
        with self._rung:
            while name not in self._due and not stop_event.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._rung.wait(min(left, _AWAY_SECONDS))
            self._due.discard(name)
        return stop_event.is_set()

    def _listen(self) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            known, echo_in, rung_at = None, -1, time.monotonic()
            at_rest = False
            while not self._stop.wait(_LISTEN_AT_REST_SECONDS if at_rest else _LISTEN_SECONDS):
                (version,) = connection.execute("pragma data_version").fetchone()
                echo_in -= 1
                if version != known:
                    known, echo_in, rung_at = version, _ECHO_LISTENS, time.monotonic()
                if echo_in in (0, _ECHO_LISTENS):
                    self.ring([f"{_QUEUE_THREAD}{queue}" for (queue,) in connection.execute(_WAITING)])
                at_rest = time.monotonic() - rung_at > _AT_REST_AFTER_SECONDS


class _Woken(threading.Event):
    """The engine's stop event as its threads see it: waiting for it ends when the bell rings, too."""

    def __init__(self, engines_own: threading.Event, bell: Bell) -> None:
        super().__init__()
        self._engines_own = engines_own
        self._bell = bell

    def is_set(self) -> bool:
        return self._engines_own.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return self._engines_own.wait()
        return self._bell.wait(self._engines_own, timeout)
