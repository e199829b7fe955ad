"""What parent and model process say to one another: JSON headers over a socket, arrays in shared memory.

A message is four bytes of length (big endian) and JSON; descriptors of memory files (memfd) travel with it.
The CT and the fields are never copied through the socket, and nothing is ever unpickled.

Parent to child: ``{"do": "segment", ...}`` with one descriptor. Child to parent: ``{"say": "ready"}`` once,
then any number of ``{"say": "progress"}`` and one of ``{"say": "done"}`` (one descriptor) or
``{"say": "error"}``.
"""

from __future__ import annotations

import array
import json
import mmap
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.stages import peaks_as_json, peaks_of_json
from models.volume import Finding, Grid, Provenance, Segmentation, Severity, StructureField

Message = dict[str, Any]

_LENGTH: Final = struct.Struct("!I")
_LONGEST: Final = 64 * 1024 * 1024
_MOST_DESCRIPTORS: Final = 4


class LinkClosed(EOFError):
    """The other side is gone."""


def send(link: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message; the descriptors stay open here.

    Raises:
        LinkClosed: the other side is gone.
        TimeoutError: it does not read.
    """
    content = json.dumps(message).encode()
    head = _LENGTH.pack(len(content))
    try:
        if descriptors:
            socket.send_fds(link, [head], descriptors)
        else:
            link.sendall(head)
        link.sendall(content)
    except TimeoutError:
        raise
    except OSError as error:
        raise LinkClosed from error


def receive(link: socket.socket) -> tuple[Message, list[int]]:
    """The next message and its descriptors, which the caller closes.

    Raises:
        LinkClosed: the other side is gone.
        TimeoutError: nothing came within the socket's timeout.
    """
    try:
        head, descriptors = _receive_head(link)
        (length,) = _LENGTH.unpack(head)
        if length > _LONGEST:
            raise LinkClosed
        message: Message = json.loads(_receive_exactly(link, length))
    except TimeoutError:
        raise
    except OSError as error:
        raise LinkClosed from error
    return message, descriptors


def _receive_head(link: socket.socket) -> tuple[bytes, list[int]]:
    """The length; descriptors come with its first byte."""
    space = socket.CMSG_LEN(_MOST_DESCRIPTORS * array.array("i").itemsize)
    head, ancillary, _flags, _address = link.recvmsg(
        _LENGTH.size, space, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    )
    found = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    if not head:
        raise LinkClosed
    return head + _receive_exactly(link, _LENGTH.size - len(head)), list(found)


def _receive_exactly(link: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = link.recv(count - len(parts))
        if not part:
            raise LinkClosed
        parts += part
    return bytes(parts)


def new_memory(name: str, size: int) -> int:
    """A memory file of ``size`` bytes, zero."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, max(size, 1))
    return descriptor


def mapped(descriptor: int, *, writable: bool) -> mmap.mmap:
    """The memory file as a mapping, which lives as long as arrays in it do; the descriptor may be closed."""
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(descriptor, os.fstat(descriptor).st_size, flags=mmap.MAP_SHARED, prot=access)


def array_in(memory: mmap.mmap, shape: Sequence[int], dtype: np.dtype[Any], offset: int = 0) -> NDArray[Any]:
    """An array on the mapping.

    Raises:
        ValueError: the mapping is too small.
    """
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(memory, dtype, count, offset).reshape(tuple(shape))


def grid_as_json(grid: Grid) -> Message:
    """A grid, exact to the last bit."""
    return {
        "origins": grid.slice_origins_lps_mm.tolist(),
        "column_step": grid.column_step_lps_mm.tolist(),
        "row_step": grid.row_step_lps_mm.tolist(),
        "rows": grid.rows,
        "columns": grid.columns,
    }


def grid_of_json(content: Message) -> Grid:
    """The grid that :func:`grid_as_json` wrote."""
    origins, column_step, row_step = (
        np.array(content[key], dtype=np.float64) for key in ("origins", "column_step", "row_step")
    )
    return Grid(origins, column_step, row_step, content["rows"], content["columns"])


def segmentation_as_json(segmentation: Segmentation) -> tuple[Message, list[NDArray[np.float32]]]:
    """Everything but the numbers of the fields, and these, in the order in which they shall lie in memory."""
    offset, fields, arrays = 0, [], []
    for name, field in segmentation.structures.items():
        values = np.ascontiguousarray(field.field, dtype=np.float32)
        fields.append(
            {
                "name": name,
                "shape": list(values.shape),
                "corner": [int(at) for at in field.corner_zyx],
                "from_mask": field.from_mask,
                "offset": offset,
            }
        )
        arrays.append(values)
        offset += values.nbytes
    message: Message = {
        "fields": fields,
        "bytes": offset,
        "provenance": asdict(segmentation.provenance),
        "findings": [asdict(finding) for finding in segmentation.findings],
        "seconds": dict(segmentation.seconds),
        "peaks": peaks_as_json(segmentation.peaks),
    }
    return message, arrays


def segmentation_of_json(content: Message, memory: mmap.mmap, shape_zyx: Sequence[int]) -> Segmentation:
    """The segmentation, its fields read-only views of ``memory``.

    Raises:
        ValueError: a field does not lie within ``shape_zyx`` or within the memory.
    """
    structures: dict[str, StructureField] = {}
    for one in content["fields"]:
        values = array_in(memory, one["shape"], np.dtype(np.float32), one["offset"])
        z, y, x = one["corner"]
        corner = (z, y, x)
        fits = all(at >= 0 and at + n <= m for at, n, m in zip(corner, values.shape, shape_zyx, strict=True))
        if not fits:
            message = "a field does not lie within the CT"
            raise ValueError(message)
        structures[one["name"]] = StructureField(values, corner, one["from_mask"])
    provenance = content["provenance"]
    provenance["steps_down"] = tuple(provenance["steps_down"])
    findings = tuple(
        Finding(one["code"], one["sentence"], one["structure"], Severity(one["severity"]))
        for one in content["findings"]
    )
    peaks = peaks_of_json(content["peaks"])
    return Segmentation(structures, Provenance(**provenance), findings, content["seconds"], peaks)
