"""A series as files: the header each file gets, and how a series is found again from its files alone.

The spool is the truth for instances. After a crash everything that completeness must know is read back from
it: who sent each file (File Meta Information), when (its time), and whether the last association ended well
(a mark beside the files).
"""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.arrival.instance import PREFIX_BYTES, Claim, Origin, read_header
from service.dicom.header_scan import HeaderIncomplete, HeaderMalformed, scan
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.errors import InstanceRefused

if TYPE_CHECKING:
    from pathlib import Path

    from service.backlog.records import ReceivedInstance


_MARK: Final = ".association-end"
_PREAMBLE: Final = b"\0" * 128 + b"DICM"
_PREAMBLE_BYTES: Final = 128
_GROUP_LENGTH_BYTES: Final = 12
_TRANSFER_SYNTAX: Final = 0x00020010
_CALLING: Final = 0x00020016
_CALLED: Final = 0x00020018
_ADDRESS: Final = 0x00020026


def file_header(claim: Claim, origin: Origin) -> bytes:
    """Preamble and File Meta Information (PS3.10 section 7.1) to stand before the data set as it came."""
    group = b"".join(
        (
            _element(0x0001, b"OB", b"\0\1"),
            _element(0x0002, b"UI", claim.sop_class_uid.encode("ascii")),
            _element(0x0003, b"UI", claim.sop_instance_uid.encode("ascii")),
            _element(0x0010, b"UI", claim.transfer_syntax_uid.encode("ascii")),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
            _element(0x0016, b"AE", origin.calling_ae_title.encode("ascii")),
            _element(0x0018, b"AE", origin.called_ae_title.encode("ascii")),
            _element(0x0026, b"UR", origin.address.encode("ascii")),
        )
    )
    return _PREAMBLE + _element(0x0000, b"UL", struct.pack("<I", len(group))) + group


def read_instance(file: Path) -> ReceivedInstance:
    """An instance of the spool as completeness sees it.

    Raises:
        InstanceRefused: it is not a file that this node wrote, or it was damaged since.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        data = stream.read(PREFIX_BYTES)
        whole = len(data) < PREFIX_BYTES
        try:
            return _interpret(file, data, whole=whole)
        except HeaderIncomplete:  # large private elements stand in front
            return _interpret(file, data + stream.read(), whole=True)


def read_folder(folder: Path) -> tuple[list[ReceivedInstance], int]:
    """The instances of a series' folder by time of arrival, and how many files there could not be read."""
    instances, unreadable = [], 0
    for file in folder.glob("[!.]*.dcm"):
        try:
            instances.append(read_instance(file))
        except (InstanceRefused, OSError):
            unreadable += 1
    return sorted(instances, key=lambda instance: instance.received_at), unreadable


def count_instances(folder: Path) -> int:
    """How many instances lie in a series' folder."""
    return sum(1 for _ in folder.glob("[!.]*.dcm"))


@dataclass(frozen=True, slots=True)
class AssociationEnd:
    """How the association that delivered last to a series ended, and how many instances lay there then."""

    released: bool
    instances: int


def mark_end(folder: Path, end: AssociationEnd) -> None:
    """Remember how an association ended; a mark that is lost only makes the node ask for the series again."""
    part = folder / f"{_MARK}.part"
    with contextlib.suppress(OSError):
        part.write_text(json.dumps({"released": end.released, "instances": end.instances}), encoding="ascii")
        part.replace(folder / _MARK)


def ended_well(folder: Path, instances: int) -> bool | None:
    """Whether the association that brought the last of these ``instances`` was released.

    None if nobody can say: the node itself stopped before that association ended.
    """
    try:
        mark = json.loads((folder / _MARK).read_text(encoding="ascii"))
        return bool(mark["released"]) if mark["instances"] == instances else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _interpret(file: Path, data: bytes, *, whole: bool) -> ReceivedInstance:
    start = len(_PREAMBLE)
    body = start + _GROUP_LENGTH_BYTES
    if data[_PREAMBLE_BYTES:start] != _PREAMBLE[_PREAMBLE_BYTES:] or len(data) < body:
        raise _damaged()
    end = body + struct.unpack_from("<I", data, body - 4)[0]
    try:
        wanted = (_TRANSFER_SYNTAX, _CALLING, _CALLED, _ADDRESS)
        meta = scan(data[body:end] + _SENTINEL, wanted, explicit=True)
    except (HeaderMalformed, HeaderIncomplete):
        raise _damaged() from None
    syntax, calling, called, address = (
        meta.get(tag, b"").strip(b"\0 ").decode("ascii", "replace") for tag in wanted
    )
    if syntax not in TRANSFER_SYNTAXES:
        raise _damaged()
    header = read_header([memoryview(data)[end:]], syntax, whole=whole)
    at = file.stat().st_mtime
    return header.as_received(syntax, Origin(calling, called, address), at, file)


def _damaged() -> InstanceRefused:
    sentence = "A file of the spool is not as this node wrote it. Send the series again and check the disk."
    return InstanceRefused("spool.file-damaged", sentence, status=0xC000)


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    if vr in (b"OB", b"UR"):
        return struct.pack("<HH2sHI", 2, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


_SENTINEL: Final = struct.pack("<HH2sH", 0xFFFF, 0, b"UL", 0)
