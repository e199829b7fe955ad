"""A reviewed structure with everything that lies on disk: a CT, the node's set, and the set that came back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawn_structures import GRID, as_field, ball, segmentation, structure_set
from reviewed_structures import new_structure, reviewed

from models.volume import Provenance
from service.backlog.ledger import Ledger
from service.backlog.records import (
    Job,
    JobState,
    Mode,
    PatientIdentity,
    ReceivedInstance,
    ReceivedSeries,
    SeriesState,
)
from service.backlog.review_records import SliceMeasures
from service.contouring.ct_series import CtSeries
from service.dicom.ct_writer import write_ct

RADIUS_MM = 12.0
SHIFT_MM = 4.0
"""The reviewer moved the bladder so far to the patient's back."""


@dataclass(frozen=True)
class CaseOnDisk:
    """What was made.

    Attributes:
        job: whose structure set it is.
        id: row of the reviewed structure.
        files: of the CT.
        ours, theirs: the structure sets.
    """

    job: Job
    id: int
    files: tuple[Path, ...]
    ours: Path
    theirs: Path


def case_on_disk(ledger: Ledger, storage: Path, uid: str = "2.25.1", **changes: object) -> CaseOnDisk:
    """A ball called Bladder, of which the reviewer's copy is shifted by ``SHIFT_MM``; ``changes`` of the row."""
    folder = storage / "spool" / "incoming" / uid
    files = tuple(write_ct(folder, _hu(), GRID))
    job = _job(ledger, uid, folder, files)
    series = CtSeries.read(files)
    middle = GRID.positions_lps_mm(
        GRID.shape_zyx[0] // 2, np.array(GRID.rows / 2), np.array(GRID.columns / 2)
    )
    sets = []
    for name, shift in (("rtstruct-generic.dcm", 0.0), ("reviewed.dcm", SHIFT_MM)):
        field = as_field(ball(GRID, middle + np.array([0.0, shift, 0.0]), RADIUS_MM))
        drawn = structure_set(series, segmentation({"Bladder": field}))
        file = storage / "jobs" / job.id / name if shift == 0.0 else storage / "reviews" / f"{uid}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(drawn.encode())
        sets.append(file)
    row = reviewed(
        **({"job_id": job.id, "dsc": 0.75, "added_path_mm": 130.0, "contours_untouched": 0.0} | changes)
    )
    positions_mm = GRID.slice_origins_lps_mm @ GRID.normal
    slices = [SliceMeasures(float(positions_mm[k]), 0.7 + 0.01 * k, 20.0, "edited") for k in range(3, 10)]
    with ledger.begin() as conn:
        set_id = ledger.add_reviewed_set(
            conn, name=f"set-of-{uid}", received_at=row.received_at, series_id=1, sender="TPS", file=sets[1],
            sha256="00" * 32, approval="APPROVED",
        )  # fmt: skip
        assert set_id is not None
        [number] = ledger.add_reviewed_structures(conn, set_id, [new_structure(row, slices)])
    return CaseOnDisk(job, number, files, *sets)


def _hu() -> np.ndarray:
    """Water in air, so that a picture shows something."""
    k, row, column = np.indices(GRID.shape_zyx)
    del k
    inside = ((row - GRID.rows / 2) * 1.2) ** 2 + ((column - GRID.columns / 2) * 0.9) ** 2 < 24.0**2
    return np.where(inside, 20, -1000).astype(np.int16)


def _job(ledger: Ledger, uid: str, folder: Path, files: tuple[Path, ...]) -> Job:
    place = ("1.2.840.10008.5.1.4.1.1.2", f"{uid}.1", "2.25.9", uid, "1.2", "SCANNER", "DELINEATE")
    instance = ReceivedInstance(*place, "127.0.0.1", 1e9, files[0])
    series = ReceivedSeries(uid, "2.25.9", "SCANNER", "DELINEATE", "127.0.0.1", folder, (instance,), 1e9, 1e9)
    patient = PatientIdentity("4711", "Lindqvist^Åsa", "19510203", "F", study_description="Pelvis")
    with ledger.begin() as conn:
        row = ledger.record_series(conn, series, patient, SeriesState.ROUTED, None, None)
        job = ledger.create_job(
            conn, series_id=row, protocol="pelvis", files=files, routes=("all",), destinations=(), mode=Mode.SHADOW,
            priority=100, config_version="0" * 12,
        )  # fmt: skip
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        said = Provenance("pelvis-ct", "2.0", "ab" * 32, validated=False)
        ledger.record_segmentation(conn, job.id, said, [], {"Bladder": 7.2}, {})
    return job
