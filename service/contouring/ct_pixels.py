"""Stored pixels into CT numbers: one array, filled in place, slice by slice.

Uncompressed pixels are read from the file straight into the volume; compressed ones are decoded in a process
of its own, by the plugin that ``service.dicom.transfer_syntaxes`` names. PS3.3 C.7.6.3 (Image Pixel),
C.7.5.1.1.2 (padding), C.11.1 (Modality LUT: rescale slope and intercept).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian

from service.contouring.frame_decoding import DECODERS, FrameUndecodable
from service.dicom.transfer_syntaxes import UNCOMPRESSED
from service.errors import SeriesRefused

PADDING_HU: Final = -1024
"""What is not image becomes air."""

UNDEFINED_LENGTH: Final = 0xFFFFFFFF

_LOW, _HIGH = -32768, 32767

HuArray = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of one slice are stored and what they mean.

    Attributes:
        rows, columns, samples_per_pixel, bits_allocated, bits_stored, high_bit: 0 if absent.
        photometric_interpretation: as written.
        signed: two's complement.
        slope, intercept: Hounsfield units = slope x stored + intercept; nan if absent.
        padding: lowest and highest stored value that are no image, None if the slice names none.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    slope: float
    intercept: float
    padding: tuple[int, int] | None = None

    @property
    def whole_numbers(self) -> bool:
        """CT numbers are integers, so int16 holds them without rounding."""
        return self.slope.is_integer() and self.intercept.is_integer()

    @property
    def frame_bytes(self) -> int:
        """Length of one uncompressed frame."""
        return self.rows * self.columns * 2


@dataclass(frozen=True, slots=True, repr=False)
class PixelPlace:
    """Where the pixels of an instance lie.

    Attributes:
        file: the Part 10 file.
        offset: of the first byte of PixelData's value.
        length: of that value; ``UNDEFINED_LENGTH`` when it is encapsulated.
        file_bytes: size of the file.
        transfer_syntax_uid: of the file.
        frame: 0-based.
        frames: in the instance.
    """

    file: Path
    offset: int
    length: int
    file_bytes: int
    transfer_syntax_uid: str
    frame: int = 0
    frames: int = 1

    @property
    def is_native(self) -> bool:
        """The pixels are not compressed."""
        return self.transfer_syntax_uid in (*UNCOMPRESSED, ExplicitVRBigEndian)

    @property
    def is_big_endian(self) -> bool:
        """The most significant byte comes first."""
        return self.transfer_syntax_uid == ExplicitVRBigEndian


def fill_slice(out: HuArray, pixels: PixelFormat, place: PixelPlace) -> None:
    """Put the CT numbers of one slice into ``out``, clipped to what int16 holds.

    Args:
        out: ``(rows, columns)``, contiguous; int16 only where ``pixels.whole_numbers``.
        pixels: how they are stored.
        place: where they lie.

    Raises:
        SeriesRefused: the pixels are cut short or cannot be decoded.
    """
    in_place = out.dtype == np.int16
    stored = out.view(np.int16) if in_place else np.empty(out.shape, dtype=np.int16)
    if place.is_native:
        _read_native(stored, pixels, place)
    else:
        _decode(stored, pixels, place)
    values = stored if pixels.signed else stored.view(np.uint16)
    padded = _padding(values, pixels)
    if in_place and pixels.slope == 1 and abs(pixels.intercept) <= _HIGH:
        _shift(values, int(pixels.intercept))
    else:
        hu = values.astype(np.float32) if not in_place else values.astype(np.float64)
        hu *= pixels.slope
        hu += pixels.intercept
        np.clip(hu, _LOW, _HIGH, out=hu)
        out[...] = hu
    if padded is not None:
        out[padded] = PADDING_HU


def stored_bytes(pixels: PixelFormat, place: PixelPlace) -> bytes:
    """CT numbers of one slice as bytes, to tell whether two slices show the same.

    Raises:
        SeriesRefused: the pixels are cut short or cannot be decoded.
    """
    out = np.empty((pixels.rows, pixels.columns), dtype=np.float32)
    fill_slice(out, pixels, place)
    return out.tobytes()


def refuse_cut_short(pixels: PixelFormat, place: PixelPlace) -> None:
    """Refuse native pixels that end before the slice does, or go on after it, from lengths alone."""
    held = min(place.length, place.file_bytes - place.offset)
    wanted = pixels.frame_bytes * place.frames
    if place.is_native and held < wanted:
        raise _cut_short()
    if place.is_native and place.length > wanted + 1:
        raise SeriesRefused(
            "series.pixels-length",
            "A slice holds more pixels than its rows and columns say. Export the CT again from the scanner.",
        )


def _cut_short() -> SeriesRefused:
    return SeriesRefused(
        "series.pixels-truncated", "The pixels of a slice are cut short. Send the whole series again."
    )


def _read_native(out: NDArray[np.int16], pixels: PixelFormat, place: PixelPlace) -> None:
    target = out.data.cast("B")
    try:
        descriptor = os.open(place.file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise SeriesRefused(
            "series.file-unreadable", "A file of the series cannot be read from disk. Send the series again."
        ) from None
    try:
        start = place.offset + place.frame * pixels.frame_bytes
        done = 0
        while done < len(target):
            count = os.preadv(descriptor, [target[done:]], start + done)
            if count == 0:
                raise _cut_short()
            done += count
    finally:
        os.close(descriptor)
    if place.is_big_endian:
        out.byteswap(inplace=True)


def _decode(out: NDArray[np.int16], pixels: PixelFormat, place: PixelPlace) -> None:
    """Decode one frame into ``out``, ``(rows, columns)``."""
    request = {
        "file": str(place.file),
        "offset": place.offset,
        "transfer_syntax_uid": place.transfer_syntax_uid,
        "frame": place.frame,
        "image": _described(pixels, place.frames),
    }
    try:
        DECODERS.decode(request, out.data.cast("B"))
    except FrameUndecodable:
        raise SeriesRefused(
            "series.pixels-undecodable",
            "The compressed pixels of a slice cannot be decoded. Send the series again, or uncompressed.",
        ) from None


def _keep_stored_bits(values: NDArray[np.integer], pixels: PixelFormat) -> None:
    """Drop what lies above HighBit and below the stored bits (overlays did, PS3.5 8.1.1), in place."""
    if pixels.bits_stored == 16:
        return
    np.left_shift(values, 15 - pixels.high_bit, out=values)
    np.right_shift(values, 16 - pixels.bits_stored, out=values)


def _described(pixels: PixelFormat, frames: int) -> dict[str, Any]:
    """The Image Pixel module in the words of pydicom's decoders."""
    return {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "number_of_frames": frames,
        "samples_per_pixel": 1,
        "photometric_interpretation": pixels.photometric_interpretation,
        "pixel_keyword": "PixelData",
        "pixel_representation": int(pixels.signed),
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
    }


def _padding(values: NDArray[np.integer], pixels: PixelFormat) -> NDArray[np.bool_] | None:
    """Where the slice says it has no image; leaves in ``values`` the stored bits alone.

    Looked for on either side of dropping the unused bits: some write a padding value that needs all sixteen.
    """
    if pixels.padding is None:
        _keep_stored_bits(values, pixels)
        return None
    low, high = pixels.padding
    padded = (values >= low) & (values <= high)
    _keep_stored_bits(values, pixels)
    padded |= (values >= low) & (values <= high)
    return np.asarray(padded)


def _shift(values: NDArray[np.integer], intercept: int) -> None:
    """Add the intercept in place and stop at the ends of int16, whatever the sign of the stored values."""
    limits = np.iinfo(values.dtype)
    low, high = max(limits.min, _LOW - intercept), min(limits.max, _HIGH - intercept)
    # Looking for the ends takes a tenth of the time of cutting there, and hardly a CT reaches them.
    if (low > limits.min and values.min() < low) or (high < limits.max and values.max() > high):
        np.clip(values, low, high, out=values)
    if intercept:
        bits = values.view(np.uint16)
        np.add(bits, np.uint16(intercept % 65536), out=bits)
