"""Giving back the rows of processes that died and whose executor id does not return."""

from __future__ import annotations

from typing import Final

from dbos import DBOS

from service.backlog.engine.client import EngineClient
from service.backlog.engine.places import executor_place
from service.backlog.liveness import Locks
from service.log import EventLog

_log = EventLog("engine")
_EVERY_SECONDS: Final = 2.0


class Reaper:
    """Looks for executors whose lock is free although they have rows, and gives those rows back.

    The lock is held while that happens, so that the executor cannot come back in the middle of it.
    """

    def __init__(self, client: EngineClient, locks: Locks, own_id: str, after_seconds: float) -> None:
        self._client = client
        self._locks = locks
        self._own_id = own_id
        self._after_seconds = after_seconds
        self._free_since: dict[str, float] = {}
        self._next = 0.0

    def tick(self, at: float) -> int:
        """Look, if it is time to, at ``at`` seconds of a monotonic clock; how many were reaped."""
        if at < self._next:
            return 0
        self._next = at + min(_EVERY_SECONDS, self._after_seconds)
        suspects = self._client.pending_executors() - {self._own_id}
        self._free_since = {name: since for name, since in self._free_since.items() if name in suspects}
        reaped = 0
        for executor_id in sorted(suspects):
            lock = self._locks.take(executor_place(executor_id))
            if lock is None:
                self._free_since.pop(executor_id, None)
                continue
            try:
                if at - self._free_since.setdefault(executor_id, at) >= self._after_seconds:
                    _give_back(executor_id)
                    del self._free_since[executor_id]
                    reaped += 1
            finally:
                lock.release()
        return reaped


def _give_back(executor_id: str) -> None:
    """Put the rows that an executor was running back into their queues; counts as a crash of each.

    Private in DBOS 3.4, hence the pinned version and a test of its own: the public way, resuming, would set
    the count of crashes to zero, and a CT that kills its process would do so for ever.
    """
    handles = DBOS._recover_pending_workflows([executor_id])
    _log.warning("engine.reaped", role=executor_id, count=len(handles))
