"""A protocol is tried on a stored CT: contoured, shown, sent to nobody, and in nobody's way."""

from __future__ import annotations

import time

import numpy as np
import pytest

from models.predictor import load as load_model
from models.volume import CtVolume
from service.arrival.jobs_of_series import JobMaker
from service.backlog.audit import Deed
from service.backlog.records import JobState, Mode, SeriesState
from service.backlog.spool import Spool
from service.contouring.worker import ContourWorker
from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import patient_grid, sample_hu


class Models:
    """The model process's place: runs the bundle here."""

    def segment(self, fill, grid, dtype, card, structures, *, deadline_seconds, progress=None):
        hu = np.empty(grid.shape_zyx, dtype)
        fill(hu)
        return load_model(card, "cpu").segment(CtVolume(hu, grid), structures, progress)


class Nobody:
    def tell(self, code, sentence, job_id=None) -> None:
        pass


@pytest.fixture
def row(desk) -> int:
    """A series that no route took, 20 slices of a cylinder of water, and a scout."""
    row = desk.series(state=SeriesState.UNROUTED, code="series.no-route")
    folder = desk.ledger.series(row).folder
    for each in folder.glob("*.dcm"):
        each.unlink()
    grid = patient_grid(shape_zyx=(20, 64, 64), spacing_zyx_mm=(5.0, 5.0, 5.0))
    write_ct(folder, sample_hu(grid, lambda x, y, _z: -1000.0 + 1000.0 * (x**2 + y**2 < 110.0**2)), grid)
    return row


def attempt(desk, row: int, protocol: str = "external", role: str = "operator"):
    return desk.client.post(
        f"/api/v1/series/{row}/trial", json={"protocol": protocol}, headers=desk.as_(role)
    )


def contour(desk, job: str) -> None:
    premises = desk.premises
    ContourWorker(
        premises.loaded, desk.ledger, premises.engine(), Spool(premises.storage), (Models(),), Nobody()
    ).contour(job)


def test_it_is_contoured_and_shown_and_nothing_is_sent(desk, row):
    answer = attempt(desk, row)
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    job = desk.ledger.job(answer.json()["job"])
    assert (job.protocol, job.mode, job.destinations, job.priority, len(job.files)) == (
        "trial:external:1", Mode.SHADOW, (), 1000, 20,
    )  # fmt: skip
    assert f"contour:{job.id}:1" in desk.premises.engine().under_way()
    contour(desk, job.id)
    assert desk.ledger.job(job.id).state is JobState.DONE
    assert desk.ledger.deliveries(job.id) == []
    page = desk.client.get(f"/case/{job.id}", headers=desk.as_("reader")).text
    assert "External" in page
    assert "1 – 20 (20)" in page  # the cylinder goes through all slices
    assert "made, never sent" in page
    drawn = desk.client.get(f"/api/v1/jobs/{job.id}/contours", headers=desk.as_("reader")).json()
    assert [roi["name"] for roi in drawn["rois"]] == ["External"]
    (changed,) = [entry for entry in desk.premises.audit.entries() if entry.deed is Deed.CHANGED]
    assert (changed.code, changed.who, changed.job_id) == ("job.trial", "console:operator", job.id)


def test_it_is_as_if_there_were_no_trial(desk, row):
    """A route that takes the CT later makes its own job; that nobody took it stays in the list; no set is counted."""
    attempt(desk, row)
    series = desk.ledger.series(row)
    assert desk.ledger.latest_job(series.series_instance_uid, "external") is None
    assert [each.id for each in desk.ledger.series_without_jobs()] == [row]
    page = desk.client.get("/", headers=desk.as_("reader")).text
    assert f'id="row-series-{row}"' in page
    assert 'value="trial:' not in page  # not among the protocols to choose from
    with desk.ledger.begin() as conn:
        assert desk.ledger.sets_since(conn, series.study_instance_uid, 0.0) == 0


def test_one_at_a_time_and_again_when_it_has_ended(desk, row):
    first = attempt(desk, row).json()["job"]
    refused = attempt(desk, row)
    assert (refused.status_code, refused.json()["code"]) == (409, "trial.under-way")
    contour(desk, first)
    again = attempt(desk, row)
    assert desk.ledger.job(again.json()["job"]).protocol == "trial:external:2"


def test_a_trial_that_further_slices_overtake_says_so_and_is_not_made_anew(desk, row):
    job = attempt(desk, row).json()["job"]
    maker = JobMaker(desk.ledger, desk.premises.engine(), time.time)
    with desk.ledger.begin() as conn:
        stopped = maker.supersede_undelivered(conn, desk.ledger.series(row).series_instance_uid)
    assert [each.id for each in stopped] == [job]
    now = desk.ledger.job(job)
    assert now.state is JobState.SUPERSEDED
    assert "try the protocol again" in now.sentence
    assert attempt(desk, row).status_code == 200


def test_what_cannot_be_tried_is_refused(desk, row):
    assert attempt(desk, row, "nothing").json()["code"] == "protocol.unknown"
    assert attempt(desk, 4711).status_code == 404
    coming = desk.series("2.25.2", SeriesState.COLLECTING)
    assert attempt(desk, coming).json()["code"] == "series.not-complete"
    damaged = desk.series("2.25.3", SeriesState.UNROUTED)
    assert attempt(desk, damaged).json()["code"] == "spool.file-damaged"
    for each in desk.ledger.series(row).folder.glob("*.dcm"):
        each.unlink()
    assert attempt(desk, row).json()["code"] == "ct.purged"


def test_it_is_offered_where_a_ct_or_a_model_is_looked_at_and_only_to_who_may(desk, row):
    job = desk.delivered_job("2.25.2")
    for path, said in (
        (f"/case/{job.id}", 'data-destinations="external"'),
        (f"/series/{row}", 'data-destinations="external"'),
        ("/models/external@1.0", f"{row}\t4711 Pelvis"),
    ):
        assert 'data-deed="trial"' not in desk.client.get(path, headers=desk.as_("reader")).text
        page = desk.client.get(path, headers=desk.as_("operator")).text
        assert 'data-deed="trial"' in page
        assert said in page
    looked = [e for e in desk.premises.audit.entries() if e.facts.get("list", "").startswith("stored CT")]
    assert [each.who for each in looked] == ["console:operator"]
    unused = desk.client.get("/models/pelvis-ct@2.0", headers=desk.as_("operator")).text
    assert "No protocol uses this model" in unused
