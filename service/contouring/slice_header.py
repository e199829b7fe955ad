"""What the header of one CT slice says, read without decoding a pixel and without trusting a value.

The usual file is scanned for the few elements that are asked for, four times faster than by building a data
set; pydicom reads whatever the scan does not understand.
"""

from __future__ import annotations

import io
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from service.contouring.ct_pixels import PixelFormat, PixelPlace
from service.contouring.header_elements import (
    ACQUISITION,
    IDENTITY,
    TAGS,
    Header,
    absent,
    decimals,
    integer,
    raw,
    text,
    values,
)
from service.dicom.header_scan import HeaderIncomplete, HeaderMalformed, scan_file
from service.dicom.library_errors import LIBRARY_ERRORS
from service.errors import SeriesRefused

INSTANCE_TEXTS: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PhotometricInterpretation",
)
INSTANCE_NUMBERS: Final = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""Attributes of type 1 that a CT cannot be read without."""

_SLICE_TEXTS: Final = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
)
_HEAD_BYTES: Final = 65_536
_PIXEL_DATA: Final = 0x7FE00010
_WANTED: Final = frozenset(tag for tag in TAGS.values() if tag >> 16 != 0x5200)
"""All but the functional groups, which only an Enhanced CT has."""

_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True, repr=False)
class SliceHeader:
    """One slice as its header describes it; absent or unreadable numbers are nan, absent text is empty.

    Attributes:
        sop_class_uid, sop_instance_uid, series_instance_uid: of the instance.
        frame_number: 1-based in a multi-frame instance, else None.
        identity: value of each attribute of ``IDENTITY``, raw but for padding.
        modality, patient_position, rescale_type: as written.
        gantry_tilt_degrees: GantryDetectorTilt; nan for a frame.
        image_type: values of ImageType, upper case.
        position_lps_mm: ImagePositionPatient, three numbers.
        orientation: ImageOrientationPatient, six numbers.
        pixel_spacing_mm: row spacing, column spacing.
        phase: temporal position, empty if the slice names none.
        acquisition: value of each attribute of ``ACQUISITION``, raw but for padding; empty for a frame.
        lossy: LossyImageCompression is 01.
        missing: type 1 attributes that are absent or empty.
        pixels: how the pixels are stored.
        place: where they lie.
        received_at: modification time of the file, seconds since the epoch.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frame_number: int | None
    identity: tuple[bytes, ...]
    modality: str
    patient_position: str
    rescale_type: str
    gantry_tilt_degrees: float
    image_type: tuple[str, ...]
    position_lps_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, ...]
    phase: str
    acquisition: tuple[bytes, ...]
    lossy: bool
    missing: tuple[str, ...]
    pixels: PixelFormat
    place: PixelPlace
    received_at: float


@dataclass(frozen=True, slots=True, repr=False)
class InstanceHeader:
    """The attributes of ``TAGS`` of one instance (an Enhanced CT's as a data set), and its pixels' place."""

    ds: Header
    place: PixelPlace
    received_at: float

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID of the instance, empty if absent."""
        return text(self.ds, TAGS["SOPClassUID"])


def read_header(file: Path) -> InstanceHeader:
    """Read one file up to its pixels.

    Raises:
        SeriesRefused: the file cannot be read, is not DICOM, or could unpack to any size.
    """
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            head = stream.read(_HEAD_BYTES)
            _refuse_deflated(head)
            found: tuple[Header, str, int, int] | None = _scanned(head)
            if found is None:
                with suppress(*LIBRARY_ERRORS):  # a longer header ends in the middle of something
                    found = _parse(io.BytesIO(head))
            if found is None:
                stream.seek(0)
                found = _parse(stream)
    except LIBRARY_ERRORS as error:
        if (
            isinstance(error, OSError) and error.errno is not None
        ):  # else pydicom's own, of what is in the file
            raise SeriesRefused(
                "series.file-unreadable",
                "A file of the series cannot be read from disk. Send the series again.",
            ) from None
        raise SeriesRefused(
            "series.not-dicom", "A file of the series is not a readable DICOM file. Send the series again."
        ) from None
    if found is None:
        raise SeriesRefused(
            "series.no-pixels", "An instance of the series has no pixels. Send only the planning CT's images."
        )
    ds, syntax, offset, length = found
    place = PixelPlace(file, offset, length, status.st_size, syntax)
    return InstanceHeader(ds, place, status.st_mtime)


def _refuse_deflated(head: bytes) -> None:
    """Before a library inflates it: a few kilobytes may unpack to gigabytes."""
    if DeflatedExplicitVRLittleEndian.encode() in head[:2048]:
        raise SeriesRefused(
            "series.transfer-syntax",
            "The series is in the Deflated transfer syntax, which is not taken. Export it uncompressed.",
        )


def _scanned(head: bytes) -> tuple[Header, str, int, int] | None:
    """As ``_parse``; None for a file that takes a DICOM library."""
    try:
        values, syntax, offset, length = scan_file(head, _WANTED)
    except (HeaderMalformed, HeaderIncomplete):
        return None
    if text(values, TAGS["SOPClassUID"]) == EnhancedCTImageStorage:
        return None
    return values, syntax, offset, length


def _parse(stream: BinaryIO) -> tuple[Dataset, str, int, int] | None:
    """Dataset, transfer syntax, offset and length of the pixels; None if no PixelData was met."""
    ds = dcmread(stream, stop_before_pixels=True, specific_tags=list(TAGS.values()))
    syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    if syntax == ImplicitVRLittleEndian:
        element = stream.read(8)
        length_at = 4
    else:
        element = stream.read(12)
        length_at = 8
    if len(element) < length_at + 4:
        return None
    group, number = struct.unpack_from(order + "HH", element)
    if group << 16 | number != _PIXEL_DATA:
        return None
    (length,) = struct.unpack_from(order + "L", element, length_at)
    return ds, syntax, stream.tell(), length


def single_frame(instance: InstanceHeader) -> SliceHeader:
    """The slice that an instance of CT Image Storage is."""
    ds = instance.ds
    if decimals(ds, TAGS["NumberOfFrames"], 1)[0] > 1:
        raise SeriesRefused(
            "series.multi-frame",
            "A CT image holds several frames in the single-frame class. Export the CT as one image a slice.",
        )
    return SliceHeader(
        sop_class_uid=text(ds, TAGS["SOPClassUID"]),
        sop_instance_uid=text(ds, TAGS["SOPInstanceUID"]),
        series_instance_uid=text(ds, TAGS["SeriesInstanceUID"]),
        frame_number=None,
        identity=tuple(raw(ds, tag).rstrip(b"^= ") for tag in IDENTITY.values()),
        modality=text(ds, TAGS["Modality"]),
        patient_position=text(ds, TAGS["PatientPosition"]),
        rescale_type=text(ds, TAGS["RescaleType"]),
        gantry_tilt_degrees=decimals(ds, TAGS["GantryDetectorTilt"], 1)[0],
        image_type=values(ds, TAGS["ImageType"]),
        position_lps_mm=decimals(ds, TAGS["ImagePositionPatient"], 3),
        orientation=decimals(ds, TAGS["ImageOrientationPatient"], 6),
        pixel_spacing_mm=decimals(ds, TAGS["PixelSpacing"], 2),
        phase=text(ds, TAGS["TemporalPositionIdentifier"]),
        acquisition=tuple(raw(ds, tag) for tag in ACQUISITION.values()),
        lossy=text(ds, TAGS["LossyImageCompression"]) == "01",
        missing=absent(ds, INSTANCE_TEXTS + _SLICE_TEXTS, INSTANCE_NUMBERS),
        pixels=pixel_format(
            ds, decimals(ds, TAGS["RescaleSlope"], 1)[0], decimals(ds, TAGS["RescaleIntercept"], 1)[0]
        ),
        place=instance.place,
        received_at=instance.received_at,
    )


def pixel_format(ds: Header, slope: float, intercept: float) -> PixelFormat:
    """The Image Pixel module (PS3.3 C.7.6.3) of an instance; 0 for what is absent.

    Raises:
        SeriesRefused: nobody can say whether a stored value has a sign.
    """

    def number(name: str) -> int:
        return integer(ds, TAGS[name]) or 0

    representation = number("PixelRepresentation")
    if representation not in (0, 1):
        raise SeriesRefused(
            "series.pixel-format",
            "PixelRepresentation is neither 0 nor 1: whether pixels are below zero cannot be told. "
            "Export the CT again.",
        )
    signed = representation == 1
    padding = integer(ds, TAGS["PixelPaddingValue"], signed=signed)
    limit = integer(ds, TAGS["PixelPaddingRangeLimit"], signed=signed)
    ends = None if padding is None else sorted((padding, padding if limit is None else limit))
    return PixelFormat(
        rows=number("Rows"),
        columns=number("Columns"),
        samples_per_pixel=number("SamplesPerPixel"),
        photometric_interpretation=text(ds, TAGS["PhotometricInterpretation"]),
        bits_allocated=number("BitsAllocated"),
        bits_stored=number("BitsStored"),
        high_bit=number("HighBit"),
        signed=signed,
        slope=slope,
        intercept=intercept,
        padding=None if ends is None else (ends[0], ends[1]),
    )
