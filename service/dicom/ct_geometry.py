"""Where a contoured CT lies: its grid is kept beside its structure sets, which name its slices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.volume import Grid
from service.dicom.planar_contours import SliceKey
from service.dicom.structure_set_reader import StructureSet

GRID_FILE: Final = "ct-grid.json"
"""Its name in a job's folder. It holds coordinates and no UID: those stand in DICOM files alone."""

_VECTORS: Final = ("slice_origins_lps_mm", "column_step_lps_mm", "row_step_lps_mm")


@dataclass(frozen=True, slots=True, repr=False)
class CtGeometry:
    """A CT without its pixels.

    Attributes:
        grid: where its voxels are.
        slices: SOP Instance UID and frame number of each slice of the grid.
        frame_of_reference_uid, series_instance_uid: of the CT.
    """

    grid: Grid
    slices: Sequence[SliceKey]
    frame_of_reference_uid: str
    series_instance_uid: str

    @classmethod
    def of_set(cls, grid: Grid, ours: StructureSet) -> CtGeometry:
        """Of the CT that a set of ours was made of: it names every image, in the grid's order.

        Raises:
            ValueError: the set is of another CT than the grid.
        """
        whole = len(ours.images) == len(grid.slice_origins_lps_mm)
        if not whole or len(ours.frame_of_reference_uids) != 1 or len(ours.series_instance_uids) != 1:
            message = "a structure set of another CT than the grid"
            raise ValueError(message)
        return cls(grid, ours.images, ours.frame_of_reference_uids[0], ours.series_instance_uids[0])


def grid_as_json(grid: Grid) -> bytes:
    """What :func:`read_grid` reads; every number to the last bit."""
    vectors = {name: getattr(grid, name).tolist() for name in _VECTORS}
    return json.dumps({**vectors, "rows": grid.rows, "columns": grid.columns}).encode()


def read_grid(folder: Path) -> Grid | None:
    """The grid that was kept in a job's folder; None if none was."""
    try:
        content = json.loads((folder / GRID_FILE).read_bytes())
    except FileNotFoundError:
        return None
    vectors = {name: np.array(content[name], dtype=np.float64) for name in _VECTORS}
    return Grid(**vectors, rows=content["rows"], columns=content["columns"])
