"""Where rows have come to wait, told as soon as they are committed.

SQLite is asked whether anybody has committed since, which costs next to nothing, and then in which queues
rows wait. A server is asked nothing: who submits a row says so on a channel, in the same transaction
(``NOTIFY``), and the connection of who listens gets it when that commits.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, cast

import sqlalchemy as sa

from service.backlog.database import connect

_LISTEN_SECONDS: Final = 0.02
_LISTEN_AT_REST_SECONDS: Final = 0.1  # waking costs a fifth of a millisecond: at the other pace 1 % of a core
_AT_REST_AFTER_SECONDS: Final = 20.0  # longer than most wait for a CT's last image, which has rung by coming
_ECHO_LISTENS: Final = 5  # a row's end is committed a moment before its place is free
_WAITING: Final = "select distinct queue_name from workflow_status where status = 'ENQUEUED'"

_CHANNEL: Final = "delineate_rows"
_SERVER_WAIT_SECONDS: Final = 1.0


def tell_at_commit(conn: sa.Connection, queue: str) -> None:
    """Tell those who listen, once the caller's transaction commits, that a row waits in ``queue``."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("select pg_notify(:channel, :queue)"), {"channel": _CHANNEL, "queue": queue})


def of_file(file: Path, stop: threading.Event) -> Iterator[Collection[str]]:
    """Queues of a SQLite database in which rows wait, at every commit of another connection and once more.

    Ends when the database is away, or with ``stop``.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(file, isolation_level=None)) as connection:
        known, echo_in, rung_at = None, -1, time.monotonic()
        at_rest = False
        while not stop.wait(_LISTEN_AT_REST_SECONDS if at_rest else _LISTEN_SECONDS):
            (version,) = connection.execute("pragma data_version").fetchone()
            echo_in -= 1
            if version != known:
                known, echo_in, rung_at = version, _ECHO_LISTENS, time.monotonic()
            if echo_in in (0, _ECHO_LISTENS):
                yield [queue for (queue,) in connection.execute(_WAITING)]
            at_rest = time.monotonic() - rung_at > _AT_REST_AFTER_SECONDS


def of_server(database_url: str, stop: threading.Event) -> Iterator[Collection[str]]:
    """Queues of a PostgreSQL database that :func:`tell_at_commit` names.

    Ends when the server is away, or with ``stop``.
    """
    import psycopg  # where the database is a file nobody else needs it

    engine = connect(database_url, pooled=False)
    with suppress(sa.exc.SQLAlchemyError, psycopg.Error), engine.connect() as conn:
        conn.execution_options(isolation_level="AUTOCOMMIT")
        conn.execute(sa.text(f"listen {_CHANNEL}"))
        server = cast("psycopg.Connection", conn.connection.driver_connection)
        while not stop.is_set():
            yield {each.payload for each in server.notifies(timeout=_SERVER_WAIT_SECONDS, stop_after=1)}
