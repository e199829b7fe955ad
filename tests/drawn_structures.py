"""Small CT series, analytic structures on them, and structure sets of both, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from models.volume import Finding, Grid, Provenance, Segmentation, StructureField
from service.config.site import Equipment
from service.contouring.contours import contours_of
from service.contouring.ct_series import CtSeries
from service.contouring.instance_modules import Authorship
from service.contouring.profiles import Profile, profile_named
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.structure_names import kept_holes, rois_named
from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import patient_grid
from service.dicom.uids import derived_uid

MADE_AT = datetime(2026, 1, 15, 14, 5, 30, tzinfo=ZoneInfo("Europe/Stockholm"))
MODEL = Provenance("pelvis-ct", "1.0", "ab" * 32, validated=True)
GRID = patient_grid("HFS", shape_zyx=(12, 56, 60), spacing_zyx_mm=(3.0, 1.2, 0.9))


def ct_series(folder: Path, grid: Grid = GRID, **options) -> CtSeries:
    """A CT of air on the grid, written and read."""
    return CtSeries.read(write_ct(folder, np.full(grid.shape_zyx, -1000, np.int16), grid, **options))


def ball(grid: Grid, center_lps_mm=(0.0, 0.0, 0.0), radius_mm: float = 15.0) -> np.ndarray:
    """``(slices, rows, columns)``: millimetres inside the surface of a ball, negative outside."""
    rows, columns = np.mgrid[: grid.rows, : grid.columns].astype(float)
    planes = [grid.positions_lps_mm(k, rows, columns) for k in range(grid.shape_zyx[0])]
    return radius_mm - np.linalg.norm(np.stack(planes) - np.asarray(center_lps_mm), axis=-1)


def as_field(values: np.ndarray, *, from_mask: bool = False) -> StructureField:
    """Cropped to a box with a margin of one voxel where there is room, as models give it."""
    inside = np.argwhere(values > 0)
    low = np.maximum(inside.min(axis=0) - 1, 0)
    high = np.minimum(inside.max(axis=0) + 2, values.shape)
    box = values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if from_mask:
        box = np.where(box > 0, 1.0, -1.0)
    return StructureField(box.astype(np.float32), tuple(int(v) for v in low), from_mask)


def pelvis(grid: Grid = GRID, *, from_mask: bool = False) -> dict[str, StructureField]:
    """Seven structures without any symmetry; the spine has a hole, the uterus is on one slice."""
    middle = grid.positions_lps_mm(
        grid.shape_zyx[0] // 2, np.array(grid.rows / 2), np.array(grid.columns / 2)
    )

    def sphere(x: float, y: float, z: float, radius_mm: float) -> np.ndarray:
        return ball(grid, middle + np.array([x, y, z]), radius_mm)

    one_slice = np.full(grid.shape_zyx, -5.0)
    one_slice[7] = ball(grid, grid.positions_lps_mm(7, np.array(20.0), np.array(33.0)), 4.3)[7]
    shapes = {
        "External": sphere(0, 0, 0, 40.0),
        "Bladder": sphere(3.1, -9.3, 2.2, 9.7),
        "Rectum": sphere(-4.4, 14.2, -3.7, 7.3),
        "Femur_Head_L": sphere(15.2, 3.3, 1.1, 6.9),
        "Femur_Head_R": sphere(-14.1, 2.2, 0.6, 6.1),
        "Spine": np.minimum(sphere(4, 18, 4, 8.8), -sphere(4.6, 18.3, 4, 3.9)),
        "Uterus": one_slice,
    }
    return {name: as_field(values, from_mask=from_mask) for name, values in shapes.items()}


def segmentation(
    structures: Mapping[str, StructureField],
    findings: tuple[Finding, ...] = (),
    made_by: Provenance = MODEL,
) -> Segmentation:
    return Segmentation(structures, made_by, findings)


def authorship(**changes) -> Authorship:
    """Fixed UIDs and time; what else a test wants."""
    values = {
        "sop_instance_uid": derived_uid("2.25", "a job", "a destination"),
        "series_instance_uid": derived_uid("2.25", "a job", "series"),
        "made_at": MADE_AT,
        "label": "AI pelvis",
        "equipment": Equipment(),
        "software_version": "Delineate 0.1.0",
    }
    return Authorship(**(values | changes))


def structure_set(
    series: CtSeries, made: Segmentation, *, profile: Profile | str = "generic", rois=None, **changes
) -> RtStructureSet:
    """The structure set of a segmentation with names, colours and holes as the list of structures says."""
    rois = rois_named(made.structures) if rois is None else rois
    contours = contours_of(made, series.grid, keep_holes=kept_holes(rois))
    profile = profile_named(profile) if isinstance(profile, str) else profile
    return RtStructureSet(series, contours, made, rois, authorship(**changes), profile)


def slice_keys(series: CtSeries) -> list[tuple[str, int | None]]:
    return [(reference.sop_instance_uid, reference.frame_number) for reference in series.references]
