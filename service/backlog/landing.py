"""Where instances land: files whose names are on the disk already before anything is in them.

To make a new file durable the disk must be waited for twice, for the file and for its folder. Here files
are made in advance, many at a time, so that an instance is waited for once: it is written into one of them,
flushed, and gets its place in its series' folder as a second name. Once a number of those second names are
flushed, together, the first ones are given up. At every moment an acknowledged instance has a name that
survives a loss of power.

A landed file says in its preamble where it belongs and what its checksum is. After a crash those that are
whole get their place, and those that are not, which nobody was ever told of, are deleted.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from service.log import EventLog

Data = bytes | bytearray | memoryview

BATCH: Final = 32
"""Files that are made, and second names that are flushed, at a time."""

PREAMBLE_BYTES: Final = 128
_PREFIX: Final = b"DICM"
_MARK: Final = struct.Struct("<8sQL16s16s")  # magic, bytes after the preamble, their CRC-32, series, instance
_MAGIC: Final = b"landed01"
_SUFFIX: Final = ".landing"
_LOCK: Final = ".lock"
_PIECES_A_WRITE: Final = 512  # Linux takes 1024
_READ_BYTES: Final = 1 << 20

_log = EventLog("spool")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance belongs: the names of its series' folder and of its file there, 32 hex digits."""

    series: str
    instance: str

    def below(self, incoming: Path) -> Path:
        """Its file."""
        return incoming / self.series / f"{self.instance}.dcm"


class Landing:
    """The landing of one process; locked as long as that lives. Its methods may be called from any thread.

    Args:
        folder: of the landings of all processes.
        incoming: where the series are.
    """

    def __init__(self, folder: Path, incoming: Path) -> None:
        self._folder = folder
        self._incoming = incoming
        self._lock = threading.Lock()
        self._own = folder / uuid4().hex
        self._descriptors: list[int] = []
        self._numbers = itertools.count()
        self._free: list[Path] = []
        self._named_twice: list[tuple[Path, Path]] = []

    def open(self) -> None:
        """Make this process's landing and lock it.

        Raises:
            OSError: the file system does not lock, or takes nothing.
        """
        new = self._folder / f".{self._own.name}"  # not looked at by others until it is locked
        new.mkdir(parents=True, mode=0o700)
        lock = os.open(new / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._descriptors = [lock, os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._leave(new)
            raise
        new.rename(self._own)
        flush_folder(self._folder)

    def land(self, place: Place, parts: Sequence[Data]) -> Path | None:
        """Write a Part 10 file; when this returns it survives a loss of power. None if it is no such file.

        Raises:
            OSError: the disk does not take it.
        """
        first = memoryview(parts[0]).cast("B") if parts else memoryview(b"")
        if bytes(first[PREAMBLE_BYTES : PREAMBLE_BYTES + len(_PREFIX)]) != _PREFIX:
            return None
        content = [first[PREAMBLE_BYTES:], *parts[1:]]
        checksum, length = 0, 0
        for part in content:
            checksum, length = zlib.crc32(part, checksum), length + len(part)
        mark = _MARK.pack(
            _MAGIC, length, checksum, bytes.fromhex(place.series), bytes.fromhex(place.instance)
        )
        file = self._take()
        try:
            _fill(file, [mark.ljust(PREAMBLE_BYTES, b"\0"), *content])
        except OSError:
            file.unlink(missing_ok=True)
            raise
        return file

    def placed(self, file: Path, target: Path) -> None:
        """What landed has its second name."""
        with self._lock:
            self._named_twice.append((file, target.parent))
            is_due = len(self._named_twice) >= BATCH
        if is_due:
            self.settle()

    def settle(self) -> None:
        """Flush the second names there are and give up the first ones.

        Raises:
            OSError: the disk does not take it; the first names stay.
        """
        with self._lock:
            due, self._named_twice = self._named_twice, []
        try:
            _give_up(due)
        except OSError:
            with self._lock:
                self._named_twice += due
            raise

    def take_over(self) -> int:
        """Give their places to instances that processes left here which are no more; how many."""
        count = 0
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder != self._own and not folder.name.startswith("."):
                count += sum(_abandoned(folder, self._incoming))
        if count:
            _log.warning("spool.landed-before", count=count)
        return count

    def close(self) -> None:
        """Settle, and leave nothing behind."""
        self.settle()
        with self._lock:
            for file in self._free:
                file.unlink(missing_ok=True)
            self._free.clear()
            self._leave(self._own)

    def _leave(self, folder: Path) -> None:
        with suppress(OSError):
            (folder / _LOCK).unlink()
            folder.rmdir()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _take(self) -> Path:
        with self._lock:
            if not self._free:
                for _ in range(BATCH):
                    file = self._own / f"{next(self._numbers)}{_SUFFIX}"
                    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                    self._free.append(file)
                os.fsync(self._descriptors[-1])
            return self._free.pop()


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, parts: Sequence[Data]) -> None:
    """Write pieces one after the other, with few calls."""
    for start in range(0, len(parts), _PIECES_A_WRITE):
        pieces = [memoryview(part).cast("B") for part in parts[start : start + _PIECES_A_WRITE]]
        while pieces:
            written = os.writev(descriptor, pieces)
            while pieces and written >= len(pieces[0]):
                written -= len(pieces.pop(0))
            if pieces:
                pieces[0] = pieces[0][written:]


def _fill(file: Path, parts: Sequence[Data]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(descriptor, parts)
        os.fdatasync(descriptor)  # its length too; only the time of its last change may be lost
    finally:
        os.close(descriptor)


def _give_up(named_twice: Sequence[tuple[Path, Path]]) -> None:
    for folder in {folder for _, folder in named_twice}:
        with suppress(FileNotFoundError):  # purged with all that was in it
            flush_folder(folder)
    for file, _ in named_twice:
        file.unlink(missing_ok=True)


def _abandoned(folder: Path, incoming: Path) -> Iterator[bool]:
    """True for each file of a dead process that was given its place only now."""
    lock = folder / _LOCK
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for file in folder.glob(f"*{_SUFFIX}"):
            place = _whole(file)
            if place is not None:
                yield _put(file, place.below(incoming))
            file.unlink()
        lock.unlink()
        folder.rmdir()
    except BlockingIOError:  # its process lives
        return
    finally:
        os.close(descriptor)


def _put(file: Path, target: Path) -> bool:
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flush_folder(target.parent.parent)
    is_new = not target.exists()
    if is_new:
        os.link(file, target)
    flush_folder(target.parent)
    return is_new


def _whole(file: Path) -> Place | None:
    """Where a landed file belongs; None if it was not written to its end."""
    with file.open("rb") as stream:
        preamble = stream.read(PREAMBLE_BYTES)
        if len(preamble) < PREAMBLE_BYTES:
            return None
        magic, length, checksum, series, instance = _MARK.unpack_from(preamble)
        if magic != _MAGIC:
            return None
        found, left = 0, length
        while left > 0 and (piece := stream.read(min(left, _READ_BYTES))):
            found, left = zlib.crc32(piece, found), left - len(piece)
        if left or found != checksum or stream.read(1):
            return None
    return Place(series.hex(), instance.hex())
