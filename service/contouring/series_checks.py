"""Whether the slices of a series belong together and can be read as CT numbers. Refused, never guessed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydicom.uid import JPEG2000, CTImageStorage, EnhancedCTImageStorage, JPEGLSNearLossless, RLELossless

from service.contouring.ct_pixels import refuse_cut_short
from service.contouring.header_elements import IDENTITY
from service.contouring.slice_header import SliceHeader
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.errors import SeriesRefused

NOT_HOUNSFIELD: Final = frozenset({"OD", "MGML", "Z_EFF", "ED", "EDW", "PCT"})
"""Rescale types of PS3.3 C.11.1.1.2 that are something else than CT numbers."""

_FRAME_OF_REFERENCE: Final = list(IDENTITY).index("FrameOfReferenceUID")
_UID_COLUMNS: Final = [i for i, name in enumerate(IDENTITY) if name.endswith("UID")]
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_SAME_SPACING: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Limits:
    """What a planning CT may look like.

    Attributes:
        minimum_slices: fewer are refused.
        enhanced_ct: take multi-frame CT.
        lossy: what to do with a CT that was compressed with loss.
        pixel_mm: smallest and largest distance of neighbouring pixels.
        slice_spacing_mm: smallest and largest median distance of neighbouring slices.
        field_of_view_mm: rows and columns must span less.
        extent_mm: the stack must be shorter.
        rows_columns: neither may be more.
        voxels: of the whole volume, at most.
    """

    minimum_slices: int = 5
    enhanced_ct: bool = False
    lossy: Literal["warn", "refuse"] = "warn"
    pixel_mm: tuple[float, float] = (0.2, 5.0)
    slice_spacing_mm: tuple[float, float] = (0.1, 10.0)
    field_of_view_mm: float = 1100.0
    extent_mm: float = 2500.0
    rows_columns: int = 4096
    voxels: int = 1 << 30


def check_class(header: SliceHeader) -> None:
    """Refuse what is not a CT image."""
    if header.sop_class_uid not in (CTImageStorage, EnhancedCTImageStorage) or header.modality != "CT":
        raise SeriesRefused(
            "series.not-ct",
            "The series holds something else than CT images (SOP class or modality). Send only the CT.",
        )


def check_slices(slices: Sequence[SliceHeader], limits: Limits) -> None:
    """Refuse slices that lack what every CT has, do not belong together or cannot be read.

    Raises:
        SeriesRefused: with a stable code for each reason.
    """
    _complete(slices)
    _identity(slices)
    _alike(slices)
    _plausible(slices[0], len(slices), limits)
    for header in slices:
        _readable(header)
    _rescale(slices)
    _one_phase(slices)


def is_lossy(header: SliceHeader) -> bool:
    """The slice says that it was compressed with loss, or its transfer syntax can do so."""
    return header.lossy or header.place.transfer_syntax_uid in (JPEG2000, JPEGLSNearLossless)


def _count(slices: Sequence[SliceHeader], wrong: Callable[[SliceHeader], bool]) -> int:
    return sum(1 for header in slices if wrong(header))


def _complete(slices: Sequence[SliceHeader]) -> None:
    lacking = Counter(name for header in slices for name in header.missing)
    if lacking:
        said = ", ".join(f"{name} ({count})" for name, count in sorted(lacking.items()))
        raise SeriesRefused(
            "series.attribute-missing",
            f"Of {len(slices)} slices some lack what every CT must say: {said}. Export the CT again.",
        )
    uids = [h.sop_instance_uid for h in slices] + [h.series_instance_uid for h in slices]
    uids += [h.identity[i].decode("ascii", errors="replace") for h in slices for i in _UID_COLUMNS]
    if not all(_UID.fullmatch(uid) and len(uid) <= 64 for uid in uids if uid):
        raise SeriesRefused(
            "series.uid-invalid",
            "A UID of the series does not follow the DICOM Standard (PS3.5 9.1). Export the CT again.",
        )
    without = _count(slices, lambda h: not h.identity[_FRAME_OF_REFERENCE])
    if without:
        raise SeriesRefused(
            "series.frame-of-reference-missing",
            f"{without} of {len(slices)} slices have no FrameOfReferenceUID, which a structure set must "
            "refer to. Export the CT again from the scanner.",
        )


def _identity(slices: Sequence[SliceHeader]) -> None:
    differing = [name for i, name in enumerate(IDENTITY) if len({h.identity[i] for h in slices}) > 1]
    if differing:
        _, count = Counter(h.identity for h in slices).most_common(1)[0]
        raise SeriesRefused(
            "identity-differs",
            f"{len(slices) - count} of {len(slices)} slices differ from the rest in {', '.join(differing)}: "
            "they may belong to another patient. Nothing is contoured; check the series at its source.",
        )
    if len({h.series_instance_uid for h in slices}) > 1:
        raise SeriesRefused(
            "series.mixed",
            "The slices belong to more than one series. Send and contour one series at a time.",
        )


def _alike(slices: Sequence[SliceHeader]) -> None:
    shapes = {(h.pixels.rows, h.pixels.columns) for h in slices}
    spacings = np.array([h.pixel_spacing_mm for h in slices])
    if len(shapes) > 1 or not np.allclose(spacings, spacings[0], rtol=_SAME_SPACING, atol=0, equal_nan=True):
        raise SeriesRefused(
            "series.pixels-differ",
            "The slices differ in rows, columns or pixel spacing. Send one reconstruction with one of each.",
        )


def _plausible(header: SliceHeader, count: int, limits: Limits) -> None:
    rows, columns = header.pixels.rows, header.pixels.columns
    row_mm, column_mm = header.pixel_spacing_mm
    if not 1 < min(rows, columns) <= max(rows, columns) <= limits.rows_columns:
        raise SeriesRefused(
            "series.too-large",
            f"Images of {rows} x {columns} pixels are not taken (at most {limits.rows_columns} each way).",
        )
    if rows * columns * count > limits.voxels:
        raise SeriesRefused(
            "series.too-large", f"{count} images of {rows} x {columns} pixels are more than this node takes."
        )
    low, high = limits.pixel_mm
    if not low <= min(row_mm, column_mm) <= max(row_mm, column_mm) <= high:
        raise SeriesRefused(
            "series.pixel-spacing",
            f"Pixels of {row_mm:g} x {column_mm:g} mm are no planning CT's ({low:g} to {high:g} mm).",
        )
    widest = max(rows * row_mm, columns * column_mm)
    if widest >= limits.field_of_view_mm:
        raise SeriesRefused(
            "series.field-of-view",
            f"A field of view of {widest:.0f} mm is not that of a CT (under {limits.field_of_view_mm:.0f}).",
        )


def _readable(header: SliceHeader) -> None:
    pixels = header.pixels
    stored = 1 <= pixels.bits_stored <= pixels.high_bit + 1 <= 16
    monochrome = pixels.samples_per_pixel == 1 and pixels.photometric_interpretation == "MONOCHROME2"
    if pixels.bits_allocated != 16 or not stored or not monochrome:
        raise SeriesRefused(
            "series.pixel-format",
            "The pixels are not stored as a CT's are (one 16-bit MONOCHROME2 sample). Export the CT again.",
        )
    syntax = header.place.transfer_syntax_uid
    if not header.place.is_native and syntax != RLELossless and pixels.high_bit != pixels.bits_stored - 1:
        raise SeriesRefused(  # a codestream holds values, not cells: nobody can say where the bits lie
            "series.pixel-format",
            "HighBit is not BitsStored - 1, as compressed images must have it (PS3.5 8.1.1). "
            "Export the CT again.",
        )
    if not header.place.is_native and syntax not in TRANSFER_SYNTAXES:
        raise SeriesRefused(
            "series.transfer-syntax",
            "The images are compressed in a way this node does not take. Export the CT uncompressed.",
        )
    refuse_cut_short(pixels, header.place)


def _rescale(slices: Sequence[SliceHeader]) -> None:
    for header in slices:
        slope, intercept = header.pixels.slope, header.pixels.intercept
        if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
            raise SeriesRefused(
                "series.rescale-invalid",
                "RescaleSlope or RescaleIntercept of a slice is zero or no number: its CT numbers are "
                "unknown. Export the CT again from the scanner.",
            )
        if header.rescale_type.upper() in NOT_HOUNSFIELD:
            raise SeriesRefused(
                "series.not-hounsfield",
                f"The images are in {header.rescale_type}, not in Hounsfield units. Send the planning CT.",
            )


def _one_phase(slices: Sequence[SliceHeader]) -> None:
    phases = {header.phase for header in slices}
    if len(phases) > 1:
        raise SeriesRefused(*phases_refusal(len(phases)))


def phases_refusal(count: int) -> tuple[str, str]:
    """Code and sentence for a series that shows one place at several times."""
    return (
        "series.phases",
        f"The series holds {count} phases of a 4D CT in one. Send the phase or the average to be planned on.",
    )
