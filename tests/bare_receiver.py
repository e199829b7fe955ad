"""The receiving end of an association, byte by byte, so that it can do what no toolkit lets it do."""

from __future__ import annotations

import socket
import struct


def read_pdu(connection: socket.socket) -> bytes:
    head = read_exactly(connection, 6)
    return head + read_exactly(connection, struct.unpack(">L", head[2:])[0])


def read_exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def acceptance(request: bytes, longest_pdu: int = 16384) -> bytes:
    """A-ASSOCIATE-AC (PS3.8 Table 9-17) that takes the first transfer syntax of every context."""
    contexts = b""
    at = 74
    application_context = b""
    while at < len(request):
        kind, length = struct.unpack_from(">BxH", request, at)
        item = request[at : at + 4 + length]
        if kind == 0x10:
            application_context = item
        if kind == 0x20:
            abstract = struct.unpack_from(">H", item, 10)[0]
            syntax = item[12 + abstract :]
            syntax = syntax[: 4 + struct.unpack_from(">H", syntax, 2)[0]]
            contexts += struct.pack(">BxHBxBx", 0x21, 4 + len(syntax), item[4], 0) + syntax
        at += 4 + length
    user = struct.pack(">BxHBxHL", 0x50, 8, 0x51, 4, longest_pdu)
    body = request[6:74] + application_context + contexts + user
    return struct.pack(">BxL", 0x02, len(body)) + body
