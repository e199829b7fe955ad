"""A copy of a node that goes on working, and a node made from it.

The database is copied first and the files after it. Instances and structure sets are written before the
database speaks of them and never change, so every file that the copied database speaks of is still there to
be copied, and what came since is found in the spool as newly arrived when the copy is started. The other way
round the database would speak of files that nobody has copied. What is purged in between was not under way.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.database import connect, sqlite_file
from service.backlog.spool import write_durably
from service.errors import NodeError

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

MANIFEST: Final = "backup.json"
UNFINISHED: Final = "restore-unfinished"
"""A file in the storage folder for as long as it is being filled; a node does not start beside it."""

_FILES: Final = "storage"
_SQLITE: Final = "database.sqlite"
_DUMP: Final = "database.dump"
_LEFT_OUT: Final = frozenset(
    {"alive", "arrival.port", "compiled", "config.at-start.yaml", "locks", "node.lock", UNFINISHED}
)
"""What a node makes again, and what belongs to processes."""
_TOOL_SECONDS: Final = 6 * 3600.0


class BackupRefused(NodeError):
    """A copy cannot be made, or a node cannot be made from this one."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds: files beside the database, and their bytes."""

    files: int
    bytes: int


def backup(loaded: LoadedSite, folder: Path) -> Copied:
    """Copy the node, running or not, into ``folder``; what an earlier copy left there is used again.

    Raises:
        BackupRefused: the folder lies in the storage folder, or the database cannot be copied.
        OSError: the disk is full or failing; the copy is then unfinished and :func:`restore` says so.
    """
    storage, folder = loaded.storage.resolve(), folder.resolve()
    if folder.is_relative_to(storage):
        raise BackupRefused(
            "backup.inside-storage", "The copy would lie in the storage folder. Name a folder elsewhere."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / MANIFEST).unlink(missing_ok=True)  # until it is written again this is no copy
    database = _copy_database(loaded.database_url, folder)
    copied = _mirror(storage, folder / _FILES, _database_files(loaded.database_url))
    os.sync()
    manifest = {
        "schema_version": tables.SCHEMA_VERSION,
        "database": database,
        "files": copied.files,
        "bytes": copied.bytes,
        "at": time.time(),
    }
    write_durably(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    return copied


def restore(loaded: LoadedSite, folder: Path) -> Copied:
    """Make the node of the configuration from a copy; its storage folder and database must be empty.

    The caller holds the storage folder's lock.

    Raises:
        BackupRefused: the copy is unfinished, of a newer program, for another kind of database, or there is
            something already where it would go.
    """
    manifest = _manifest(folder)
    storage, own = loaded.storage, sqlite_file(loaded.database_url)
    if manifest["database"] != (_SQLITE if own is not None else _DUMP):
        raise BackupRefused(
            "restore.other-database",
            "The copy is of another kind of database than node.database names. Set it to what it was.",
        )
    if _is_used(loaded):
        raise BackupRefused(
            "restore.not-empty",
            "The storage folder or the database holds data already. Move them away, or name an empty folder "
            "in node.storage and an empty database in node.database.",
        )
    (storage / UNFINISHED).touch(mode=0o600)
    copied = _mirror(folder / _FILES, storage, frozenset())
    if own is not None:
        shutil.copyfile(folder / _SQLITE, own)
        own.chmod(0o600)
    else:
        arguments = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
        _postgresql("pg_restore", loaded.database_url, [*arguments, str(folder / _DUMP)])
    os.sync()
    (storage / UNFINISHED).unlink()
    return copied


def refuse_unfinished(storage: Path) -> None:
    """A node must not start on half of a copy: it would take what is there for newly arrived.

    Raises:
        BackupRefused: the storage folder is half filled.
    """
    if (storage / UNFINISHED).exists():
        raise BackupRefused(
            "restore.unfinished",
            "The storage folder was not filled to the end. Empty it and the database, then restore again.",
        )


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="ascii"))
        version = int(manifest["schema_version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BackupRefused(
            "restore.no-backup", "There is no finished copy of a node in this folder. Name one of `backup`."
        ) from None
    if version > tables.SCHEMA_VERSION:
        raise BackupRefused(
            "restore.newer",
            f"The copy is of version {version}, this program knows {tables.SCHEMA_VERSION}. "
            "Install the newer program.",
        )
    return manifest


def _is_used(loaded: LoadedSite) -> bool:
    storage, own = loaded.storage, sqlite_file(loaded.database_url)
    if any(path.is_file() and path.name not in _LEFT_OUT for path in storage.rglob("*")):
        return True
    if own is not None:
        return own.exists()
    engine = connect(loaded.database_url, pooled=False)
    try:
        with engine.connect() as conn:
            return sa.inspect(conn).has_table(tables.ledger_version.name)
    finally:
        engine.dispose()


def _copy_database(url: str, folder: Path) -> str:
    """The name of the copy, which is of one moment."""
    own = sqlite_file(url)
    if own is None:
        part = folder / f"{_DUMP}.part"
        _postgresql("pg_dump", url, ["--format=custom", "--file", str(part)])
        part.replace(folder / _DUMP)
        return _DUMP
    if not own.is_file():
        raise BackupRefused("backup.no-database", "There is no database yet. Start the node once.")
    part = folder / f"{_SQLITE}.part"
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(own, timeout=30)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)  # in one step: writers go on beside it and are not in it
        target.execute("PRAGMA journal_mode=DELETE")
        (found,) = target.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        raise BackupRefused(
            "backup.damaged", "The database is damaged. Restore the last copy; see what the disk says."
        )
    part.replace(folder / _SQLITE)
    return _SQLITE


def _database_files(url: str) -> frozenset[str]:
    own = sqlite_file(url)
    return frozenset() if own is None else frozenset(own.name + suffix for suffix in ("", "-wal", "-shm"))


def _postgresql(tool: str, url: str, arguments: Sequence[str]) -> None:
    """Run one of PostgreSQL's own tools; the password is in no command line."""
    parsed = sa.make_url(url).set(drivername="postgresql")
    environment = {**os.environ, **({"PGPASSWORD": str(parsed.password)} if parsed.password else {})}
    address = parsed.set(password=None).render_as_string(hide_password=False)
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; the address is the configuration's
            [tool, "--dbname", address, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TOOL_SECONDS,
        )
    except FileNotFoundError:
        sentence = f"{tool} is not installed. Install PostgreSQL's client programs, of the server's version."
        raise BackupRefused("backup.tool-missing", sentence) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackupRefused(
            "backup.tool-failed", f"{tool} ended with: {said[-1] if said else done.returncode}"
        )


def _mirror(source: Path, target: Path, left_out: frozenset[str]) -> Copied:
    """Make ``target`` hold what ``source`` holds; a file of the same size and time is there already."""
    count = size = 0
    kept = set()
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in _files(source, left_out):
        place = target / file.relative_to(source)
        try:
            status = file.stat()
            if not _is_same(place, status):
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                part = place.with_name(f"{place.name}.copying")
                shutil.copy2(file, part)
                part.replace(place)
        except FileNotFoundError:  # purged, or given its name meanwhile
            if file.exists():
                raise
            continue
        kept.add(place)
        count, size = count + 1, size + status.st_size
    for place in _files(target, frozenset()):
        if place not in kept and place.name not in _LEFT_OUT:  # what was purged must not live on in a copy
            place.unlink()
    return Copied(count, size)


def _files(folder: Path, left_out: frozenset[str]) -> Iterator[Path]:
    """Every file below, without those that are being written and those of a running process."""
    omitted = left_out | _LEFT_OUT
    for where, folders, names in os.walk(folder):
        if Path(where) == folder:
            folders[:] = [name for name in folders if name not in omitted]
            names = [name for name in names if name not in omitted]
        yield from (Path(where) / name for name in names if not name.endswith(".part"))


def _is_same(place: Path, status: os.stat_result) -> bool:
    with suppress(FileNotFoundError):
        found = place.stat()
        return (found.st_size, found.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    return False
