"""A sender that costs next to nothing: images in memory, bytes laid out beforehand, one answer awaited for each.

What is measured with it is the receiver. It keeps to the longest PDU that the receiver announces (up to 128 KiB) and
sends the next image when the one before is acknowledged, as C-STORE without an asynchronous window has it.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pydicom

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
_OTHERS = (
    "1.2.840.10008.1.1",
    *(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("4", "128", "7", "481.2", "481.3", "481.5")),
)
_LONGEST_PDU = 128 * 1024
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True, slots=True)
class Image:
    """A data set as it goes over the network."""

    sop_instance_uid: str
    data: bytes


def images_of(folder: Path) -> list[Image]:
    """The images of a folder, in the order of their names."""
    found = []
    for file in sorted(folder.glob("*.dcm")):
        content = file.read_bytes()
        (length,) = struct.unpack_from("<I", content, 140)  # of the File Meta Information, PS3.10 7.1
        uid = pydicom.filereader.read_file_meta_info(file).MediaStorageSOPInstanceUID
        found.append(Image(str(uid), content[144 + length :]))
    return found


def renamed(images: Sequence[Image], folder: Path, word: str) -> list[Image]:
    """The same images as another study of another series: UIDs of the same length, otherwise the same bytes."""
    first = pydicom.dcmread(next(iter(sorted(folder.glob("*.dcm")))), stop_before_pixels=True)
    names = {str(first[keyword].value).encode() for keyword in _UIDS}
    made = []
    for image in images:
        data = image.data
        for name in names - {first.SOPInstanceUID.encode()} | {image.sop_instance_uid.encode()}:
            data = data.replace(name, _other(name, word))
        made.append(Image(_other(image.sop_instance_uid.encode(), word).decode(), data))
    return made


def _other(uid: bytes, word: str) -> bytes:
    digits = str(int(hashlib.sha256(uid + word.encode()).hexdigest(), 16)).encode()
    return (b"2.25.1" + digits)[: len(uid)].ljust(len(uid), b"7")


class Sent(NamedTuple):
    """Seconds from the association's request to its release; the longest between two acknowledgements."""

    seconds: float
    longest_gap_seconds: float


def send(port: int, images: Sequence[Image], *, called: str, calling: str) -> Sent:
    """Store images over one association.

    Raises:
        RuntimeError: the receiver refuses the association or an image.
    """
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        connection.sendall(_request([CT], called, calling))
        kind, accepted = _pdu(connection)
        if kind != 2:
            raise RuntimeError("the association was refused")
        acknowledged: list[float] = []
        longest = min(_announced(accepted) or _LONGEST_PDU, _LONGEST_PDU) - 6
        for number, image in enumerate(images, 1):
            connection.sendall(_message(number, image, longest - longest % 2))
            _, answer = _pdu(connection)
            if b"\0\0\0\x09\2\0\0\0\0\0" not in answer:  # Status (0000,0900), length 2, 0x0000
                raise RuntimeError("an image was not stored")
            acknowledged.append(time.perf_counter())
        connection.sendall(struct.pack(">BBLL", 5, 0, 4, 0))
        _pdu(connection)
        gap = max((later - earlier for earlier, later in itertools.pairwise(acknowledged)), default=0.0)
        return Sent(time.perf_counter() - began, gap)


def associate_at_once(port: int, count: int, *, called: str, calling: str) -> float:
    """Ask for many associations at the same time; seconds until the last is accepted, all being open.

    Raises:
        RuntimeError: one was refused.
    """
    request = _request([CT, *_OTHERS], called, calling)
    with ExitStack() as stack:
        began = time.perf_counter()
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(request)
        if any(_pdu(connection)[0] != 2 for connection in connections):
            raise RuntimeError("an association was refused")
        return time.perf_counter() - began


def _request(classes: Sequence[str], called: str, calling: str) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    contexts = b"".join(
        _item(0x20, bytes([2 * n + 1, 0, 0, 0]) + _item(0x30, one.encode()) + _item(0x40, EXPLICIT.encode()))
        for n, one in enumerate(classes)
    )
    user = _item(0x51, struct.pack(">L", _LONGEST_PDU)) + _item(0x52, b"1.2.3.4")
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += _item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + _item(0x50, user)
    return struct.pack(">BBL", 1, 0, len(body)) + body


def _message(number: int, image: Image, longest: int) -> bytes:
    """C-STORE-RQ and its data set in P-DATA-TF PDUs (PS3.7 9.3.1.1, PS3.8 9.3.5)."""
    group = b"".join(
        (
            _element(0x0002, CT.encode()),
            _element(0x0100, b"\1\0"),
            _element(0x0110, struct.pack("<H", number % 65536)),
            _element(0x0700, b"\0\0"),
            _element(0x0800, b"\0\0"),
            _element(0x1000, image.sop_instance_uid.encode()),
        )
    )
    pieces = [_p_data(3, _element(0, struct.pack("<L", len(group))) + group)]
    for start in range(0, len(image.data), longest):
        piece = image.data[start : start + longest]
        pieces.append(_p_data(2 if start + longest >= len(image.data) else 0, piece))
    return b"".join(pieces)


def _p_data(control: int, piece: bytes) -> bytes:
    return struct.pack(">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, 1, control) + piece


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


def _announced(accepted: bytes) -> int:
    """The longest PDU that the acceptor takes (PS3.8 Annex D.1), 0 for any."""
    place = 68
    while place < len(accepted):
        kind, length = struct.unpack_from(">BxH", accepted, place)
        if kind == 0x50:
            return int(struct.unpack_from(">L", accepted, place + 8)[0])  # its first item, always
        place += 4 + length
    return 0


def _pdu(connection: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxL", _exactly(connection, 6))
    return kind, _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return bytes(found)
