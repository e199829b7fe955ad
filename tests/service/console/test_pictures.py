"""A page gets the voxels that the CT has, where they are, and the contours that the structure set draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_structures import GRID, pelvis, segmentation, structure_set
from numpy.typing import NDArray

from models.volume import Provenance
from service.backlog.records import Job, JobState
from service.backlog.spool import Spool
from service.contouring.ct_series import CtSeries
from service.dicom.ct_writer import write_ct

SLICES, ROWS, COLUMNS = GRID.shape_zyx


@pytest.fixture
def hu() -> NDArray[np.int16]:
    """Every voxel another number: slice x 1000 + row x 10 + column, less what keeps it above -1024."""
    k, row, column = np.indices(GRID.shape_zyx)
    return (k * 1000 + row * 10 + column - 1000).astype(np.int16)


@pytest.fixture
def job(desk: Any, tmp_path: Path, hu: NDArray[np.int16]) -> Job:
    """A job whose CT is in the spool and whose structure set waits for delivery."""
    files = write_ct(tmp_path / "ct", hu, GRID)
    row = desk.series()
    with desk.ledger.begin() as conn:
        made = desk.ledger.create_job(
            conn, series_id=row, protocol="external", files=files, routes=("all",),
            destinations=("eclipse",), mode="send", priority=100, config_version="0" * 12,
        )  # fmt: skip
    return made


def contoured(desk: Any, job: Job) -> None:
    drawn = structure_set(CtSeries.read(job.files), segmentation(pelvis()))
    file = Spool(desk.premises.storage).job_folder(job.id) / "rtstruct.dcm"
    file.write_bytes(drawn.encode())
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, job.id, JobState.CONTOURING)
        said = Provenance("pelvis-ct", "2.0", "ab" * 32, validated=False)
        desk.ledger.record_segmentation(conn, job.id, said, [], {"Bladder": 3.8}, {})
        desk.ledger.create_delivery(
            conn, job_id=job.id, destination="eclipse", file=file, sop_instance_uid="2.25.7"
        )


def test_where_the_voxels_are(desk: Any, job: Job) -> None:
    told = desk.client.get(f"/api/v1/jobs/{job.id}/ct", headers=desk.as_("reader")).json()
    assert (told["slices"], told["rows"], told["columns"]) == (12, 56, 60)
    assert told["column_step_lps_mm"] == [0.9, 0, 0]
    assert told["row_step_lps_mm"] == [0, 1.2, 0]
    assert np.allclose(told["slice_offsets_mm"], 3 * np.arange(12))
    assert np.allclose(told["slice_origins_lps_mm"], GRID.slice_origins_lps_mm)


def test_slices_are_hounsfield_units_in_the_order_of_the_grid(
    desk: Any, job: Job, hu: NDArray[np.int16]
) -> None:
    address = f"/api/v1/jobs/{job.id}/ct/slices"
    answer = desk.client.get(address, params={"first": 7, "count": 2}, headers=desk.as_("reader"))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert np.array_equal(np.frombuffer(answer.content, "<i2").reshape(2, ROWS, COLUMNS), hu[7:9])


@pytest.mark.parametrize(
    ("first", "count", "status"), [(11, 2, 416), (12, 1, 416), (-1, 1, 422), (0, 65, 422)]
)
def test_slices_that_there_are_not(desk: Any, job: Job, first: int, count: int, status: int) -> None:
    address = f"/api/v1/jobs/{job.id}/ct/slices?first={first}&count={count}"
    assert desk.client.get(address, headers=desk.as_("reader")).status_code == status


def test_contours_lie_on_the_pixels_that_they_were_drawn_about(desk: Any, job: Job) -> None:
    contoured(desk, job)
    told = desk.client.get(f"/api/v1/jobs/{job.id}/contours", headers=desk.as_("reader")).json()
    assert (told["destination"], told["approval_status"]) == ("eclipse", "UNAPPROVED")
    rois = {roi["name"]: roi for roi in told["rois"]}
    assert list(rois["Uterus"]["polygons"]) == ["7"]
    assert (rois["Uterus"]["first_slice"], rois["Uterus"]["last_slice"]) == (7, 7)
    (points,) = rois["Uterus"]["polygons"]["7"]
    columns, rows = np.array(points[::2]), np.array(points[1::2])
    # a circle of 4.3 mm about row 20, column 33; pixels are 1.2 mm high and .9 mm wide
    assert np.allclose(np.hypot((columns - 33) * 0.9, (rows - 20) * 1.2), 4.3, atol=0.1)
    assert rois["Bladder"]["volume_cm3"] == 3.8


def test_before_there_is_a_structure_set_nothing_is_drawn(desk: Any, job: Job) -> None:
    told = desk.client.get(f"/api/v1/jobs/{job.id}/contours", headers=desk.as_("reader")).json()
    assert told == {"destination": None, "approval_status": None, "rois": []}


def test_a_ct_that_was_purged_is_said_to_be_gone(desk: Any, job: Job) -> None:
    for file in job.files:
        file.unlink()
    answer = desk.client.get(f"/api/v1/jobs/{job.id}/ct", headers=desk.as_("reader"))
    assert (answer.status_code, answer.json()["code"]) == (409, "series.file-unreadable")


@pytest.mark.parametrize("what", ["ct", "ct/slices?first=0", "contours"])
def test_nobody_sees_a_picture_without_signing_in(desk: Any, job: Job, what: str) -> None:
    assert desk.client.get(f"/api/v1/jobs/{job.id}/{what}").status_code == 401


def test_who_looked_is_written_down(desk: Any, job: Job) -> None:
    desk.client.get(f"/api/v1/jobs/{job.id}/ct", headers=desk.as_("reader"))
    (entry,) = [each for each in desk.premises.audit.entries() if each.code == "looked.job"]
    assert (entry.who, entry.job_id) == ("console:reader", job.id)


def test_the_preview_is_a_document_that_readers_may_have_and_that_is_written_down(
    desk: Any, job: Job
) -> None:
    pytest.importorskip("matplotlib")
    address = f"/case/{job.id}/preview"
    before = desk.client.get(address, headers=desk.as_("reader"))
    assert before.status_code == 404
    contoured(desk, job)
    answer = desk.client.get(address, headers=desk.as_("reader"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF-")
    assert f'filename="preview-{job.id}.pdf"' in answer.headers["content-disposition"]
    assert "looked.preview" in [each.code for each in desk.premises.audit.entries()]
    nobody = desk.client.get(address, follow_redirects=False)
    assert (nobody.status_code, nobody.headers["location"].partition("?")[0]) == (303, "/sign-in")
    page = desk.client.get(f"/case/{job.id}", headers=desk.as_("reader")).text
    assert f'href="{address}"' in page
