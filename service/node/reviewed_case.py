"""One reviewed structure with its CT: our contours and the reviewer's, slice by slice, in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from service.backlog.database import LedgerRefused
from service.backlog.spool import Spool
from service.dicom.ct_geometry import CtGeometry
from service.dicom.structure_set_reader import read_structure_set
from service.evaluation.commissioning_report import CasePicture
from service.evaluation.our_sets import set_of
from service.evaluation.rois import DrawnRoi, drawn_rois, our_structures

if TYPE_CHECKING:
    from models.volume import FloatArray
    from service.backlog.ledger import Ledger
    from service.backlog.review_records import ReviewedStructure, SliceMeasures
    from service.config.reader import LoadedSite
    from service.contouring.ct_pixels import HuArray
    from service.contouring.ct_series import CtSeries

_MARGIN_MM: Final = 25.0
Polygons = tuple["FloatArray", ...]
"""Closed contours of a slice, each ``(n, 2)``: column and row, whole numbers at pixel centres."""


@dataclass(frozen=True, slots=True, repr=False)
class ReviewedSlice:
    """One slice on which one of the two contours is.

    Attributes:
        index: of the slice in the CT, from 0.
        position_mm: along the grid's normal.
        ours, theirs: contours; empty where there is none.
        measures: as the ledger has them, None if it has none of this slice.
    """

    index: int
    position_mm: float
    ours: Polygons
    theirs: Polygons
    measures: SliceMeasures | None


@dataclass(frozen=True, slots=True, repr=False)
class ReviewedCase:
    """A reviewed structure as it can be drawn.

    Attributes:
        reviewed: the row of the ledger.
        series: the CT.
        slices: those with a contour, ascending along the normal.
    """

    reviewed: ReviewedStructure
    series: CtSeries
    slices: tuple[ReviewedSlice, ...]

    def hu(self, index: int) -> HuArray:
        """One slice of the CT, ``(rows, columns)``."""
        slices: HuArray = self.series.part(index, 1)
        found: HuArray = slices[0]
        return found

    @property
    def worst(self) -> int:
        """Number among ``slices`` of the one changed most: least DSC, then the longest added path."""
        measured = [(k, each.measures) for k, each in enumerate(self.slices) if each.measures is not None]
        if not measured:
            return len(self.slices) // 2
        return min(measured, key=lambda each: (each[1].dsc, -each[1].added_path_mm))[0]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First column and row, and how many of both, around all contours with a margin."""
        points = np.concatenate([p for each in self.slices for p in (*each.ours, *each.theirs)])
        grid = self.series.grid
        margin = (_MARGIN_MM / grid.column_spacing_mm, _MARGIN_MM / grid.row_spacing_mm)
        low = np.maximum(points.min(axis=0) - margin, 0).astype(int)
        high = np.minimum(points.max(axis=0) + margin, (grid.columns - 1, grid.rows - 1)).astype(int)
        wide, tall = (high - low + 1).tolist()
        return int(low[0]), int(low[1]), wide, tall


def reviewed_case(
    loaded: LoadedSite, ledger: Ledger, reviewed: ReviewedStructure, series: CtSeries | None = None
) -> ReviewedCase:
    """Read what is on disk of a reviewed structure.

    Args:
        loaded: the configuration, which says who the sender of the reviewed set is.
        ledger: where the files lie.
        reviewed: which structure.
        series: the CT of its job, if it is open already.

    Raises:
        LedgerRefused: ``review.files-gone``, ``review.not-drawn``: a person is told why.
        SeriesRefused: the CT cannot be read any more.
        StructureSetInvalid: one of the structure sets cannot be read any more.
    """
    if reviewed.their_name is None:
        sentence = (
            "No contour came back that belongs to this structure, so there is nothing to show beside ours."
        )
        raise LedgerRefused("review.not-drawn", sentence)
    job = ledger.job(reviewed.job_id)
    theirs = ledger.reviewed_file(reviewed.set_id)
    sender = ledger.reviewed_set(reviewed.set_id).sender
    ours = set_of(job, sender, ledger, Spool(loaded.storage), loaded)
    if ours is None or theirs is None or not all(each.is_file() for each in (ours, theirs, *job.files)):
        sentence = (
            "The CT or one of the structure sets was deleted, as node.retention and evaluation.keep_days "
            "say. What was measured stays; a picture needs the files."
        )
        raise LedgerRefused("review.files-gone", sentence)
    if series is None:
        from service.contouring.ct_series import CtSeries

        series = CtSeries.read(job.files)
    geometry = CtGeometry(
        grid=series.grid,
        slices=[(each.sop_instance_uid, each.frame_number) for each in series.references],
        frame_of_reference_uid=series.frame_of_reference_uid,
        series_instance_uid=series.series_instance_uid,
    )
    of_ours = our_structures(read_structure_set(ours), geometry)
    drawn = [each.roi for each in of_ours if each.structure == reviewed.structure]
    edited = [
        roi for roi in drawn_rois(read_structure_set(theirs), geometry) if roi.name == reviewed.their_name
    ]
    both = (_polygons(drawn), _polygons(edited))
    return ReviewedCase(reviewed, series, _slices(series, *both, ledger.slice_measures(reviewed.id)))


def picture_of(case: ReviewedCase, place: str) -> CasePicture:
    """The most changed slice, cut to the contours, for a report."""
    shown = case.slices[case.worst]
    column, row, wide, tall = case.box
    corner = np.array([column, row])
    grid = case.series.grid
    return CasePicture(
        place=place,
        hu=case.hu(shown.index)[row : row + tall, column : column + wide].copy(),
        ours=[points - corner for points in shown.ours],
        theirs=[points - corner for points in shown.theirs],
        aspect=grid.row_spacing_mm / grid.column_spacing_mm,
    )


def _polygons(rois: Sequence[DrawnRoi]) -> Mapping[int, Polygons]:
    """Of the first that has any."""
    return next((roi.slices.polygons for roi in rois if roi.slices.polygons), {})


def _slices(
    series: CtSeries,
    ours: Mapping[int, Polygons],
    theirs: Mapping[int, Polygons],
    measures: Sequence[SliceMeasures],
) -> tuple[ReviewedSlice, ...]:
    grid = series.grid
    positions_mm = grid.slice_origins_lps_mm @ grid.normal  # (slices,)
    by_index = {int(np.abs(positions_mm - each.position_mm).argmin()): each for each in measures}
    found = []
    for k in sorted({*ours, *theirs}):
        both = (ours.get(k, ()), theirs.get(k, ()))
        found.append(ReviewedSlice(k, float(positions_mm[k]), *both, by_index.get(k)))
    if not found:
        sentence = (
            "Neither contour lies on a slice of this CT. `delineate reviews show` says what was compared."
        )
        raise LedgerRefused("review.not-drawn", sentence)
    return tuple(found)
