"""A PostgreSQL cluster of the tests' own, in a temporary folder; never the system's.

As root it runs under the user ``postgres``, since the server refuses root; else as oneself.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_VERSIONS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_USER = "postgres"


class Unavailable(Exception):
    """No server can be started here; the text says why."""


class Cluster:
    """A running server with trust authentication on loopback, or on an address that only tests see.

    Args:
        address: that it listens on.
        parent: its data are below this folder; everybody must be able to look into it.
        durable: what is committed reaches the disk, as it must where power is cut.
        environment: further variables of the server.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        *,
        parent: Path | None = None,
        durable: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.address = address
        if not _VERSIONS:
            message = "PostgreSQL is not installed (Debian: postgresql)"
            raise Unavailable(message)
        self._bin = _VERSIONS[0]
        self._as_user = {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="delineate-postgresql-", dir=parent))
        if self._as_user:
            shutil.chown(self.folder, _USER, _USER)
        self._durable = "on" if durable else "off"
        self._environment = os.environ | (environment or {})
        self._data = self.folder / "data"
        self._run(
            "initdb", "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        if address != "127.0.0.1":
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {address}/24 trust\n")
        self.port = _free_port()
        self._count = 0
        self.start()

    def start(self) -> None:
        """Start the server, the first time or after :meth:`crash`; returns when it answers."""
        settings = {
            "listen_addresses": self.address,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": self._durable,
            "max_connections": 200,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment,
                preexec_fn=_end_with_parent,
                **self._as_user,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def crash(self) -> None:
        """Kill the server and all its processes at once."""
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        pids = [self.process.pid, *map(int, children.stdout.split())]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        deadline = time.monotonic() + 60
        while not all(map(_has_ended, pids)) and time.monotonic() < deadline:
            time.sleep(0.02)  # the server does not start while one of them still holds its shared memory

    def new_database(self, template: str = "template0") -> str:
        """A fresh database; its SQLAlchemy URL."""
        self._count += 1
        name = f"test_{self._count}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        return self.url(name)

    def empty(self, url: str) -> None:
        """Delete all rows but those that say what was migrated, which queues there are and which version."""
        keep = ("dbos_migrations", "queues", "application_versions", "ledger_version")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            schemas = "schemaname in ('public', 'dbos') and not tablename = any(%s)"
            query = f"select format('%%I.%%I', schemaname, tablename) from pg_tables where {schemas}"
            tables = [name for (name,) in connection.execute(query, [list(keep)]).fetchall()]
            connection.execute(f"truncate {', '.join(tables)} restart identity")

    def url(self, name: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{_USER}@{self.address}:{self.port}/{name}"

    def close(self) -> None:
        """Stop the server and delete everything."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        shutil.rmtree(self.folder)

    def _address(self, name: str) -> str:
        return f"host={self.address} port={self.port} user={_USER} dbname={name}"

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._bin / program, *map(str, arguments)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self._as_user,
        )


@contextmanager
def cluster(
    parent: Path | None = None, *, durable: bool = False, environment: dict[str, str] | None = None
) -> Iterator[Cluster]:
    """A server for the length of the block; see :class:`Cluster`."""
    running = Cluster(parent=parent, durable=durable, environment=environment)
    try:
        yield running
    finally:
        running.close()


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG: the server ends when the tests are killed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
