"""Locks that die with their process: how the living are told from the dead.

On PostgreSQL a lock is an advisory lock of a connection of its own; the server frees it when the connection
ends, with keepalives within half a minute of a machine losing power. On SQLite it is ``flock`` on a file; the
kernel frees it. Files are opened so that children do not inherit them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from service.backlog.database import connect, sqlite_file


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


def locks_of(database_url: str, lock_folder: Path) -> Locks:
    """The locks that belong to a database."""
    if sqlite_file(database_url) is None:
        return ServerLocks(database_url)
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
    """Advisory locks of a PostgreSQL server; each holds a connection."""

    def __init__(self, database_url: str) -> None:
        self._engine = connect(database_url, pooled=False)

    def take(self, name: str) -> Lock | None:
        """The lock, or None if a living process holds it.

        Raises:
            sqlalchemy.exc.OperationalError: the server is not there.
        """
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            query = sa.text("select pg_try_advisory_lock(hashtextextended(:name, 77))")
            taken = connection.execute(query, {"name": f"delineate:{name}"}).scalar()
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
