"""Contours of a structure set, and how they are read from the bytes of the ROI Contour Sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.volume import FloatArray
from service.dicom.sequence_items import Item, items_of

SliceKey = tuple[str, int | None]
"""SOP Instance UID of an image, and the frame number if it has several frames."""

_ROI_NUMBER: Final = 0x30060084
_COLOR: Final = 0x3006002A
_CONTOURS: Final = 0x30060040
_IMAGES: Final = 0x30060016
_GEOMETRIC_TYPE: Final = 0x30060042
_DATA: Final = 0x30060050
_SOP_INSTANCE_UID: Final = 0x00081155
_FRAME_NUMBER: Final = 0x00081160
_NOTHING: Final = memoryview(b"")


@dataclass(frozen=True, slots=True, repr=False)
class PlanarContour:
    """One item of the Contour Sequence (3006,0040).

    Attributes:
        points_lps_mm: ``(n, 3)`` Contour Data.
        geometric_type: CLOSED_PLANAR, CLOSEDPLANAR_XOR, POINT ...
        images: what its Contour Image Sequence refers to; empty if absent.
    """

    points_lps_mm: FloatArray
    geometric_type: str
    images: tuple[SliceKey, ...] = ()


DrawnContours = tuple[tuple[int, ...], tuple[PlanarContour, ...]]
"""ROI Display Color, and the contours in the order of the file."""


def scanned_contours(value: bytes, *, explicit: bool) -> dict[int, DrawnContours]:
    """Colour and contours by Referenced ROI Number.

    Args:
        value: of the ROI Contour Sequence, little endian.
        explicit: elements name their VR.

    Raises:
        ValueError: it holds something unusual, that a DICOM library may still be able to read.
    """
    return {
        int(_text(roi, _ROI_NUMBER)): (
            tuple(int(part) for part in _text(roi, _COLOR).split("\\") if part),
            tuple(
                PlanarContour(
                    points_of(bytes(contour.get(_DATA, _NOTHING))),
                    _text(contour, _GEOMETRIC_TYPE),
                    tuple(_images(contour, explicit=explicit)),
                )
                for contour in items_of(roi.get(_CONTOURS, _NOTHING), explicit=explicit)
            ),
        )
        for roi in items_of(memoryview(value), explicit=explicit)
    }


def points_of(value: bytes) -> FloatArray:
    """``(n, 3)`` of a value of Contour Data (3006,0050).

    Raises:
        ValueError: it is not made of triples of finite numbers.
    """
    value = value.rstrip(b" \0")
    return as_points(list(map(float, value.split(b"\\"))) if value else [])


def as_points(values: Sequence[float]) -> FloatArray:
    """``(n, 3)`` of coordinates one after another.

    Raises:
        ValueError: they are not triples of finite numbers.
    """
    points = np.array(values, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        message = "a coordinate is not a finite number"
        raise ValueError(message)
    return points


def _images(contour: Item, *, explicit: bool) -> Iterator[SliceKey]:
    for image in items_of(contour.get(_IMAGES, _NOTHING), explicit=explicit):
        frame = _text(image, _FRAME_NUMBER)
        yield _text(image, _SOP_INSTANCE_UID), int(frame.split("\\")[0]) if frame else None


def _text(item: Item, tag: int) -> str:
    """A value of the default repertoire without padding; empty if absent."""
    return str(item.get(tag, _NOTHING), "ascii").strip(" \0")
