"""One database for the ledger and the engine: a SQLite file, or PostgreSQL by its URL.

Every change is one transaction. On SQLite it begins with the write lock (``BEGIN IMMEDIATE``), so that what
was read inside it is still true when it commits; the file is in WAL mode and every commit reaches the disk
(``synchronous=FULL``).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event as sa_event

from service.backlog import ledger_tables as tables
from service.backlog.migrations import bring_up
from service.errors import NodeError

_BUSY_SECONDS: Final = 30.0
_KEEPALIVE: Final = {
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # ms: what was sent and is not acknowledged by then, keepalives do not cover
    "connect_timeout": "10",
}
_SESSION: Final = (  # and the server of its client: one that is frozen or cut off must not keep rows locked
    "-c idle_in_transaction_session_timeout=30000 -c tcp_keepalives_idle=15 "
    "-c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000"
)
_MIGRATION_LOCK: Final = 0x64656C69  # any constant: PostgreSQL's lock that lets one process migrate at a time


class LedgerRefused(NodeError):
    """The ledger holds no such thing, or it may not be changed in that way."""


def sqlite_file(database_url: str) -> Path | None:
    """The file of a SQLite URL, None for a server."""
    url = sa.make_url(database_url)
    if url.get_backend_name() != "sqlite":
        return None
    return Path(url.database or "")


def server_url(database_url: str) -> str:
    """The URL with what makes a connection notice that its server is gone; for a library that takes a URL."""
    if sqlite_file(database_url) is not None:
        return database_url
    url = sa.make_url(database_url)
    return url.update_query_dict(_KEEPALIVE).render_as_string(hide_password=False)


def connect(database_url: str, *, pooled: bool = True) -> sa.Engine:
    """Connections with the settings that durability needs, in a pool or each on its own.

    Errors name the statement and never its values, which may be a patient's.
    """
    options: dict[str, Any] = {"json_serializer": _json, "hide_parameters": True}
    if not pooled:
        options["poolclass"] = sa.NullPool
    if sqlite_file(database_url) is None:
        url = sa.make_url(database_url).set(drivername="postgresql+psycopg")
        arguments = {**_KEEPALIVE, "options": _SESSION}
        return sa.create_engine(url, pool_pre_ping=True, connect_args=arguments, **options)
    engine = sa.create_engine(database_url, connect_args={"timeout": _BUSY_SECONDS}, **options)
    sa_event.listen(engine, "connect", _prepare_sqlite)
    sa_event.listen(engine, "begin", _begin_sqlite)
    return engine


def use_write_ahead_log(file: Path) -> None:
    """Set WAL mode, which stays with the file; the engine's own connections then use it too.

    The file is never opened here but to create it: closing any descriptor of a file drops all locks that this
    process has on it (fcntl(2)), those of its SQLite connections too. The next process to close its last
    connection would then take itself for the last of all and delete the log that we go on writing to.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with suppress(FileExistsError):
        os.close(os.open(file, flags, 0o600))  # its log gets that mode too
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, see _begin_sqlite
    connection.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")
    for pragma in (
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


class Database:
    """Connections to the ledger's tables; :class:`service.backlog.ledger.Ledger` builds on it.

    ``storage`` is the node's storage folder. Paths under it are kept relative, so that the folder may move or
    be mounted elsewhere; it is needed to read such paths. On SQLite it is the file's folder unless told
    otherwise.
    """

    def __init__(self, database_url: str, storage: Path | None = None) -> None:
        file = sqlite_file(database_url)
        if storage is None and file is not None:
            storage = file.parent
        self.database_url = database_url
        self._storage = storage.absolute() if storage is not None else None
        self._engine = connect(database_url)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def check(self) -> None:
        """Make sure that the tables are there and of this program's version, changing nothing.

        Raises:
            LedgerRefused: they are not.
        """
        file = sqlite_file(self.database_url)
        version = None
        if file is None or file.is_file():
            with self.reading() as conn:
                if sa.inspect(conn).has_table(tables.ledger_version.name):
                    version = conn.execute(sa.select(tables.ledger_version.c.version)).scalar()
        if version is not None and version > tables.SCHEMA_VERSION:
            newer = f"The database is of version {version}, this program knows {tables.SCHEMA_VERSION}."
            raise LedgerRefused("ledger.newer", f"{newer} Use the newer program, which has changed it.")
        if version != tables.SCHEMA_VERSION:
            sentence = (
                "The database is absent or of another version. Start the node or run `delineate migrate`."
            )
            raise LedgerRefused("ledger.not-migrated", sentence)

    def migrate(self) -> None:
        """Create the tables or bring them up to date; several processes may do so at once.

        Raises:
            LedgerRefused: a newer version of the program has already changed them.
        """
        file = sqlite_file(self.database_url)
        if file is not None:
            use_write_ahead_log(file)
        with self.begin() as conn:
            if file is None:
                conn.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            tables.metadata.create_all(conn)
            found = conn.execute(sa.select(tables.ledger_version.c.version)).scalar()
            if found is not None and found > tables.SCHEMA_VERSION:
                code, newer = (
                    "ledger.newer",
                    f"The database is of version {found}, this program knows {tables.SCHEMA_VERSION}.",
                )
                raise LedgerRefused(
                    code, f"{newer} Install the newer program again or restore the backup made before it."
                )
            bring_up(conn, found)

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: commits at the end of the block, or nothing of it happened."""
        with self._engine.begin() as conn:
            yield conn

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads and keeps no writer waiting."""
        with self._engine.connect() as conn:
            conn.execution_options(reading=True)
            with conn.begin():
                yield conn

    @contextmanager
    def _joined(self, conn: sa.Connection | None) -> Iterator[sa.Connection]:
        """The caller's transaction if there is one, else one that reads."""
        if conn is not None:
            yield conn
            return
        with self.reading() as own:
            yield own

    def _stored(self, path: Path) -> str:
        """A path as it is kept."""
        if self._storage is not None:
            path = path.absolute()
            if path.is_relative_to(self._storage):
                return path.relative_to(self._storage).as_posix()
        return str(path)

    def _found(self, text: str) -> Path:
        """A kept path as it is used."""
        path = Path(text)
        if path.is_absolute():
            return path
        if self._storage is None:
            code = "ledger.storage-unknown"
            raise LedgerRefused(
                code, "The ledger was opened without its storage folder; pass the one of the configuration."
            )
        return self._storage / path


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
