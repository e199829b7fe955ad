"""The ROI Contour module (PS3.3 C.8.8.6) as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.volume import FloatArray, Grid
from service.contouring.contours import Contour
from service.contouring.ct_series import CtSeries, SliceReference
from service.contouring.polygons import keyholed, simplified
from service.contouring.structure_names import Roi
from service.dicom.element_encoder import ElementEncoder

if TYPE_CHECKING:
    from service.config.tps_profile import Holes

LONGEST_VALUE: Final = 65_534
"""Bytes of Contour Data beyond which explicit VR has no length for it (PS3.5 6.2.2 would make it UN)."""

_FIRST_TOLERANCE_MM: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Shape:
    """One item of a Contour Sequence to be."""

    slice_index: int
    pixels: FloatArray
    geometric_type: str


def encoded_roi_contours(
    encoder: ElementEncoder,
    series: CtSeries,
    drawn: Sequence[tuple[Roi, Sequence[Contour]]],
    holes: Holes,
) -> bytes:
    """The value of the ROI Contour Sequence (3006,0039); ROI numbers count from 1 in the order given."""
    images = [encoded_images(encoder, [reference]) for reference in series.references]
    return b"".join(
        encoder.item(
            encoder.element(0x3006002A, "IS", "\\".join(str(part) for part in roi.color)),
            encoder.sequence(
                0x30060040,
                (
                    _encoded_contour(encoder, series.grid, images[shape.slice_index], shape, number)
                    for number, shape in enumerate(_shapes(contours, holes), 1)
                ),
            ),
            encoder.element(0x30060084, "IS", str(roi_number)),
        )
        for roi_number, (roi, contours) in enumerate(drawn, 1)
    )


def encoded_images(encoder: ElementEncoder, references: Iterable[SliceReference]) -> bytes:
    """A Contour Image Sequence (3006,0016), each frame of a multi-frame image by its number."""
    return encoder.sequence(
        0x30060016,
        (
            encoder.item(
                encoder.element(0x00081150, "UI", reference.sop_class_uid),
                encoder.element(0x00081155, "UI", reference.sop_instance_uid),
                b""
                if reference.frame_number is None
                else encoder.element(0x00081160, "IS", str(reference.frame_number)),
            )
            for reference in references
        ),
    )


def contour_data(points_lps_mm: FloatArray) -> bytes:
    """Contour Data (3006,0050): decimal strings of at most 16 characters, to a micrometre.

    A coordinate that is the same in all points is written with all its digits: on transverse slices it is the
    image's own z, and receivers compare the two.
    """
    rounded = np.round(points_lps_mm, 3) + 0.0
    varies = np.ptp(points_lps_mm, axis=0) > 1e-9
    template = "\\".join(
        "%.3f" if changes else decimal_string(value)
        for changes, value in zip(varies, points_lps_mm[0], strict=True)
    )
    values = tuple(rounded[:, varies].ravel().tolist())
    return ("\\".join([template] * len(rounded)) % values).encode("ascii")


def decimal_string(value: float) -> str:
    """A DS value of 10 significant digits, never finer than 1e-12: at most 16 characters (PS3.5 6.2)."""
    return f"{round(float(value), 12) + 0.0:.10g}"


def _shapes(contours: Sequence[Contour], holes: Holes) -> Iterable[_Shape]:
    """Contours as they will be written: each outer ring with its holes, however these are expressed."""
    rings: dict[int, list[FloatArray]] = {}
    for index, contour in enumerate(contours):
        rings.setdefault(index if contour.hole_of is None else contour.hole_of, []).append(contour.pixels)
    hollow = any(len(group) > 1 for group in rings.values())
    for index, (outer, *inner) in rings.items():
        k = contours[index].slice_index
        if hollow and holes == "xor":
            for ring in (outer, *inner):
                yield _Shape(k, ring, "CLOSEDPLANAR_XOR")
        elif holes == "rings":
            for ring in (outer, *inner):
                yield _Shape(k, ring, "CLOSED_PLANAR")
        else:
            yield _Shape(k, keyholed(outer, inner) if inner else outer, "CLOSED_PLANAR")


def _encoded_contour(encoder: ElementEncoder, grid: Grid, images: bytes, shape: _Shape, number: int) -> bytes:
    pixels = shape.pixels
    data = _data_of(grid, shape.slice_index, pixels)
    tolerance_mm = _FIRST_TOLERANCE_MM
    while len(data) > LONGEST_VALUE:
        spacing_mm = np.array([grid.column_spacing_mm, grid.row_spacing_mm])
        pixels = simplified(shape.pixels, spacing_mm, tolerance_mm)
        data = _data_of(grid, shape.slice_index, pixels)
        tolerance_mm *= 2
    return encoder.item(
        images,
        encoder.element(0x30060042, "CS", shape.geometric_type),
        encoder.element(0x30060046, "IS", str(len(pixels))),
        encoder.element(0x30060048, "IS", str(number)),
        encoder.element(0x30060050, "DS", data),
    )


def _data_of(grid: Grid, k: int, pixels: FloatArray) -> bytes:
    return contour_data(grid.positions_lps_mm(k, pixels[:, 1], pixels[:, 0]))
