"""What people must be told of a CT that is accepted: each a stable code and a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from models.volume import Finding, Severity
from service.contouring.ct_pixels import PixelFormat
from service.contouring.series_checks import is_lossy
from service.contouring.slice_header import SliceHeader
from service.contouring.slice_stack import SliceStack
from service.dicom.patient_grids import ORIENTATIONS
from service.dicom.slice_geometry import StackGeometry

_TISSUE_HU: Final = -500.0
_TILTED_DEGREES: Final = 0.5  # less is how exactly a gantry stands


def findings_of(stack: SliceStack) -> tuple[Finding, ...]:
    """What the reader of a structure set made of this stack must know."""
    slices, geometry = stack.slices, stack.geometry
    found = [
        *_left_out(stack.localizers, stack.like_slices, stack.duplicates),
        *_spacing(geometry),
        *_patient_position(slices, geometry),
        *_gantry_tilt(slices, geometry),
        *_interleaved(slices),
    ]
    if any(is_lossy(header) for header in slices):
        found.append(
            Finding(
                "ct.lossy", "The CT was compressed with loss, or may have been: small structures may suffer."
            )
        )
    units = {header.rescale_type for header in slices} - {"", "HU", "US"}
    if units:
        found.append(
            Finding(
                "ct.rescale-type",
                f"The CT says that its values are {', '.join(sorted(units))}, not HU; they were taken as HU.",
            )
        )
    if any(_hides_tissue(header.pixels) for header in slices):
        found.append(
            Finding(
                "ct.padding-in-tissue",
                "The CT marks 'no image' by a value that tissue may have (PixelPaddingValue); "
                "pixels of that value were taken as air.",
            )
        )
    return tuple(found)


def _left_out(localizers: int, like_slices: int, duplicates: int) -> Iterator[Finding]:
    if like_slices > 1:
        yield Finding(
            "ct.localizers-like-slices",
            f"{like_slices} images call themselves localizers, were left out, and are like the slices in all "
            "else: part of the CT may be missing. Look at the CT; if so, export it again.",
            severity=Severity.HOLD,
        )
    elif localizers:
        yield Finding(
            "ct.localizers-left-out", f"{localizers} localizer images were left out.", severity=Severity.NOTE
        )
    if duplicates:
        yield Finding(
            "ct.duplicates-left-out",
            f"{duplicates} slices that repeat another one were left out.",
            severity=Severity.NOTE,
        )


def _spacing(geometry: StackGeometry) -> Iterator[Finding]:
    for gap in geometry.ends:
        yield Finding(
            "ct.end-stands-off",
            f"The slices at {gap.from_mm:.1f} and {gap.to_mm:.1f} mm, at an end of the CT, lie twice the "
            "slice spacing apart: one slice may be missing there.",
        )
    if geometry.non_uniform and not geometry.ends:
        steps = np.diff(geometry.offsets_mm)
        yield Finding(
            "ct.non-uniform",
            f"The slice spacing changes along the CT ({steps.min():.2f} to {steps.max():.2f} mm).",
        )


def _interleaved(slices: Sequence[SliceHeader]) -> Iterator[Finding]:
    """Two scans in one series, at places of their own, look like one evenly spaced stack.

    Blocks scanned one after the other each have their part of the stack: no value comes back after another.
    """
    said = [header.acquisition for header in slices]
    turns = 1 + sum(one != other for one, other in pairwise(said))
    if turns > len(set(said)):
        yield Finding(
            "ct.acquisitions-interleaved",
            f"Slices of {len(set(said))} acquisitions or reconstructions lie between one another: the series "
            "may be two scans in one. Look at the CT, and send one reconstruction alone.",
            severity=Severity.HOLD,
        )


def _patient_position(slices: Sequence[SliceHeader], geometry: StackGeometry) -> Iterator[Finding]:
    """Contours follow the image orientation alone; the label is only compared with it (PS3.3 C.7.3.1.1.2)."""
    said = {header.patient_position for header in slices}
    if said == {""}:
        yield Finding(
            "ct.patient-position-missing",
            "The CT does not say how the patient lay (PatientPosition); left and right follow from the "
            "images' orientation.",
        )
        return
    if abs(geometry.normal[2]) < np.sqrt(0.5):
        yield Finding("ct.not-transverse", "The images are not transverse.")
        return
    actual = np.median([header.orientation for header in slices], axis=0)
    lies_as = max(ORIENTATIONS, key=lambda name: float(np.dot(ORIENTATIONS[name], actual)))
    if said != {lies_as}:
        labels = ", ".join(sorted(label if label in ORIENTATIONS else "?" for label in said))
        yield Finding(
            "ct.patient-position-contradicts",
            f"PatientPosition says {labels}, but the images lie as for {lies_as}. Contours follow the "
            "images: check left and right on the CT itself.",
            severity=Severity.HOLD,
        )


def _gantry_tilt(slices: Sequence[SliceHeader], geometry: StackGeometry) -> Iterator[Finding]:
    """A tilt that the slices no longer have was taken out by a reformat, or lost by a program on the way."""
    said = np.nan_to_num(np.abs([header.gantry_tilt_degrees for header in slices])).max()
    lies = np.degrees(np.arccos(min(abs(float(geometry.normal[2])), 1.0)))
    if said > _TILTED_DEGREES > lies:
        yield Finding(
            "ct.gantry-tilt-contradicts",
            f"The scanner's gantry was tilted by {said:.1f} degrees (GantryDetectorTilt), but the slices "
            "lie as if it were not: they were reformatted, or the tilt was lost and the CT is sheared. "
            "Look at a sagittal plane of the CT.",
        )


def _hides_tissue(pixels: PixelFormat) -> bool:
    if pixels.padding is None:
        return False
    low, high = sorted(stored * pixels.slope + pixels.intercept for stored in pixels.padding)
    return high > _TISSUE_HU and low < -_TISSUE_HU * 6
