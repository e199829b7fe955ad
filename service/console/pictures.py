"""What a picture of a case is drawn from: where the voxels are, CT numbers, contours.

A page asks for the slices in parts and draws by itself; nothing here renders. Pixels are read from the spool
as they are asked for, so that a CT that is looked at takes no memory of this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from service.config.output_objects import ObjectKind
from service.console.callers import Reader, premises_of
from service.console.job_api import JobId
from service.console.refusals import ERRORS, ConsoleRefused

if TYPE_CHECKING:
    from pathlib import Path

    from service.backlog.records import Job
    from service.console.open_cases import OpenCases
    from service.contouring.ct_series import CtSeries
    from service.dicom.structure_set_reader import Roi

router = APIRouter(prefix="/api/v1/jobs", tags=["pictures"], responses=ERRORS)

MOST_AT_ONCE: Final = 64
"""Slices in one answer: 32 MiB of 512 x 512."""
_NO_COLOR: Final = (255, 255, 0)  # of an ROI that names none

Vector = tuple[float, float, float]


class CtGeometry(BaseModel):
    """Where the voxels of a CT are. Positions are in the patient's coordinates (LPS), mm."""

    rows: int
    columns: int
    slices: int
    patient_id: str
    slice_origins_lps_mm: list[Vector] = Field(description="first voxel of each slice, along the normal")
    slice_offsets_mm: list[float] = Field(description="of each slice along the normal, from the first")
    column_step_lps_mm: Vector = Field(description="from one column to the next")
    row_step_lps_mm: Vector = Field(description="from one row to the next")


class DrawnRoi(BaseModel):
    """An ROI of the structure set, laid upon the slices of its CT."""

    number: int
    name: str
    type: str = Field(description="RT ROI Interpreted Type")
    color: tuple[int, int, int]
    volume_cm3: float | None
    first_slice: int | None
    last_slice: int | None
    polygons: dict[int, list[list[float]]] = Field(
        description="by slice: of each closed contour column and row by turns, whole at pixel centres"
    )


class Drawing(BaseModel):
    """A job's structure set; ``rois`` is empty before there is one."""

    destination: str | None
    approval_status: str | None
    rois: list[DrawnRoi]


@router.get("/{job}/ct")
def geometry(request: Request, caller: Reader, job: JobId) -> CtGeometry:
    """Where the voxels of the job's CT are. Shows who the patient is."""
    premises = premises_of(request)
    series = _series(request, premises.ledger.job(job))
    premises.audit.record("looked.job", who=caller.who, address=caller.address, job_id=job)
    grid = series.grid
    return CtGeometry(
        rows=grid.rows,
        columns=grid.columns,
        slices=len(series.references),
        patient_id=str(series.header.get("PatientID", "")),
        slice_origins_lps_mm=grid.slice_origins_lps_mm.tolist(),
        slice_offsets_mm=grid.slice_offsets_mm.tolist(),
        column_step_lps_mm=_vector(grid.column_step_lps_mm),
        row_step_lps_mm=_vector(grid.row_step_lps_mm),
    )


@router.get("/{job}/ct/slices", response_class=Response)
def slices(
    request: Request,
    caller: Reader,  # noqa: ARG001 - to be asked for is its use
    job: JobId,
    first: Annotated[int, Query(ge=0, description="the first slice")],
    count: Annotated[int, Query(ge=1, le=MOST_AT_ONCE, description="how many")] = 1,
) -> Response:
    """CT numbers of some slices, row by row: Hounsfield units as 16 bits, signed, little-endian."""
    series = _series(request, premises_of(request).ledger.job(job))
    if first + count > len(series.references):
        sentence = f"The CT has {len(series.references)} slices, of which the first has the number 0."
        raise ConsoleRefused(416, "console.no-such-slice", sentence)
    hu = np.clip(np.rint(series.part(first, count)), -32768, 32767).astype("<i2")
    return Response(hu.tobytes(), media_type="application/octet-stream")


@router.get("/{job}/contours")
def contours(request: Request, caller: Reader, job: JobId) -> Drawing:  # noqa: ARG001
    """The job's structure set in the pixels of its CT."""
    from service.dicom.structure_set_reader import read_structure_set

    premises = premises_of(request)
    found = premises.ledger.job(job)
    destination, file = _structure_set_file(request, job)
    if file is None:
        return Drawing(destination=None, approval_status=None, rois=[])
    series = _series(request, found)
    structure_set = read_structure_set(file)
    volumes = premises.ledger.story(job).volumes_cm3
    rois = [_drawn(roi, series, volumes.get(roi.name)) for roi in structure_set.rois]
    return Drawing(destination=destination, approval_status=structure_set.approval_status, rois=rois)


def _series(request: Request, job: Job) -> CtSeries:
    cases: OpenCases = request.app.state.cases
    return cases.series(job)


def _structure_set_file(request: Request, job: str) -> tuple[str | None, Path | None]:
    """The newest structure set of a job that is still on disk, and to where it goes if anywhere."""
    premises = premises_of(request)
    sets = [each for each in premises.ledger.deliveries(job) if each.kind is ObjectKind.RTSTRUCT]
    there = [each for each in sets if each.file.exists()]
    if there:
        return there[-1].destination, there[-1].file
    made = sorted((premises.storage / "jobs" / job).glob("rtstruct*.dcm"))  # in shadow, or a trial
    return None, made[0] if made else None


def _drawn(roi: Roi, series: CtSeries, volume_cm3: float | None) -> DrawnRoi:
    from service.dicom.structure_set_reader import roi_slices

    keys = [(reference.sop_instance_uid, reference.frame_number) for reference in series.references]
    laid = roi_slices(roi, series.grid, keys)
    red, green, blue = roi.color if len(roi.color) == 3 else _NO_COLOR
    return DrawnRoi(
        number=roi.number,
        name=roi.name,
        type=roi.interpreted_type,
        color=(red, green, blue),
        volume_cm3=volume_cm3,
        first_slice=min(laid.polygons, default=None),
        last_slice=max(laid.polygons, default=None),
        polygons={
            k: [np.round(polygon, 2).ravel().tolist() for polygon in laid.polygons[k]]
            for k in sorted(laid.polygons)
        },
    )


def _vector(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
