"""One instance on its way in: what is read of it and why it may be refused.

A few elements at the front of the data set are looked at and no pixel is.
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, RTStructureSetStorage

from service.backlog.records import ReceivedInstance
from service.dicom.header_scan import HeaderIncomplete, HeaderMalformed, scan, scan_to_the_end
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.errors import InstanceRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PREFIX_BYTES: Final = 64 * 1024
"""The elements looked for lie nearly always within this much of the data set; if not, all of it is walked."""


class StoreStatus(IntEnum):
    """C-STORE statuses that we answer with (PS3.4 Table B.2-1, PS3.7 Annex C)."""

    SUCCESS = 0x0000
    DUPLICATE_SOP_INSTANCE = 0x0111
    """Another data set with this UID is here. A failure, so that the sender sees it; not one of the A7xx,
    which senders repeat for hours, as repeating mends nothing."""
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000


MODALITY_OF: Final = {
    str(CTImageStorage): "CT",
    str(EnhancedCTImageStorage): "CT",
    str(RTStructureSetStorage): "RTSTRUCT",
}

_IMAGE_TYPE: Final = 0x00080008
_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_MODALITY: Final = 0x00080060
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_POSITION: Final = 0x00200032
_ORIENTATION: Final = 0x00200037
_IMAGES_IN_ACQUISITION: Final = 0x00201002
_IDENTIFYING: Final = frozenset({_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE, _MODALITY, _STUDY, _SERIES})
_WANTED: Final = _IDENTIFYING | {_POSITION, _ORIENTATION, _IMAGES_IN_ACQUISITION}

_FIRST_GROUP: Final = 0x0008

_one_at_a_time = threading.Lock()  # so that the copies which it takes do not add up

_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an instance came from: AE titles of the association and the peer's address."""

    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
    """What the C-STORE request and its presentation context say the data set is."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """What is read of a data set; attributes as in ``ReceivedInstance``."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    is_localizer: bool = False
    position_lps_mm: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    images_in_acquisition: int | None = None

    def as_received(self, syntax_uid: str, origin: Origin, at: float, file: Path) -> ReceivedInstance:
        """As completeness sees it: lying in ``file`` since ``at``, seconds since the epoch."""
        return ReceivedInstance(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            study_instance_uid=self.study_instance_uid,
            series_instance_uid=self.series_instance_uid,
            transfer_syntax_uid=syntax_uid,
            calling_ae_title=origin.calling_ae_title,
            called_ae_title=origin.called_ae_title,
            sender_address=origin.address,
            received_at=at,
            file=file,
            modality=self.modality,
            is_localizer=self.is_localizer,
            position_lps_mm=self.position_lps_mm,
            orientation=self.orientation,
            images_in_acquisition=self.images_in_acquisition,
        )


def check_header(parts: Sequence[bytes | memoryview], claim: Claim) -> Header:
    """What the data set says it is, if that is what the sender claimed and what the class must have.

    Args:
        parts: the encoded data set in pieces, in order, complete.
        claim: from the request's command set and its presentation context.

    Raises:
        InstanceRefused: 0xC000 for what cannot be read, 0xA900 for what is not what it claims to be.
    """
    header = read_header(parts, claim.transfer_syntax_uid)
    if (header.sop_class_uid, header.sop_instance_uid) != (claim.sop_class_uid, claim.sop_instance_uid):
        raise _mismatch(
            "instance.not-what-was-announced",
            "The data set is another SOP class or instance than was announced. Have the sender repaired.",
        )
    if header.modality != MODALITY_OF.get(header.sop_class_uid):
        raise _mismatch(
            "instance.modality-differs",
            "Modality (0008,0060) does not belong to this SOP class. Have the export repaired.",
        )
    if header.sop_class_uid == CTImageStorage and not header.is_localizer:
        _must_lie_somewhere(header)
    return header


def read_header(
    parts: Sequence[bytes | memoryview], transfer_syntax_uid: str, *, whole: bool = True
) -> Header:
    """What a data set says it is, whatever anyone claimed.

    Args:
        parts: the encoded data set in pieces, in order.
        transfer_syntax_uid: one that is taken.
        whole: the pieces are all of it.

    Raises:
        InstanceRefused: 0xC000 for what cannot be read, 0xA900 without the UIDs that identify it.
        HeaderIncomplete: it is not the whole data set, and more of it is needed.
    """
    try:
        found = _scan_parts(parts, explicit=TRANSFER_SYNTAXES[transfer_syntax_uid].explicit, whole=whole)
    except HeaderMalformed:
        sentence = "The data set cannot be read in the transfer syntax that was agreed. Export it again."
        raise InstanceRefused("instance.unreadable", sentence, status=StoreStatus.CANNOT_UNDERSTAND) from None
    return _interpret(found)


def is_valid_uid(uid: str) -> bool:
    """Whether it obeys PS3.5 section 9.1: dotted numbers without leading zeros, at most 64 characters."""
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None


def _scan_parts(parts: Sequence[bytes | memoryview], *, explicit: bool, whole: bool) -> dict[int, bytes]:
    beginning = bytearray()
    for part in parts:
        beginning += part[: PREFIX_BYTES - len(beginning)]
        if len(beginning) >= PREFIX_BYTES:
            break
    front = bytes(beginning)
    _refuse_file_header(front)
    if whole and len(front) == sum(map(len, parts)):
        return scan_to_the_end(front, _WANTED, explicit=explicit)
    try:
        return scan(front, _WANTED, explicit=explicit)
    except HeaderIncomplete:  # large private elements stand in front
        if not whole:
            raise
        with _one_at_a_time:
            joined = parts[0] if len(parts) == 1 else b"".join(parts)
            return scan_to_the_end(joined, _WANTED, explicit=explicit)


def _refuse_file_header(front: bytes) -> None:
    """No data set has elements of a file's own header (PS3.5 7.1); a library that meets them obeys them.

    It would read the rest in another transfer syntax, or inflate it to any size.
    """
    if int.from_bytes(front[:2], "little") < _FIRST_GROUP:
        raise InstanceRefused(
            "instance.file-header",
            "The data set begins with elements of a file's own header. Have the sender repaired.",
            status=StoreStatus.CANNOT_UNDERSTAND,
        )


def _interpret(found: dict[int, bytes]) -> Header:
    missing = [tag for tag in _IDENTIFYING - {_IMAGE_TYPE} if not found.get(tag, b"").strip(b"\0 ")]
    if missing:
        raise _mismatch(
            "instance.identity-missing",
            "SOP class, SOP instance, study, series or modality is empty. Have the export repaired.",
        )
    uids = {tag: _text(found[tag]) for tag in (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES)}
    if not all(is_valid_uid(uid) for uid in uids.values()):
        raise _mismatch(
            "instance.uid-invalid",
            "A UID breaks the rules of PS3.5 section 9.1. Have the sender's UIDs repaired.",
        )
    image_type = _text(found.get(_IMAGE_TYPE, b"")).upper().split("\\")
    position = _numbers(found.get(_POSITION), 3)
    orientation = _numbers(found.get(_ORIENTATION), 6)
    images = _text(found.get(_IMAGES_IN_ACQUISITION, b""))
    return Header(
        sop_class_uid=uids[_SOP_CLASS],
        sop_instance_uid=uids[_SOP_INSTANCE],
        study_instance_uid=uids[_STUDY],
        series_instance_uid=uids[_SERIES],
        modality=_text(found[_MODALITY]),
        is_localizer="LOCALIZER" in (value.strip() for value in image_type),
        position_lps_mm=None if position is None else (position[0], position[1], position[2]),
        orientation=None if orientation is None else (*orientation[:3], *orientation[3:]),  # type: ignore[arg-type]
        images_in_acquisition=int(images) if images.isdigit() else None,
    )


def _must_lie_somewhere(header: Header) -> None:
    if header.position_lps_mm is None or header.orientation is None:
        raise _mismatch(
            "instance.position-missing",
            "ImagePositionPatient or ImageOrientationPatient is absent, empty or unreadable. "
            "Export the CT again from the scanner.",
        )


def _text(value: bytes) -> str:
    try:
        return value.strip(b"\0 ").decode("ascii")
    except UnicodeDecodeError:
        raise _mismatch(
            "instance.identity-unreadable",
            "An identifying element holds characters that it may not. Have the export repaired.",
        ) from None


def _numbers(value: bytes | None, count: int) -> tuple[float, ...] | None:
    """``count`` finite decimal strings, or None."""
    if value is None:
        return None
    try:
        numbers = tuple(float(number) for number in value.strip(b"\0 ").split(b"\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _mismatch(code: str, sentence: str) -> InstanceRefused:
    return InstanceRefused(code, sentence, status=StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS)
