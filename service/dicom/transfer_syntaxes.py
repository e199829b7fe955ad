"""Which SOP classes and transfer syntaxes are taken, and which library decodes each.

One table, read by the Storage SCP (what it negotiates), by the reader of a CT (which decoder it names in its
call, so that no other one is ever used by chance) and by the conformance statement.

Not offered: Explicit VR Big Endian (retired), Deflated (a few bytes may unpack to gigabytes), JPEG Baseline
and Extended (lossy, 8 and 12 bit). pylibjpeg-libjpeg is GPL and takes no part: gdcm decodes JPEG Lossless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    RTStructureSetStorage,
)

from service.config.sop_classes import sop_class_uid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """A transfer syntax that we take.

    Attributes:
        uid: of the syntax.
        name: as in PS3.6 Table A-1.
        decoding_plugin: what to name in pydicom's ``decoding_plugin``; None for uncompressed pixels.
        may_be_lossy: the syntax can hold pixels that were compressed with loss.
        explicit: elements name their VR.
    """

    uid: str
    name: str
    decoding_plugin: str | None = None
    may_be_lossy: bool = False
    explicit: bool = True


def _table(*rows: tuple[str, str | None, bool]) -> Mapping[str, TransferSyntax]:
    return {
        str(uid): TransferSyntax(
            uid=str(uid),
            name=UID_dictionary[uid][0],
            decoding_plugin=plugin,
            may_be_lossy=lossy,
            explicit=uid != ImplicitVRLittleEndian,
        )
        for uid, plugin, lossy in rows
    }


TRANSFER_SYNTAXES: Final = _table(
    (ExplicitVRLittleEndian, None, False),
    (ImplicitVRLittleEndian, None, False),
    (JPEG2000Lossless, "pylibjpeg", False),  # pylibjpeg-openjpeg
    (JPEGLSLossless, "pyjpegls", False),
    (JPEGLosslessSV1, "gdcm", False),
    (JPEGLossless, "gdcm", False),
    (RLELossless, "pydicom", False),
    (JPEG2000, "pylibjpeg", True),
    (JPEGLSNearLossless, "pyjpegls", True),
)
"""By UID, in our order of preference: as stored and without loss first, what may have lost something last."""

UNCOMPRESSED: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""What has no pixels needs no more than these."""


def accepted_contexts(*, enhanced_ct: bool, discard: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Transfer syntax UIDs, in order of preference, by the UID of each SOP class that is negotiated.

    Args:
        enhanced_ct: whether Enhanced CT Image Storage is taken.
        discard: SOP classes, by name, keyword or UID, that are answered and thrown away.

    Raises:
        ValueError: for a name that is no SOP class; the message says which.
    """
    images = tuple(TRANSFER_SYNTAXES)
    contexts = dict.fromkeys(discarded_classes(discard), images)
    contexts[str(CTImageStorage)] = images
    if enhanced_ct:
        contexts[str(EnhancedCTImageStorage)] = images
    contexts[str(RTStructureSetStorage)] = UNCOMPRESSED
    contexts[VERIFICATION] = UNCOMPRESSED
    contexts[STORAGE_COMMITMENT] = UNCOMPRESSED
    return contexts


def discarded_classes(names: Sequence[str]) -> frozenset[str]:
    """The UIDs of SOP classes given by name, keyword or UID.

    Raises:
        ValueError: for a name that is no SOP class; the message says which.
    """
    found = {name: sop_class_uid(name) if name else None for name in names}
    for name, uid in found.items():
        if uid is None:
            message = f"{name!r} is no SOP class of PS3.6; write its name, its keyword or its UID"
            raise ValueError(message)
    return frozenset(uid for uid in found.values() if uid is not None)


def decoding_plugin(transfer_syntax_uid: str) -> str | None:
    """The plugin to name when decoding pixels of this syntax; None if they are not compressed.

    Raises:
        KeyError: for a syntax that is not taken.
    """
    return TRANSFER_SYNTAXES[transfer_syntax_uid].decoding_plugin
