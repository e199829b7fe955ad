"""Where a contoured CT lies: kept beside its structure sets, which can be compared when the CT is gone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.volume import Grid
from service.dicom.planar_contours import SliceKey

GEOMETRY_FILE: Final = "ct-geometry.json"
"""Its name in a job's folder."""


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

    def as_json(self) -> bytes:
        """What :meth:`read` reads; every number to the last bit."""
        grid = self.grid
        content = {
            "slice_origins_lps_mm": grid.slice_origins_lps_mm.tolist(),
            "column_step_lps_mm": grid.column_step_lps_mm.tolist(),
            "row_step_lps_mm": grid.row_step_lps_mm.tolist(),
            "rows": grid.rows,
            "columns": grid.columns,
            "slices": [list(key) for key in self.slices],
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "series_instance_uid": self.series_instance_uid,
        }
        return json.dumps(content).encode()

    @classmethod
    def read(cls, folder: Path) -> CtGeometry | None:
        """What lies in a job's folder; None if nothing does."""
        try:
            content = json.loads((folder / GEOMETRY_FILE).read_bytes())
        except FileNotFoundError:
            return None
        grid = Grid(
            slice_origins_lps_mm=np.array(content["slice_origins_lps_mm"], dtype=np.float64),
            column_step_lps_mm=np.array(content["column_step_lps_mm"], dtype=np.float64),
            row_step_lps_mm=np.array(content["row_step_lps_mm"], dtype=np.float64),
            rows=content["rows"],
            columns=content["columns"],
        )
        slices = [(str(uid), frame) for uid, frame in content["slices"]]
        return cls(grid, slices, content["frame_of_reference_uid"], content["series_instance_uid"])
