"""What a hostile or broken sender does to a data set. Each takes bytes and a source of chance, and gives bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random

Mutation = Callable[[bytearray, Random], bytes]

LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
NUMBERS = (0, 1, 2, 15, 16, 127, 128, 255, 256, 4096, 4097, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000)
LENGTHS = (*NUMBERS, 0x7FFFFFFF, 0x7FFFFFFE, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
TEXTS = (
    b"../../../../tmp/escaped", b"/etc/passwd", b"..\\..\\escaped", b"a\0b", b"\x1b]0;owned\x07\x1b[2J",
    b"[red]markup[/red] [link=http://x]y[/link]", b"<script>alert(1)</script>", b"\r\nSubject: forged\r\n\r\n",
    b"'; drop table series; --", b"%s%n%x {0} ${jndi:ldap://x}", b"\xff\xfe\xfd", b"\xed\xa0\x80", b"^" * 64,
    b"\\" * 63, b"1e999", b"nan", b"inf", b"-0", b"9" * 64, b"1." * 32, b"0.0.1", b"1..2", b" ", b"\0",
    "\u202egnp.\u200b\u0000".encode(),
)  # fmt: skip
ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)


def elements(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Where each top level element of an Explicit VR data set begins, where its value is, and its length."""
    place = 0
    while place + 8 <= len(data):
        long = bytes(data[place + 4 : place + 6]) in LONG_VRS
        at = place + (12 if long else 8)
        if at > len(data):
            return
        (length,) = (
            struct.unpack_from("<L", data, place + 8) if long else struct.unpack_from("<H", data, place + 6)
        )
        yield place, at, length
        if length == 0xFFFFFFFF or at + length > len(data):
            return
        place = at + length


def chosen(data: bytearray, chance: Random) -> tuple[int, int, int] | None:
    found = list(elements(data))
    return chance.choice(found) if found else None


def cut(data: bytearray, chance: Random) -> bytes:
    return bytes(data[: chance.randrange(len(data) + 1)])


def flip(data: bytearray, chance: Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flip_in_header(data: bytearray, chance: Random) -> bytes:
    for _ in range(chance.choice((1, 2, 4))):
        if data:
            data[chance.randrange(min(len(data), 1200))] = chance.randrange(256)
    return bytes(data)


def other_length(data: bytearray, chance: Random) -> bytes:
    found = chosen(data, chance)
    if found is not None:
        place, at, _ = found
        long, length = at - place == 12, chance.choice(LENGTHS)
        struct.pack_into(
            "<L" if long else "<H", data, place + (8 if long else 6), length if long else length & 0xFFFF
        )
    return bytes(data)


def other_text(data: bytearray, chance: Random) -> bytes:
    """A value replaced by text that means something to somebody, with the length that goes with it."""
    found = chosen(data, chance)
    if found is None:
        return bytes(data)
    place, at, length = found
    text = chance.choice(TEXTS)
    text += b" " * (len(text) % 2)
    long = at - place == 12
    head = data[: at - (4 if long else 2)] + struct.pack("<L" if long else "<H", len(text))
    return bytes(head + text + data[at + (0 if length == 0xFFFFFFFF else length) :])


def other_number(data: bytearray, chance: Random) -> bytes:
    """A two-byte value replaced: Rows, Columns, BitsStored, PixelRepresentation and their like."""
    found = [
        at
        for place, at, length in elements(data)
        if data[place + 4 : place + 6] == b"US" and 2 <= length <= len(data) - at
    ]
    for at in chance.sample(found, min(len(found), chance.choice((1, 2)))):
        struct.pack_into("<H", data, at, chance.choice(NUMBERS) & 0xFFFF)
    return bytes(data)


def other_vr(data: bytearray, chance: Random) -> bytes:
    found = chosen(data, chance)
    if found is not None:
        vr = chance.choice(
            (b"SQ", b"UN", b"OB", b"UI", b"DS", b"IS", b"PN", b"AT", b"FD", b"ZZ", b"\0\0", b"US")
        )
        data[found[0] + 4 : found[0] + 6] = vr
    return bytes(data)


def nested(data: bytearray, chance: Random) -> bytes:
    """Sequences in sequences, from a few to more than any stack holds."""
    found = chosen(data, chance)
    place = found[0] if found is not None else 0
    group, number = chance.choice(((0x0008, 0x1140), (0x0008, 0x0001), (0x0040, 0x0275), (0x3006, 0x0039)))
    sequence = struct.pack("<HH2sHL", group, number, b"SQ", 0, 0xFFFFFFFF)
    implicit = struct.pack("<HHL", group, number, 0xFFFFFFFF)
    depth = chance.choice((3, 15, 16, 17, 300, 3000))
    ending = (struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)) * depth
    inside = (chance.choice((sequence, implicit)) + ITEM) * depth
    return bytes(data[:place] + inside + (ending if chance.random() < 0.5 else b"") + data[place:])


def repeated(data: bytearray, chance: Random) -> bytes:
    found = chosen(data, chance)
    if found is None:
        return bytes(data)
    place, at, length = found
    end = len(data) if length == 0xFFFFFFFF else at + length
    return bytes(data[:end] + data[place:end] * chance.choice((1, 2, 50)) + data[end:])


def without(data: bytearray, chance: Random) -> bytes:
    found = chosen(data, chance)
    if found is None:
        return bytes(data)
    place, at, length = found
    return bytes(data[:place] + (b"" if length == 0xFFFFFFFF else data[at + length :]))


def other_meta(data: bytearray, chance: Random) -> bytes:
    """Elements of a file's own header in the data set: a reader that trusts them takes another syntax."""
    syntax = chance.choice(
        (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2\0", b"1.2.840.10008.1.2\0", b"1.2.3\0")
    )
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    tail = packed.compress(bytes(data)) + packed.flush() if chance.random() < 0.5 else bytes(data)
    return struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax + tail


def other_pixels(data: bytearray, chance: Random) -> bytes:
    """The start of a compressed frame changed: sizes, components and precision in its own header."""
    start = max(data.find(b"\xe0\x7f\x10\x00"), 0)
    for _ in range(chance.choice((1, 2, 3))):
        at = start + chance.randrange(120)
        if at < len(data):
            data[at] = chance.choice((0, 1, 2, 0x3F, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(data)


MUTATIONS: tuple[Mutation, ...] = (
    cut, flip, flip_in_header, other_length, other_text, other_number, other_vr, nested, repeated, without,
    other_meta, other_pixels,
)  # fmt: skip


def mutated(data: bytes, chance: Random) -> bytes:
    """One to three of these, after one another."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = chance.choice(MUTATIONS)(bytearray(data), chance)
    return data
