"""Rings where a row has come to wait, so that it is taken at once and not at the engine's next look.

The engine looks into its queues now and then. Looking often enough to be quick costs a good part of a core,
and each look takes locks that others may be waiting for; so at once it looks only where a row is said to wait
(:mod:`service.backlog.engine.notices`). Where no notice comes, its own looks remain.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from dbos import _dbos

if TYPE_CHECKING:
    from dbos import DBOS

Notices = Callable[[threading.Event], Iterator[Collection[str]]]
"""Given what ends it, goes on naming queues in which rows wait; ends too when the database is away."""

_AWAY_SECONDS: Final = 1.0
_ECHO_SECONDS: Final = 0.1  # from the end of a handler until its end is committed and its place is free
_QUEUE_THREAD: Final = "queue-worker-"  # how the engine calls the threads that look


class Bell:
    """Ends the waiting of the engine's threads that look into ``queues``.

    Args:
        notices: of the database.
        queues: whose threads are woken.
        stop: ends the listening.
    """

    def __init__(self, notices: Notices, queues: Collection[str], stop: threading.Event) -> None:
        self._notices = notices
        self._queues = frozenset(queues)
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
        """Ring wherever the notices say; the body of a thread."""
        while not self._stop.is_set():
            for queues in self._notices(self._stop):
                self.ring(queues)
            self._stop.wait(_AWAY_SECONDS)  # the engine's own looks go on meanwhile
        self.ring(self._queues)

    def ring(self, queues: Collection[str]) -> None:
        """Let the threads of these look, now or as soon as they wait again."""
        with self._rung:
            self._due |= self._queues.intersection(queues)
            self._rung.notify_all()

    def ring_soon(self, queue: str) -> None:
        """The same when a row that ends now has made room for the next."""
        timer = threading.Timer(_ECHO_SECONDS, self.ring, [[queue]])
        timer.daemon = True
        timer.start()

    def wait(self, stop_event: threading.Event, timeout: float) -> bool:
        """Wait for the ring, the engine's stop or the timeout; whether it is the stop."""
        queue = threading.current_thread().name.removeprefix(_QUEUE_THREAD)
        if queue not in self._queues:
            return stop_event.wait(timeout)
        deadline = time.monotonic() + timeout
        with self._rung:
            while queue not in self._due and not stop_event.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._rung.wait(min(left, _AWAY_SECONDS))
            self._due.discard(queue)
        return stop_event.is_set()


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
