"""A model bundle as a site would bring its own: it knows where the surfaces are and sees only the grid.

Its answer can be worked out on paper for any grid, so that whole-node tests are fast and exact.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from textwrap import dedent

import numpy as np
import yaml
from pydicom.uid import ExplicitVRLittleEndian

from models.volume import Grid
from service.dicom.ct_writer import SyntheticPatient, Tweak, write_ct
from service.dicom.patient_grids import patient_grid

CENTRE = np.array([12.0, -30.0, -400.0])
SPHERES = {  # centre and radius in mm, LPS: x to the patient's left
    "Bladder": ((12.0, -50.0, -400.0), 31.0),
    "Femur_Head_L": ((82.0, -25.0, -398.0), 22.0),
    "Femur_Head_R": ((-66.0, -27.0, -402.0), 23.0),
}
ONE_SLICE_RADIUS = 9.0
ON_ONE_SLICE = "Rectum"  # a disc on the one slice nearest to CENTRE
STRUCTURES = [*SPHERES, ON_ONE_SLICE]

MODEL = f"""
    import numpy as np
    SPHERES = {SPHERES!r}
    CENTRE = {CENTRE.tolist()!r}

    def segment(volume):
        grid = volume.grid
        shape = grid.shape_zyx
        rows, columns = np.mgrid[0 : shape[1], 0 : shape[2]].astype(float)
        places = np.stack([grid.positions_lps_mm(k, rows, columns) for k in range(shape[0])])
        out = {{}}
        for name, (centre, radius) in SPHERES.items():
            distance = np.linalg.norm(places - centre, axis=-1) - radius
            out[name] = 1 / (1 + np.exp(np.clip(distance, -30, 30)))
        nearest = np.argmin(np.abs((grid.slice_origins_lps_mm - CENTRE) @ grid.normal))
        along = (places[nearest] - CENTRE) - np.outer((places[nearest] - CENTRE).reshape(-1, 3) @ grid.normal,
            grid.normal).reshape(shape[1], shape[2], 3)
        distance = np.linalg.norm(along, axis=-1) - {ONE_SLICE_RADIUS}
        one = np.zeros(shape)
        one[nearest] = 1 / (1 + np.exp(np.clip(distance, -30, 30)))
        out["{ON_ONE_SLICE}"] = one
        return out
"""


def write_bundle(folder: Path, program: str = MODEL) -> None:
    """A folder ``<bundles>/<name>`` with a card and a hashed program, the analytic one unless told otherwise."""
    folder.mkdir(parents=True)
    code = folder / "model.py"
    code.write_text(dedent(program))
    card = {
        "name": folder.name, "version": "1.0", "kind": "program", "summary": "analytic shapes",
        "intended_use": "tests", "licence": "Apache-2.0", "validated": True, "validation": "exact by construction",
        "structures": {name: {"extent": "the analytic shape", "volume_cm3": [0.01, 500]} for name in STRUCTURES},
        "program": {"file": code.name, "sha256": hashlib.sha256(code.read_bytes()).hexdigest()},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))


def small_ct(
    folder: Path,
    seed: int,
    *,
    slices: int = 12,
    series_number: int = 2,
    patient: SyntheticPatient | None = None,
    study_description: str = "Pelvis",
    transfer_syntax: str = ExplicitVRLittleEndian,
    tweak: Tweak | None = None,
) -> list[Path]:
    """A head first supine CT of ``slices`` x 48 x 48 voxels that all structures of the bundle lie in."""
    grid = small_grid(slices)
    hu = np.full(grid.shape_zyx, 20 + seed % 50, np.int16)
    return write_ct(
        folder, hu, grid, seed=seed, series_number=series_number, patient=patient,
        study_description=study_description, transfer_syntax=transfer_syntax, tweak=tweak,
    )  # fmt: skip


def small_grid(slices: int = 12) -> Grid:
    """Where :func:`small_ct` lies."""
    shape = (slices, 48, 48)
    return patient_grid("HFS", shape_zyx=shape, spacing_zyx_mm=(4.0, 5.0, 5.0), center_lps_mm=CENTRE)
