"""Data sets on their way in: in memory while there is room for all of them together, else in a file.

However many associations send however large instances at once, what arrival holds of them in memory stays
below one bound. A data set that would go beyond it goes on in a file of the storage folder that has no name,
so that nothing of it is left whatever happens; once it is whole it is looked at and kept like any other.
"""

from __future__ import annotations

import mmap
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Final

from service.backlog.landing import write_all
from service.errors import SpoolUnavailable

if TYPE_CHECKING:
    from service.backlog.spool import Spool

LARGEST_SHARE: Final = 4
"""One data set takes no more than one such part of the memory: the rest is for the others."""

_WORTH_KEEPING_BYTES: Final = 4096
_OBJECT_BYTES: Final = 256  # of the objects around each piece
_TAIL_BYTES: Final = 1 << 20


class ReceivingMemory:
    """What all associations of a process may hold together, and where the rest goes.

    Args:
        spool: whose folder takes what has no room in memory.
        most_bytes: for all data sets on their way in.
        reserve_bytes: free space in the storage folder under which nothing more is written.
    """

    def __init__(self, spool: Spool, most_bytes: int, reserve_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._spool = spool
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Taken just now."""
        return self._held

    def take(self, count: int) -> bool:
        """Whether there is room for so many bytes more; if so they are taken."""
        with self._lock:
            if self._held + count > self.most_bytes:
                return False
            self._held += count
            return True

    def give_back(self, count: int) -> None:
        """Room for others."""
        with self._lock:
            self._held -= count

    def file(self) -> IO[bytes]:
        """A file without a name.

        Raises:
            OSError: the disk does not take it.
        """
        return tempfile.TemporaryFile(dir=self._spool.incoming.parent, buffering=0)

    def must_fit(self, count: int) -> None:
        """Refuse so many bytes more on the disk if it is nearly full.

        Raises:
            SpoolUnavailable: ``spool.space-low``.
        """
        if self._spool.free_bytes() - count < self._reserve_bytes:
            raise SpoolUnavailable(
                "spool.space-low", "Free space in the storage folder is below disk.reserve_gb."
            )


class DataSetInFlight:
    """The data set of one message, taken piece by piece."""

    def __init__(self, memory: ReceivingMemory) -> None:
        self.length = 0
        """How long it is, whatever was kept of it."""
        self.trouble: SpoolUnavailable | None = None
        """Why the rest of it could not be kept."""
        self._memory = memory
        self._taken = 0
        self._pieces: list[memoryview | bytearray] = []
        self._file: IO[bytes] | None = None

    def add(self, fragment: memoryview, pdu_bytes: int) -> None:
        """Take the next fragment, which lies in a PDU of so many bytes and keeps all of it in memory."""
        self.length += len(fragment)
        if self.trouble is not None:
            return
        if self._file is None and not self._has_taken(fragment, pdu_bytes):
            self._write(self._pieces)
            self._release()
        if self._file is not None or self.trouble is not None:
            self._write([fragment])

    def skip(self, fragment: memoryview) -> None:
        """Count the next fragment and keep nothing, not of those before it either."""
        self.length += len(fragment)
        self.close()

    def parts(self) -> list[memoryview]:
        """All that was kept, in order; valid until :meth:`close`.

        Raises:
            SpoolUnavailable: the disk did not take what had no room in memory.
        """
        if self.trouble is not None:
            raise self.trouble
        if self._file is None or not self.length:
            return [memoryview(piece) for piece in self._pieces]
        return [memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))]

    def close(self) -> None:
        """Forget all of it."""
        self._release()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _has_taken(self, fragment: memoryview, pdu_bytes: int) -> bool:
        """Into memory: a view of the PDU if it fills it, else a copy: no small piece holds a large PDU."""
        copied = len(fragment) < max(_WORTH_KEEPING_BYTES, pdu_bytes // 2)
        wanted = (len(fragment) if copied else pdu_bytes) + _OBJECT_BYTES
        most = self._memory.most_bytes // LARGEST_SHARE
        if self._taken + wanted > most or not self._memory.take(wanted):
            return False
        self._taken += wanted
        last = self._pieces[-1] if self._pieces else None
        if not copied:
            self._pieces.append(fragment)
        elif isinstance(last, bytearray) and len(last) < _TAIL_BYTES:
            last += fragment
        else:
            self._pieces.append(bytearray(fragment))
        return True

    def _write(self, pieces: list[memoryview | bytearray]) -> None:
        try:
            self._memory.must_fit(sum(len(piece) for piece in pieces))
            if self._file is None:
                self._file = self._memory.file()
            write_all(self._file.fileno(), pieces)
        except SpoolUnavailable as trouble:
            self.trouble = trouble
        except OSError:
            sentence = "The storage folder cannot be written. Free space or mend the disk."
            self.trouble = SpoolUnavailable("spool.unavailable", sentence)
        if self.trouble is not None:
            self.close()

    def _release(self) -> None:
        self._memory.give_back(self._taken)
        self._taken, self._pieces = 0, []
