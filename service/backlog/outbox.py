"""Messages to people as files until they are sent: neither a crash nor a server that is away loses one."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from service.backlog.spool import write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Content = dict[str, str | None]


class Outbox:
    """The unsent messages of one process, in a folder of its own below ``<storage>/notices``.

    The folder is locked as long as its process lives. What a dead process left is taken over by the next.
    """

    def __init__(self, storage: Path) -> None:
        self._notices = storage / "notices"
        self._own: Path | None = None
        self._lock = -1

    def keep(self, content: Mapping[str, str | None]) -> Path:
        """A file that holds the message until :meth:`done`.

        Raises:
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        file = self._folder() / f"{time.time_ns():020d}-{uuid4().hex[:8]}.json"
        write_durably(file, json.dumps(dict(content), ensure_ascii=False).encode())
        return file

    def done(self, file: Path) -> None:
        """The message was sent, or is given up."""
        file.unlink(missing_ok=True)

    def taken_over(self) -> list[tuple[Path, Content]]:
        """The messages that processes left which are no more, oldest first; they are ours now."""
        if not self._notices.is_dir():
            return []
        own = self._folder()
        for folder in self._notices.iterdir():
            if folder != own and not folder.name.startswith("."):
                _take_over(folder, own)
        found = []
        for file in sorted(own.glob("*.json")):
            with suppress(ValueError, OSError):
                found.append((file, json.loads(file.read_bytes())))
        return found

    def close(self) -> None:
        """Leave what is unsent to the next process."""
        if self._own is not None:
            with suppress(OSError):
                self._own.rmdir()  # unless something is left in it
            os.close(self._lock)
            self._own = None

    def _folder(self) -> Path:
        if self._own is None:
            name = uuid4().hex
            new = self._notices / f".{name}"  # not looked at by others until it is locked
            new.mkdir(parents=True, mode=0o700)
            self._lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._own = new.rename(self._notices / name)
        return self._own


def _take_over(folder: Path, own: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for file in folder.glob("*.json"):
            file.rename(own / file.name)
        folder.rmdir()
    except OSError:  # its process lives, or another has just taken it over
        return
    finally:
        os.close(descriptor)
