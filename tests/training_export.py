"""What a planning system exports, small: CTs with balls for organs and structure sets by our own writer.

Every fault of a real export is put in by editing the structure set (``edit``) or the CT (``write_ct``'s
``tweak``) after it was made right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from drawn_structures import as_field, authorship, ball, segmentation
from pydicom import Dataset

from models.volume import Grid
from service.contouring.contours import contours_of
from service.contouring.ct_series import CtSeries
from service.contouring.profiles import profile_named
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.structure_names import rois_named
from service.dicom.ct_writer import SyntheticPatient, uid_of, write_ct
from service.dicom.patient_grids import patient_grid

GRID = patient_grid("HFS", shape_zyx=(26, 44, 48), spacing_zyx_mm=(3.0, 3.2, 2.8))

BALLS = {
    "Bladder": ((3.0, -26.0, 4.0), 14.0),
    "Rectum": ((-2.0, 34.0, -2.0), 24.0),
    "Femur_Head_L": ((44.0, 2.0, 1.0), 13.0),
    "Femur_Head_R": ((-43.0, 3.0, 0.0), 12.4),
}
"""Middle (LPS mm, from the middle of the CT) and radius, mm; high enough to be whole."""


def organs(grid: Grid = GRID) -> dict[str, np.ndarray]:
    """Masks of the balls."""
    middle = grid.positions_lps_mm(0, np.array((grid.rows - 1) / 2), np.array((grid.columns - 1) / 2))
    middle = middle + (grid.slice_origins_lps_mm[-1] - grid.slice_origins_lps_mm[0]) / 2
    return {name: ball(grid, middle + np.array(at), radius) > 0 for name, (at, radius) in BALLS.items()}


def hu_of(masks: Mapping[str, np.ndarray], grid: Grid = GRID, seed: int = 0) -> np.ndarray:
    """Air, a block of tissue and the organs in it, with noise of its own for each seed."""
    rng = np.random.default_rng(seed)
    hu = np.full(grid.shape_zyx, -1000, dtype=np.int16)
    hu[:, 3:-3, 3:-3] = 0
    for number, mask in enumerate(masks.values()):
        hu[mask] = 30 + 10 * number
    return hu + rng.integers(-8, 9, grid.shape_zyx, dtype=np.int16)


@dataclass
class Exported:
    """One CT with its structure set, as written."""

    folder: Path
    series: CtSeries
    masks: dict[str, np.ndarray]
    hu: np.ndarray


def export(
    folder: Path,
    patient_id: str = "ID1",
    *,
    seed: int = 0,
    grid: Grid = GRID,
    masks: Mapping[str, np.ndarray] | None = None,
    edit: Callable[[Dataset], None] | None = None,
    set_folder: Path | None = None,
    **ct_options: object,
) -> Exported:
    """Write a CT to ``folder`` and a structure set of ``masks`` (the balls) to it, or to ``set_folder``."""
    drawn = organs(grid) if masks is None else dict(masks)
    hu = hu_of(drawn, grid, seed)
    who = ct_options.pop("patient", None) or SyntheticPatient(
        name=f"Name^{patient_id}", patient_id=patient_id
    )
    files = write_ct(folder, hu, grid, patient=who, seed=seed, **ct_options)
    series = CtSeries.read(files)
    write_set((set_folder or folder) / "RS.dcm", series, drawn, edit=edit, number=seed)
    return Exported(folder, series, drawn, hu)


def write_set(
    file: Path,
    series: CtSeries,
    masks: Mapping[str, np.ndarray],
    *,
    edit: Callable[[Dataset], None] | None = None,
    number: int = 0,
    profile: str = "generic",
    keep_holes: bool = True,
    **changes: str,
) -> None:
    """Write a structure set of masks by our own writer; ``number`` tells several of one CT apart."""
    rois = rois_named(masks)
    fields = {name: as_field(mask, from_mask=True) for name, mask in masks.items()}
    made = segmentation(fields)
    holes = frozenset(masks) if keep_holes else frozenset()
    uids = {
        "sop_instance_uid": uid_of("set", number, series.series_instance_uid),
        "series_instance_uid": uid_of("series of sets", number),
    }
    contours = contours_of(made, series.grid, keep_holes=holes)
    structure_set = RtStructureSet(
        series, contours, made, rois, authorship(**uids), profile_named(profile, **changes)
    )
    ds = pydicom.dcmread(BytesIO(structure_set.encode()))
    if edit is not None:
        edit(ds)
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file)


def renamed(**names: str) -> Callable[[Dataset], None]:
    """Other ROI names than the structures' own."""

    def edit(ds: Dataset) -> None:
        ds.SpecificCharacterSet = "ISO_IR 192"
        for item in ds.StructureSetROISequence:
            item.ROIName = names.get(item.ROIName, item.ROIName)

    return edit


def contours_of_roi(ds: Dataset, name: str) -> list[Dataset]:
    """The contours of one ROI, to be changed in place."""
    number = next(item.ROINumber for item in ds.StructureSetROISequence if item.ROIName == name)
    return next(item for item in ds.ROIContourSequence if item.ReferencedROINumber == number).ContourSequence
