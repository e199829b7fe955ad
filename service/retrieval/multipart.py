"""Reads a multipart/related answer (RFC 2387, RFC 2046 section 5.1.1), never more than one part at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.message import Message
from typing import Final

_CHUNK_BYTES: Final = 1 << 18
_LONGEST_HEADERS: Final = 1 << 16
_LONGEST_BOUNDARY: Final = 200


class MultipartInvalid(ValueError):
    """The answer is no multipart document, breaks off, or has a part that is too long."""


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names.

    Raises:
        MultipartInvalid: it is not multipart, or names none.
    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_maintype() != "multipart" or not isinstance(boundary, str) or not boundary:
        raise MultipartInvalid
    if len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
        raise MultipartInvalid
    return boundary.encode("ascii")


def parts(read: Callable[[int], bytes], boundary: bytes, most_bytes: int) -> Iterator[bytes]:
    """The body of each part.

    Args:
        read: gives at most so many bytes, none at the end.
        boundary: without its dashes.
        most_bytes: a part may have.

    Raises:
        MultipartInvalid: it breaks off before the closing boundary, or a part is longer.
    """
    stream = _Stream(read)
    delimiter = b"\r\n--" + boundary
    stream.unread(b"\r\n")  # the first delimiter may stand at the very beginning
    stream.until(delimiter, _LONGEST_HEADERS)
    while True:
        if stream.exactly(2) == b"--":
            return
        stream.put_back(2)
        stream.until(b"\r\n", _LONGEST_HEADERS)  # blanks may follow a boundary
        stream.put_back(2)  # a part without headers begins with an empty line
        stream.until(b"\r\n\r\n", _LONGEST_HEADERS)
        yield stream.until(delimiter, most_bytes)


class _Stream:
    """Bytes that come in chunks, looked through for marks."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._buffer = bytearray()
        self._place = 0

    def unread(self, data: bytes) -> None:
        """Let ``data`` come before all else."""
        self._buffer[:0] = data

    def put_back(self, count: int) -> None:
        """Read the last bytes once more."""
        self._place -= count

    def exactly(self, count: int) -> bytes:
        """The next bytes."""
        while len(self._buffer) - self._place < count:
            self._more()
        found = bytes(self._buffer[self._place : self._place + count])
        self._place += count
        return found

    def until(self, mark: bytes, most_bytes: int) -> bytes:
        """What comes before ``mark``, which is passed over."""
        looked = self._place
        while (at := self._buffer.find(mark, looked)) < 0:
            if len(self._buffer) - self._place > most_bytes + len(mark):
                raise MultipartInvalid
            looked = max(self._place, len(self._buffer) - len(mark) + 1)
            self._more()
        if at - self._place > most_bytes:
            raise MultipartInvalid
        found = bytes(self._buffer[self._place : at])
        keep = min(at + len(mark), len(self._buffer))
        del self._buffer[: max(keep - len(mark), 0)]  # the mark itself may be put back
        self._place = len(mark)
        return found

    def _more(self) -> None:
        chunk = self._read(_CHUNK_BYTES)
        if not chunk:
            raise MultipartInvalid
        self._buffer += chunk
