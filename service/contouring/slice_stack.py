"""The files of a series into one stack of slices, ascending along their normal, or the reason why not."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import EnhancedCTImageStorage

from service.contouring.ct_pixels import stored_bytes
from service.contouring.enhanced_ct import frames_of
from service.contouring.series_checks import Limits, check_class, check_slices, is_lossy, phases_refusal
from service.contouring.slice_header import SliceHeader, read_header, single_frame
from service.dicom.slice_geometry import StackGeometry, analyse
from service.errors import SeriesRefused
from service.log import EventLog

_log = EventLog("contouring")


@dataclass(frozen=True, slots=True, repr=False)
class SliceStack:
    """Slices that may be contoured.

    Attributes:
        slices: ascending along the normal.
        geometry: of these slices.
        localizers: how many images were left out as localizers.
        like_slices: how many of these differ from the slices in nothing but what they call themselves.
        duplicates: how many slices were left out because they repeat another one.
    """

    slices: tuple[SliceHeader, ...]
    geometry: StackGeometry
    localizers: int
    like_slices: int
    duplicates: int


def read_stack(files: Sequence[Path], limits: Limits) -> SliceStack:
    """Read the headers of a series and put its slices in order.

    Raises:
        SeriesRefused: with a stable code and a sentence for people.
    """
    images, localizers = _without_localizers(_headers(files, limits))
    check_slices(images, limits)
    images, duplicates, geometry = _in_order(images)
    _refuse_stack(images, geometry, limits)
    like_slices = sum(1 for header in localizers if _is_like(header, images[0]))
    return SliceStack(tuple(images), geometry, len(localizers), like_slices, duplicates)


def _headers(files: Sequence[Path], limits: Limits) -> list[SliceHeader]:
    slices: list[SliceHeader] = []
    enhanced = 0
    for file in sorted(files):
        instance = read_header(file)
        if instance.sop_class_uid == EnhancedCTImageStorage:
            enhanced += 1
            if not limits.enhanced_ct:
                raise SeriesRefused(
                    "series.enhanced-ct",
                    "The series is an Enhanced (multi-frame) CT, which this node does not take. Export it "
                    "as one image a slice, or set enhanced_ct in the configuration.",
                )
            frames = frames_of(instance)
        else:
            frames = [single_frame(instance)]
        check_class(frames[0])
        slices.extend(frames)
    if enhanced and len(files) > 1:
        raise SeriesRefused(
            "series.enhanced-several",
            "The series holds several multi-frame CT images. Send the one that is planned on, whole.",
        )
    if not slices:
        raise SeriesRefused("series.no-slices", "The series has no CT slice. Send the planning CT again.")
    return slices


def _without_localizers(slices: list[SliceHeader]) -> tuple[list[SliceHeader], list[SliceHeader]]:
    images = [header for header in slices if "LOCALIZER" not in header.image_type]
    dropped = [header for header in slices if "LOCALIZER" in header.image_type]
    if not images:
        raise SeriesRefused(
            "series.only-localizers", "The series holds localizers only. Send the planning CT."
        )
    if dropped:
        _log.info("localizers-left-out", count=len(dropped))
    return images, dropped


def _is_like(localizer: SliceHeader, image: SliceHeader) -> bool:
    """Whether it has the slices' orientation, size and spacing: a scout is seen from another side."""
    one, other = localizer.pixels, image.pixels
    measures = (
        (localizer.orientation, image.orientation),
        (localizer.pixel_spacing_mm, image.pixel_spacing_mm),
    )
    return (one.rows, one.columns) == (other.rows, other.columns) and all(
        np.allclose(a, b, rtol=0, atol=1e-3) for a, b in measures
    )


def _geometry(slices: Sequence[SliceHeader]) -> StackGeometry:
    return analyse([h.position_lps_mm for h in slices], [h.orientation for h in slices])


def _in_order(slices: list[SliceHeader]) -> tuple[list[SliceHeader], int, StackGeometry]:
    """Slices ascending along the normal, the newest of each identical pair left out."""
    geometry = _geometry(slices)
    dropped = _repeated(slices, geometry)
    if dropped:
        _log.warning("duplicate-slices-left-out", count=len(dropped))
        slices = [header for i, header in enumerate(slices) if i not in dropped]
        geometry = _geometry(slices)
    if len({(h.sop_instance_uid, h.frame_number) for h in slices}) < len(slices):
        raise SeriesRefused(
            "series.duplicate-instance",
            "Two different slices carry the same SOP Instance UID. Export the CT again from the scanner.",
        )
    if geometry.refusal is not None:
        raise SeriesRefused(*geometry.refusal)
    return [slices[i] for i in geometry.order], len(dropped), geometry


def _repeated(slices: Sequence[SliceHeader], geometry: StackGeometry) -> set[int]:
    """Indices of slices to leave out; refuses where one position shows two different images."""
    positions = len(slices) - sum(len(group) - 1 for group in geometry.duplicates)
    dropped: set[int] = set()
    for group in geometry.duplicates:
        shown = defaultdict(list)
        for i in group:
            pixels = stored_bytes(slices[i].pixels, slices[i].place)
            shown[hashlib.sha256(pixels).digest()].append(i)
        if len(shown) > 1:
            if len(geometry.duplicates) > positions / 2:
                raise SeriesRefused(*phases_refusal(len(group)))
            z = slices[group[0]].position_lps_mm[2]
            raise SeriesRefused(
                "series.duplicate-position",
                f"{len(group)} different images lie at the same position, z = {z:.1f} mm. "
                "Send one reconstruction, one phase.",
            )
        oldest = min(group, key=lambda i: (slices[i].received_at, i))
        dropped.update(set(group) - {oldest})
    return dropped


def _refuse_stack(slices: Sequence[SliceHeader], geometry: StackGeometry, limits: Limits) -> None:
    if len(slices) < limits.minimum_slices:
        raise SeriesRefused(
            "series.too-few-slices",
            f"The series has {len(slices)} slices; a planning CT has {limits.minimum_slices} at least. "
            "Send the whole series.",
        )
    low, high = limits.slice_spacing_mm
    if not low <= geometry.spacing_mm <= high or geometry.offsets_mm[-1] >= limits.extent_mm:
        raise SeriesRefused(
            "series.slice-spacing",
            f"Slices {geometry.spacing_mm:.2f} mm apart over {geometry.offsets_mm[-1]:.0f} mm are no "
            f"planning CT ({low:g} to {high:g} mm, under {limits.extent_mm:.0f} mm).",
        )
    if limits.lossy == "refuse" and any(is_lossy(header) for header in slices):
        raise SeriesRefused(
            "series.lossy",
            "The CT was compressed with loss, which this site does not allow. Send the original images.",
        )
