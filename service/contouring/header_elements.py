"""Elements of a CT header, taken from their raw bytes: from a data set, or as the header scan gives them.

A DICOM library's own conversion would put what it dislikes, a patient's values among it, into warnings and
exception texts; and it takes longer.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

ACQUISITION: Final = {
    "AcquisitionNumber": 0x00200012,
    "ConvolutionKernel": 0x00181210,
    "ContrastBolusAgent": 0x00180010,
}
"""What one pass of the scanner and one reconstruction have in common."""

IDENTITY: Final = {
    "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021,
    "PatientName": 0x00100010,
    "PatientBirthDate": 0x00100030,
    "StudyInstanceUID": 0x0020000D,
    "FrameOfReferenceUID": 0x00200052,
}
"""What must be the same in every slice, or it is not one CT of one patient."""

TAGS: Final = {
    **IDENTITY,
    **ACQUISITION,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "SeriesInstanceUID": 0x0020000E,
    "Modality": 0x00080060,
    "ImageType": 0x00080008,
    "GantryDetectorTilt": 0x00181120,
    "PatientPosition": 0x00185100,
    "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037,
    "PixelSpacing": 0x00280030,
    "NumberOfFrames": 0x00280008,
    "TemporalPositionIdentifier": 0x00200100,
    "TemporalPositionIndex": 0x00209128,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
    "PixelPaddingValue": 0x00280120,
    "PixelPaddingRangeLimit": 0x00280121,
    "RescaleIntercept": 0x00281052,
    "RescaleSlope": 0x00281053,
    "RescaleType": 0x00281054,
    "LossyImageCompression": 0x00282110,
    "SharedFunctionalGroupsSequence": 0x52009229,
    "PerFrameFunctionalGroupsSequence": 0x52009230,
}

Header = Dataset | Mapping[int, bytes]
"""A data set; or values by tag, as encoded in little endian."""

_NAN: Final = float("nan")


def raw(ds: Header, tag: int) -> bytes:
    """The value of an element as bytes without padding; empty if absent."""
    if not isinstance(ds, Dataset):
        return ds.get(tag, b"").strip(b" \0")
    if tag not in ds:
        return b""
    value: Any = ds.get_item(tag).value
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value.strip(b" \0")
    values = value if isinstance(value, list | tuple) else [value]
    return "\\".join(str(v) for v in values).strip(" \0").encode()


def text(ds: Header, tag: int) -> str:
    """The value of an element of the default repertoire."""
    return raw(ds, tag).decode("ascii", errors="replace")


def values(ds: Header, tag: int) -> tuple[str, ...]:
    """The values of a CS element, upper case; empty if absent."""
    parts = text(ds, tag).upper().split("\\")
    return tuple(part.strip() for part in parts) if parts != [""] else ()


def decimals(ds: Header, tag: int, count: int) -> tuple[float, ...]:
    """``count`` numbers of a DS or IS element; nan for each if it does not hold just as many."""
    parts = raw(ds, tag).split(b"\\")
    try:
        found = tuple(float(part) for part in parts if b"_" not in part)  # Python takes 1_0 for ten
    except ValueError:
        found = ()
    return found if len(found) == count else (_NAN,) * count


def integer(ds: Header, tag: int, *, signed: bool = False) -> int | None:
    """The value of a US or SS element; None if absent."""
    if tag not in ds:
        return None
    order = "<"
    if isinstance(ds, Dataset):
        element: Any = ds.get_item(tag)
        value = element.value
        order = ">" if isinstance(element, RawDataElement) and not element.is_little_endian else "<"
    else:
        value = ds[tag]
    if isinstance(value, bytes):
        if len(value) < 2:
            return None
        return int(struct.unpack_from(order + ("h" if signed else "H"), value)[0])
    return value if isinstance(value, int) else None


def absent(ds: Header, texts: tuple[str, ...], numbers: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Which of these attributes are absent or have no value."""
    return tuple(name for name in texts if not raw(ds, TAGS[name])) + tuple(
        name for name in numbers if integer(ds, TAGS[name]) is None
    )
