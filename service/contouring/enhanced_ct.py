"""The frames of an Enhanced CT Image (PS3.3 A.38) as slices, from its functional groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from service.contouring.header_elements import IDENTITY, TAGS, Header, absent, decimals, raw, text, values
from service.contouring.slice_header import (
    INSTANCE_NUMBERS,
    INSTANCE_TEXTS,
    InstanceHeader,
    SliceHeader,
    pixel_format,
)
from service.dicom.library_errors import LIBRARY_ERRORS
from service.errors import SeriesRefused

_PLANE_POSITION: Final = 0x00209113
_PLANE_ORIENTATION: Final = 0x00209116
_PIXEL_MEASURES: Final = 0x00289110
_PIXEL_VALUE_TRANSFORMATION: Final = 0x00289145
_FRAME_CONTENT: Final = 0x00209111
_FRAME_TYPE_SEQUENCE: Final = 0x00189329
_FRAME_TYPE: Final = 0x00089007

MAXIMUM_FRAMES: Final = 10_000


def frames_of(instance: InstanceHeader) -> list[SliceHeader]:
    """One slice a frame, in the order of the frames.

    Raises:
        SeriesRefused: the functional groups do not describe every frame.
    """
    try:
        return _frames_of(instance)
    except LIBRARY_ERRORS:  # pydicom reads them only now
        raise _not_described() from None


def _not_described() -> SeriesRefused:
    return SeriesRefused(
        "series.functional-groups",
        "The multi-frame CT does not describe each of its frames. Export it as one image a slice.",
    )


def _frames_of(instance: InstanceHeader) -> list[SliceHeader]:
    ds = instance.ds
    shared, frames = (
        _items(ds, "SharedFunctionalGroupsSequence"),
        _items(ds, "PerFrameFunctionalGroupsSequence"),
    )
    said = decimals(ds, TAGS["NumberOfFrames"], 1)[0]
    if said != len(frames) or not 0 < len(frames) <= MAXIMUM_FRAMES:
        raise _not_described()
    common = shared[0] if shared else Dataset()
    whole = _whole(instance, len(frames))
    return [_frame(whole, index, frame, common) for index, frame in enumerate(frames)]


def _items(ds: Header, name: str) -> Sequence[Dataset]:
    return list(ds[TAGS[name]].value or ()) if isinstance(ds, Dataset) and TAGS[name] in ds else []


def _group(frame: Dataset, common: Dataset, tag: int) -> Dataset:
    """The single item of a functional group: the frame's own, else the one shared by all."""
    for holder in (frame, common):
        if tag in holder and holder[tag].value:
            item: Dataset = holder[tag].value[0]
            return item
    return Dataset()


def _whole(instance: InstanceHeader, frames: int) -> SliceHeader:
    """What all frames have in common; the frame's own attributes are still to come."""
    ds = instance.ds
    nan = float("nan")
    return SliceHeader(
        sop_class_uid=text(ds, TAGS["SOPClassUID"]),
        sop_instance_uid=text(ds, TAGS["SOPInstanceUID"]),
        series_instance_uid=text(ds, TAGS["SeriesInstanceUID"]),
        frame_number=1,
        identity=tuple(raw(ds, tag).rstrip(b"^= ") for tag in IDENTITY.values()),
        modality=text(ds, TAGS["Modality"]),
        patient_position=text(ds, TAGS["PatientPosition"]),
        rescale_type="",
        image_type=values(ds, TAGS["ImageType"]),
        position_lps_mm=(nan,) * 3,
        orientation=(nan,) * 6,
        pixel_spacing_mm=(nan,) * 2,
        phase="",
        gantry_tilt_degrees=nan,
        acquisition=(),
        lossy=text(ds, TAGS["LossyImageCompression"]) == "01",
        missing=absent(ds, INSTANCE_TEXTS, INSTANCE_NUMBERS),
        pixels=pixel_format(ds, nan, nan),
        place=replace(instance.place, frames=frames),
        received_at=instance.received_at,
    )


def _frame(whole: SliceHeader, index: int, frame: Dataset, common: Dataset) -> SliceHeader:
    position = _group(frame, common, _PLANE_POSITION)
    orientation = _group(frame, common, _PLANE_ORIENTATION)
    measures = _group(frame, common, _PIXEL_MEASURES)
    rescale = _group(frame, common, _PIXEL_VALUE_TRANSFORMATION)
    content = _group(frame, common, _FRAME_CONTENT)
    missing = (
        *whole.missing,
        *absent(position, ("ImagePositionPatient",)),
        *absent(orientation, ("ImageOrientationPatient",)),
        *absent(measures, ("PixelSpacing",)),
        *absent(rescale, ("RescaleIntercept", "RescaleSlope")),
    )
    return replace(
        whole,
        frame_number=index + 1,
        rescale_type=text(rescale, TAGS["RescaleType"]),
        image_type=values(_group(frame, common, _FRAME_TYPE_SEQUENCE), _FRAME_TYPE) or whole.image_type,
        position_lps_mm=decimals(position, TAGS["ImagePositionPatient"], 3),
        orientation=decimals(orientation, TAGS["ImageOrientationPatient"], 6),
        pixel_spacing_mm=decimals(measures, TAGS["PixelSpacing"], 2),
        phase=raw(content, TAGS["TemporalPositionIndex"]).hex(),
        missing=missing,
        pixels=replace(
            whole.pixels,
            slope=decimals(rescale, TAGS["RescaleSlope"], 1)[0],
            intercept=decimals(rescale, TAGS["RescaleIntercept"], 1)[0],
        ),
        place=replace(whole.place, frame=index),
    )
