"""What a run over a list has done, kept so that it goes on after whatever ended it: rows and nothing of them.

One line of JSON for each row that is done: its number and the ledger's numbers of its series. A line that was
cut off by a crash counts for nothing; the row is then looked at again, and the ledger knows what is here.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from service.errors import NodeError, SpoolUnavailable

if TYPE_CHECKING:
    from types import TracebackType


class Journal:
    """The journal of one list; held by one run at a time.

    Args:
        storage: the node's storage folder.
        name: of the list, by what it holds and how it is pulled.

    Raises:
        NodeError: another run is at the same list.
        SpoolUnavailable: the storage folder cannot be written.
    """

    def __init__(self, storage: Path, name: str) -> None:
        folder = storage / "pulls"
        self.done: dict[int, tuple[int, ...]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(folder / f"{name}.jsonl", flags, 0o600)
        except OSError as error:
            sentence = f"The journal cannot be written ({os.strerror(error.errno or 0)}). Look at the disk."
            raise SpoolUnavailable("pull.no-journal", sentence) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            sentence = "Another run is at this list just now. Wait for it, or end it and run this again."
            raise NodeError("pull.under-way", sentence) from None
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def finish(self, row: int, series: tuple[int, ...]) -> None:
        """A row is done; it is on the disk when this returns.

        Raises:
            SpoolUnavailable: the disk does not take it.
        """
        self.done[row] = series
        line = json.dumps({"row": row, "series": series}) + "\n"
        try:
            os.write(self._descriptor, line.encode())
            os.fsync(self._descriptor)
        except OSError as error:
            sentence = f"The journal cannot be written ({os.strerror(error.errno or 0)}). Look at the disk."
            raise SpoolUnavailable("pull.no-journal", sentence) from None

    def _read(self) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            text = file.read()
        for line in text.split(b"\n"):
            try:
                found = json.loads(line)
                self.done[int(found["row"])] = tuple(int(each) for each in found["series"])
            except (ValueError, TypeError, KeyError):
                continue
        if text and not text.endswith(b"\n"):  # cut off: what follows begins a line of its own
            os.write(self._descriptor, b"\n")
