"""Locks that die with their process: how the living are told from the dead.

On PostgreSQL a lock is an advisory lock of a connection of its own; the server frees it when the connection
ends. That alone would not do between machines: the connection of a process that is stopped, or whose cable is
out, may live on for hours. Whoever holds a lock therefore asks the server something every few seconds
(:meth:`Lock.held`), and whoever wants it ends the connection of a holder that has asked nothing for too
long, by the server's clock. A holder that was only frozen finds that out when it next asks. On SQLite it is
``flock`` on a file; the kernel frees it. Files are opened so that children do not inherit them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa

from service.backlog.database import connect, sqlite_file
from service.log import EventLog

_log = EventLog("engine")

_END_THE_SILENT: Final = sa.text(
    "select pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a on a.pid = l.pid "
    "where l.locktype = 'advisory' and l.granted and l.objsubid = 1 "
    "and l.database = (select oid from pg_database where datname = current_database()) "
    "and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(:name, 77) "
    "and a.state = 'idle' and a.state_change < clock_timestamp() - make_interval(secs => :seconds)"
)
"""A lock's key stands in pg_locks in two halves. A role may end the sessions of its own name."""


class Lock(Protocol):
    """A lock that is held."""

    def held(self) -> bool:
        """Whether it is still ours; a database that restarted has forgotten it."""

    def release(self) -> None:
        """Give it back."""


class Locks(Protocol):
    """Where locks are taken, by name."""

    def take(self, name: str) -> Lock | None:
        """The lock, or None if a living process holds it."""

    def close(self) -> None:
        """Give up what is needed to take further locks; those held stay."""


def locks_of(database_url: str, lock_folder: Path, silent_seconds: float | None = None) -> Locks:
    """The locks that belong to a database; see :class:`ServerLocks` for ``silent_seconds``."""
    if sqlite_file(database_url) is None:
        return ServerLocks(database_url, silent_seconds)
    return FileLocks(lock_folder)


class FileLocks:
    """``flock`` on files of one folder, on a local disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder

    def take(self, name: str) -> Lock | None:
        """The lock, or None if a living process holds it."""
        file = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{name} {os.getpid()}\n".encode(), 0)
        return _FileLock(descriptor)

    def close(self) -> None:
        """Nothing to give up."""


class _FileLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def held(self) -> bool:
        return self._descriptor >= 0

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class ServerLocks:
    """Advisory locks of a PostgreSQL server; each holds a connection.

    Args:
        database_url: of the server.
        silent_seconds: a holder whose connection has asked nothing for so long counts as dead: who tries to
            take its lock ends that connection, and finds the lock free at the next try. None ends nobody's.
    """

    def __init__(self, database_url: str, silent_seconds: float | None = None) -> None:
        self._engine = connect(database_url, pooled=False)
        self._silent_seconds = silent_seconds

    def take(self, name: str) -> Lock | None:
        """The lock, or None if a living process holds it.

        Raises:
            sqlalchemy.exc.OperationalError: the server is not there.
        """
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            query = sa.text("select pg_try_advisory_lock(hashtextextended(:name, 77))")
            taken = connection.execute(query, {"name": f"delineate:{name}"}).scalar()
            if not taken and self._silent_seconds is not None:
                ended = {"name": f"delineate:{name}", "seconds": self._silent_seconds}
                if connection.execute(_END_THE_SILENT, ended).first() is not None:
                    _log.warning("liveness.silent-ended", seconds=self._silent_seconds)
        except sa.exc.SQLAlchemyError:
            connection.close()
            raise
        if taken:
            return _ServerLock(connection)
        connection.close()
        return None

    def close(self) -> None:
        """Close what is not in use."""
        self._engine.dispose()


class _ServerLock:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def held(self) -> bool:
        try:
            self._connection.execute(sa.text("select 1"))
        except sa.exc.SQLAlchemyError:
            return False
        return True

    def release(self) -> None:
        self._connection.close()  # not pooled: this ends the session and with it the lock
