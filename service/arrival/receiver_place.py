"""Of all hosts that share a database one receives at a time; the others stand by and take over if it dies.

Completeness is known to the process that receives: two that receive parts of one series would each take its
part for the whole. On SQLite there is one host and its lock on the storage folder suffices.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from service.backlog.database import sqlite_file
from service.backlog.liveness import locks_of
from service.log import EventLog

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from service.backlog.liveness import Lock

RECEIVER: Final = "the receiver of this database"
_LOOK_SECONDS: Final = 1.0

_log = EventLog("arrival")


class ReceiverPlace:
    """The place of the process that receives.

    Args:
        database_url: that the hosts share.
        lock_folder: of this storage folder.
        silent_seconds: a receiver that has asked the database nothing for so long counts as dead.
        standing_by: called if we have to wait.
    """

    def __init__(
        self, database_url: str, lock_folder: Path, silent_seconds: float, standing_by: Callable[[], None]
    ) -> None:
        self._standing_by = standing_by
        self._is_shared = sqlite_file(database_url) is None
        self._locks = locks_of(database_url, lock_folder, silent_seconds) if self._is_shared else None
        self._lock: Lock | None = None
        self._next = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may stand by."""
        return self._is_shared

    def wait(self, stop: threading.Event) -> bool:
        """Stand by until the place is ours; False if the process is to stop first.

        Raises:
            sqlalchemy.exc.OperationalError: the database is not there when we begin.
        """
        if self._locks is None:
            return True
        self._lock = self._locks.take(RECEIVER)
        if self._lock is None:
            _log.info("arrival.standing-by")
            self._standing_by()
        while self._lock is None:
            if stop.wait(_LOOK_SECONDS):
                return False
            try:
                self._lock = self._locks.take(RECEIVER)
            except SQLAlchemyError as error:
                _log.failure("arrival.database-away", error)
        return True

    def is_ours(self) -> bool:
        """Whether no other host receives now; to be asked often: a receiver that does not ask counts as dead.

        While the database is away nobody can take the place, and what arrives lies in the spool: we go on.
        """
        at = time.monotonic()
        if self._locks is None or self._lock is None or at < self._next:
            return True
        self._next = at + _LOOK_SECONDS
        if self._lock.held():
            return True
        try:
            anew = self._locks.take(RECEIVER)
        except SQLAlchemyError:
            return True
        if anew is None:
            return False
        self._lock.release()
        self._lock = anew
        return True

    def leave(self) -> None:
        """Let another receive."""
        if self._lock is not None:
            self._lock.release()
        if self._locks is not None:
            self._locks.close()
