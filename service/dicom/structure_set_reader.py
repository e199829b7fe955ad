"""Reads RT Structure Sets, ours and those of others: what they say, and their ROIs as masks.

Tolerant: an ROI without contours, a contour without references or of another geometric type is read as such.
Shares nothing with the writer but the grid, so that a fault of the one shows in the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from models.volume import FloatArray, Grid
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.planar_contours import (
    DrawnContours,
    PlanarContour,
    SliceKey,
    as_points,
    points_of,
    scanned_contours,
)
from service.dicom.polygon_filling import fill, rasterise
from service.errors import StructureSetInvalid

_ROI_CONTOURS: Final = Tag(0x3006, 0x0039)
_CONTOUR_DATA: Final = Tag(0x3006, 0x0050)
AREAS: Final = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
"""Contour Geometric Types that enclose something."""


@dataclass(frozen=True, slots=True, repr=False)
class Roi:
    """One region of interest: its items of the three sequences of a structure set, joined by ROI Number.

    Attributes:
        number: ROI Number (3006,0022).
        name: ROI Name (3006,0026).
        interpreted_type: RT ROI Interpreted Type (3006,00A4), empty if absent.
        frame_of_reference_uid: Referenced Frame of Reference UID (3006,0024).
        color: ROI Display Color (3006,002A).
        contours: in the order of the file.
    """

    number: int
    name: str
    interpreted_type: str
    frame_of_reference_uid: str
    color: tuple[int, ...]
    contours: tuple[PlanarContour, ...]


@dataclass(frozen=True, slots=True, repr=False)
class StructureSet:
    """A structure set as read.

    Attributes:
        header: all of it, unparsed where nothing was asked of it.
        approval_status: Approval Status (300E,0002), empty if absent.
        frame_of_reference_uids: of the Referenced Frame of Reference Sequence.
        series_instance_uids: of the images it refers to.
        images: the images that the set as a whole refers to.
        rois: by ROI number, in the order of the Structure Set ROI Sequence.
    """

    header: Dataset
    approval_status: str
    frame_of_reference_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    images: tuple[SliceKey, ...]
    rois: tuple[Roi, ...]


@dataclass(frozen=True, slots=True, repr=False)
class RoiSlices:
    """The contours of an ROI laid upon the slices of a CT.

    Attributes:
        polygons: by slice index, each ``(n, 2)`` (column, row), whole numbers at pixel centres.
        heights_mm: by slice index, for each polygon how far above the slice's plane (along the grid's normal)
            its lowest and its highest point lie.
        placed_by_position: contours without a usable reference, put on the slice that they lie nearest to.
        left_out: contours that lie on no slice of this CT.
    """

    polygons: Mapping[int, tuple[FloatArray, ...]]
    heights_mm: Mapping[int, tuple[tuple[float, float], ...]]
    placed_by_position: int = 0
    left_out: int = 0

    @property
    def farthest_off_plane_mm(self) -> float:
        """Largest distance of a point from the plane of its slice."""
        ends = (max(-low, high) for heights in self.heights_mm.values() for low, high in heights)
        return max(ends, default=0.0)

    def masks(self, grid: Grid) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Slice index and ``(rows, columns)`` bool of every slice with a contour, ascending."""
        for k in sorted(self.polygons):
            yield k, rasterise(self.polygons[k], grid.rows, grid.columns)


def read_structure_set(source: bytes | Path) -> StructureSet:
    """Read a Part 10 file, or its bytes.

    Raises:
        StructureSetInvalid: it is not DICOM, not an RT Structure Set, or its contours are not numbers.
        OSError: the file cannot be read.
    """
    try:
        ds = dcmread(BytesIO(source) if isinstance(source, bytes) else source)
        if ds.get("SOPClassUID") != RTStructureSetStorage:
            raise StructureSetInvalid(
                "structure-set.other-class", "This DICOM file is no RT Structure Set. Give one."
            )
        return _structure_set(ds)
    except LIBRARY_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file, not of what is in it
        raise StructureSetInvalid(
            "structure-set.unreadable",
            "The file cannot be read as an RT Structure Set. Export it again from where it was made.",
        ) from error


def read_masks(source: bytes | Path, grid: Grid, slices: Sequence[SliceKey]) -> dict[str, NDArray[np.bool_]]:
    """Masks ``(slices, rows, columns)`` by ROI name; ROIs that enclose nothing on this CT are absent.

    Args:
        source: the structure set.
        grid: the CT's own slices.
        slices: SOP instance UID and frame number of each slice of the grid.
    """
    masks = {}
    for roi in read_structure_set(source).rois:
        mask = roi_mask(roi, grid, slices)
        if mask.any():
            masks[roi.name] = mask
    return masks


def roi_mask(roi: Roi, grid: Grid, slices: Sequence[SliceKey]) -> NDArray[np.bool_]:
    """One ROI as a mask ``(slices, rows, columns)``: every voxel whose centre its contours enclose."""
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    for k, polygons in roi_slices(roi, grid, slices).polygons.items():
        fill(mask[k], polygons)
    return mask


def roi_slices(roi: Roi, grid: Grid, slices: Sequence[SliceKey]) -> RoiSlices:
    """Lay each closed contour upon the slice that it refers to, or else upon the slice that it lies in.

    A contour that refers to none of these slices goes to the nearest one if all its points are within that
    slice's own width; otherwise it is left out and counted.
    """
    index = {key: k for k, key in enumerate(slices)}
    frame = _Frame.of(grid)
    polygons: dict[int, list[FloatArray]] = {}
    heights: dict[int, list[tuple[float, float]]] = {}
    by_position, left_out = 0, 0
    for contour in roi.contours:
        if contour.geometric_type not in AREAS or len(contour.points_lps_mm) < 3:
            continue
        k = next((index[key] for key in contour.images if key in index), None)
        if k is None:
            k = _slice_at(contour.points_lps_mm, grid)
            if k is None:
                left_out += 1
                continue
            by_position += 1
        pixels, height = frame.in_slice(contour.points_lps_mm, k)
        polygons.setdefault(k, []).append(pixels)
        heights.setdefault(k, []).append(height)
    return RoiSlices(
        {k: tuple(many) for k, many in polygons.items()},
        {k: tuple(many) for k, many in heights.items()},
        by_position,
        left_out,
    )


def _structure_set(ds: Dataset) -> StructureSet:
    frames = ds.get("ReferencedFrameOfReferenceSequence", [])
    series = [
        item
        for frame in frames
        for study in frame.get("RTReferencedStudySequence", [])
        for item in study.get("RTReferencedSeriesSequence", [])
    ]
    return StructureSet(
        header=ds,
        approval_status=str(ds.get("ApprovalStatus", "")),
        frame_of_reference_uids=tuple(str(frame.get("FrameOfReferenceUID", "")) for frame in frames),
        series_instance_uids=tuple(str(item.get("SeriesInstanceUID", "")) for item in series),
        images=tuple(key for item in series for key in _images(item)),
        rois=tuple(_rois(ds)),
    )


def _rois(ds: Dataset) -> Iterator[Roi]:
    drawn = _drawn(ds)
    observed = {int(item.ReferencedROINumber): item for item in ds.get("RTROIObservationsSequence", [])}
    for item in ds.get("StructureSetROISequence", []):
        number = int(item.ROINumber)
        color, contours = drawn.get(number, ((), ()))
        observation = observed.get(number, Dataset())
        yield Roi(
            number=number,
            name=str(item.get("ROIName", "")),
            interpreted_type=str(observation.get("RTROIInterpretedType") or ""),
            frame_of_reference_uid=str(item.get("ReferencedFrameOfReferenceUID", "")),
            color=color,
            contours=contours,
        )


def _drawn(ds: Dataset) -> dict[int, DrawnContours]:
    """Colour and contours by ROI number: from the bytes where they are still there, else from data sets."""
    element: DataElement | RawDataElement | None = ds.get_item(_ROI_CONTOURS)
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes) and element.is_little_endian:
        with suppress(ValueError):  # something unusual in it: for pydicom to read, or to refuse
            return scanned_contours(element.value, explicit=not element.is_implicit_VR)
    return {
        int(item.ReferencedROINumber): (
            tuple(int(value) for value in item.get("ROIDisplayColor") or ()),
            tuple(_contour(one) for one in item.get("ContourSequence", [])),
        )
        for item in ds.get("ROIContourSequence", [])
    }


def _contour(item: Dataset) -> PlanarContour:
    return PlanarContour(_points(item), str(item.get("ContourGeometricType", "")), tuple(_images(item)))


def _images(item: Dataset) -> Iterator[SliceKey]:
    for image in item.get("ContourImageSequence", []):
        frame = image.get("ReferencedFrameNumber")
        yield (
            str(image.get("ReferencedSOPInstanceUID", "")),
            None if frame is None else int(np.atleast_1d(frame)[0]),
        )


def _points(item: Dataset) -> FloatArray:
    """``(n, 3)`` Contour Data, from the bytes where they are still there: far faster than by DS values."""
    element: DataElement | RawDataElement | None = item.get_item(_CONTOUR_DATA)
    if element is None or not element.value:
        return np.empty((0, 3))
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        return points_of(element.value)
    return as_points([float(value) for value in item[_CONTOUR_DATA].value])


@dataclass(frozen=True, slots=True)
class _Frame:
    """A grid's slices as something to measure points in.

    Attributes:
        origins_lps_mm: ``(n, 3)`` first voxel of each slice.
        axes: ``(3, 3)`` columns that turn an offset in mm into column, row and mm above the slice.
    """

    origins_lps_mm: FloatArray
    axes: FloatArray

    @classmethod
    def of(cls, grid: Grid) -> _Frame:
        column = grid.column_step_lps_mm / grid.column_spacing_mm**2
        row = grid.row_step_lps_mm / grid.row_spacing_mm**2
        return cls(grid.slice_origins_lps_mm, np.stack([column, row, grid.normal], axis=1))

    def in_slice(self, points_lps_mm: FloatArray, k: int) -> tuple[FloatArray, tuple[float, float]]:
        """The points in pixels of slice ``k``, and how far the lowest and the highest lie above it, mm."""
        found = (points_lps_mm - self.origins_lps_mm[k]) @ self.axes
        above = found[:, 2]
        return found[:, :2], (float(above.min()), float(above.max()))


def _slice_at(points_lps_mm: FloatArray, grid: Grid) -> int | None:
    """The slice whose plane is nearest to the contour, if no point is farther from it than half its width."""
    heights = (points_lps_mm - grid.slice_origins_lps_mm[0]) @ grid.normal
    k = int(np.argmin(np.abs(grid.slice_offsets_mm - heights.mean())))
    distance = float(np.abs(heights - grid.slice_offsets_mm[k]).max())
    return k if distance <= grid.slice_widths_mm[k] / 2 + 1e-6 else None
