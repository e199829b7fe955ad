"""What is old enough goes, nothing under way ever goes, and a purge that breaks off is finished or taken back."""

from __future__ import annotations

import os

import pytest

from models.volume import Provenance
from service.backlog import ledger_tables as tables
from service.backlog.engine import EngineClient
from service.backlog.ledger import LedgerRefused
from service.backlog.operations import Operations
from service.backlog.records import DeliveryState, JobState, SeriesState
from service.backlog.retention import Purged, Retention
from service.config.site import Disk, Node
from service.config.site import Retention as Limits

DAY = 86400.0
START = 1_700_000_000.0
CT_BYTES = 3 * 1000
SET_BYTES = 500
RESULT_BYTES = 700


@pytest.fixture
def ended(ledger, spool, received, identity):
    """A series of 3 files of 1000 bytes with a job of 700 + 500 bytes, last changed at ``at``."""

    def make(uid="2.25.1", at=START, state=JobState.DONE, series_state=SeriesState.ROUTED):
        series = received(uid, at=at - 3)
        for instance in series.instances:
            instance.file.write_bytes(bytes(1000))
            os.utime(instance.file, (at, at))
        with ledger.begin() as conn:
            row = ledger.record_series(conn, series, identity, series_state)
            fields = {"destinations": ("d",), "mode": "send", "priority": 1, "config_version": "v"}
            files = [instance.file for instance in series.instances]
            job = ledger.create_job(conn, series_id=row, protocol="p", files=files, state=state, **fields)
            folder = spool.job_folder(job.id)
            (folder / "result.json").write_bytes(bytes(RESULT_BYTES))
            (folder / "rtstruct.dcm").write_bytes(bytes(SET_BYTES))
            ledger.record_segmentation(conn, job.id, Provenance("m", "1.0", "00", validated=True), [], {}, {})
            ledger.create_delivery(
                conn,
                job_id=job.id,
                destination="d",
                file=folder / "rtstruct.dcm",
                sop_instance_uid="2.25.3",
                state=DeliveryState.DELIVERED,
            )
            conn.execute(tables.job.update().where(tables.job.c.id == job.id).values(updated_at=at))
        return ledger.job(job.id)

    return make


@pytest.fixture
def retention(ledger, spool):
    """With the limits of a site: CT 14 days, sets 90 days, rows 365 days."""

    def make(budget_gb=None, delete_engine_rows=None):
        limits = Limits(ct_days=14, structure_set_days=90, ledger_days=365)
        return Retention(
            ledger, spool, Node(retention=limits, disk=Disk(budget_gb=budget_gb)), delete_engine_rows
        )

    return make


def structure_set(spool, job):
    return spool.job_folder(job.id) / "rtstruct.dcm"


def test_nothing_goes_before_its_time(ended, retention, spool):
    job = ended()
    assert retention().purge(at=START + 13.9 * DAY) == Purged()
    assert all(file.is_file() for file in job.files)
    assert structure_set(spool, job).is_file()


def test_the_ct_goes_first(ended, retention, ledger, spool):
    job = ended()
    purged = retention().purge(at=START + 14.1 * DAY)
    assert purged == Purged(series=1, freed_bytes=CT_BYTES)
    assert not job.folder.exists()
    assert structure_set(spool, job).is_file()
    assert list(spool.purging.iterdir()) == []
    assert ledger.series(job.series_id).purged_at is not None
    assert "series.purged" in [event.code for event in ledger.story(job.id).events]
    assert retention().purge(at=START + 14.1 * DAY) == Purged()


def test_structure_sets_go_later_and_sending_them_again_says_what_to_do(
    ended, retention, ledger, client, spool
):
    job = ended()
    purged = retention().purge(at=START + 91 * DAY)
    assert (purged.series, purged.structure_sets) == (1, 1)
    assert purged.freed_bytes == CT_BYTES + RESULT_BYTES + SET_BYTES
    assert not (spool.jobs / job.id).exists()
    assert ledger.story(job.id).purged_at is not None
    with pytest.raises(LedgerRefused, match=r"was purged\. Send the CT again"):
        Operations(ledger, client).resend(job.id, "d")


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.CONTOURING, JobState.HELD, JobState.DELIVERING])
def test_nothing_under_way_ever_goes(ended, retention, spool, state):
    job = ended(state=state)
    assert retention(budget_gb=1e-9).purge(at=START + 4000 * DAY).series == 0
    assert all(file.is_file() for file in job.files)
    assert structure_set(spool, job).is_file()


def test_a_series_still_being_collected_stays(ledger, received, identity, retention):
    series = received(at=START)
    with ledger.begin() as conn:
        ledger.record_series(conn, series, identity, SeriesState.COLLECTING)
    retention(budget_gb=1e-9).purge(at=START + 4000 * DAY)
    assert series.folder.is_dir()


@pytest.mark.parametrize("state", [SeriesState.UNROUTED, SeriesState.IGNORED, SeriesState.REFUSED])
def test_a_series_that_nobody_contours_goes_like_any_other(ledger, received, identity, retention, state):
    series = received(at=START)
    for instance in series.instances:
        os.utime(instance.file, (START, START))
    with ledger.begin() as conn:
        ledger.record_series(conn, series, identity, state)
    assert retention().purge(at=START + 13 * DAY).series == 0
    assert retention().purge(at=START + 15 * DAY).series == 1
    assert not series.folder.exists()


def test_a_folder_that_the_ledger_does_not_know_stays(spool, retention):
    stored = spool.store("2.25.5", "2.25.6", [b"CT"])
    os.utime(stored.file, (START, START))
    retention(budget_gb=1e-9).purge(at=START + 4000 * DAY)
    assert stored.file.is_file()


def test_a_late_change_of_a_job_keeps_its_series(ended, retention, ledger):
    job = ended()
    with ledger.begin() as conn:
        change = tables.job.update().where(tables.job.c.id == job.id).values(updated_at=START + 10 * DAY)
        conn.execute(change)
    assert retention().purge(at=START + 20 * DAY).series == 0
    assert retention().purge(at=START + 25 * DAY).series == 1


def test_a_dry_run_says_the_same_and_deletes_nothing(ended, retention, spool):
    job = ended()
    said = retention().purge(dry_run=True, at=START + 91 * DAY)
    assert structure_set(spool, job).is_file()
    assert all(file.is_file() for file in job.files)
    assert retention().purge(at=START + 91 * DAY) == said


def test_over_budget_the_oldest_goes_first_and_only_as_much_as_needed(ended, retention, storage):
    jobs = [ended(f"2.25.{number}", START + number * DAY) for number in range(3)]
    total = sum(file.stat().st_size for file in storage.rglob("*") if file.is_file())
    budget_gb = (total - CT_BYTES) / 1e9  # one series less is enough
    purged = retention(budget_gb).purge(at=START + 5 * DAY)
    assert (purged.series, purged.structure_sets) == (1, 0)
    assert [job.folder.exists() for job in jobs] == [False, True, True]


def test_over_budget_structure_sets_go_after_all_series(ended, retention, spool):
    jobs = [ended(f"2.25.{number}", START + number * DAY) for number in range(2)]
    purged = retention(budget_gb=1e-9).purge(at=START + 5 * DAY)
    assert (purged.series, purged.structure_sets) == (2, 2)
    assert not any(structure_set(spool, job).exists() for job in jobs)
    assert purged.over_budget_bytes >= 0


def test_over_budget_what_failed_or_has_just_ended_stays(ended, retention):
    failed = ended("2.25.1", state=JobState.FAILED)
    young = ended("2.25.2", at=START + 5 * DAY - 600)
    purged = retention(budget_gb=1e-9).purge(at=START + 5 * DAY)
    assert purged.series == purged.structure_sets == 0
    assert purged.over_budget_bytes > CT_BYTES
    assert failed.folder.exists()
    assert young.folder.exists()


def test_a_slice_that_comes_during_the_purge_brings_everything_back(ended, retention, spool, monkeypatch):
    job = ended()
    original = Retention._remove_folder

    def slice_comes(self, folder, newest):
        spool.store("2.25.1", "2.25.1.99", [b"late"])
        original(self, folder, newest)

    monkeypatch.setattr(Retention, "_remove_folder", slice_comes)
    retention().purge(at=START + 15 * DAY)
    assert len(list(job.folder.iterdir())) == 4
    assert all(file.is_file() for file in job.files)


def test_a_series_that_came_back_is_no_longer_marked(ended, retention, ledger, received, identity):
    job = ended()
    retention().purge(at=START + 15 * DAY)
    with ledger.begin() as conn:
        ledger.record_series(conn, received(at=START + 16 * DAY), identity, SeriesState.ROUTED)
    retention().purge(at=START + 17 * DAY)
    assert len(list(job.folder.iterdir())) == 3


def test_a_purge_broken_off_after_marking_is_finished(ended, retention, ledger):
    job = ended()
    assert ledger.mark_series_purged(job.series_id, before=START + DAY)
    retention().purge(at=START + 15 * DAY)
    assert not job.folder.exists()


def test_a_purge_broken_off_after_moving_is_finished_or_taken_back(ended, retention, spool):
    job, other = ended("2.25.1"), ended("2.25.2")
    for each in (job, other):
        each.folder.rename(spool.purging / f"{each.folder.name}.{int(START) + 60}")
    late = spool.purging / f"{other.folder.name}.{int(START) + 60}" / "late.dcm"
    late.write_bytes(b"CT")
    retention().purge(at=START + DAY)
    assert not job.folder.exists()
    assert (other.folder / "late.dcm").is_file()
    assert list(spool.purging.iterdir()) == []


def test_received_structure_sets_and_what_was_set_aside_go_too(spool, retention):
    kept = spool.store_structure_set("2.25.1", [b"RT"])
    spool.store("2.25.1", "2.25.2", [b"CT"])
    aside = spool.store("2.25.1", "2.25.2", [b"other"])
    part = spool.incoming / ".deadbeef.part"
    part.write_bytes(b"half")
    for file in (kept.file, aside.file, part):
        os.utime(file, (START, START))
    assert retention().purge(at=START + 2 * DAY) == Purged(files=1, freed_bytes=4)
    assert retention().purge(at=START + 15 * DAY) == Purged(files=1, freed_bytes=5)
    assert retention().purge(at=START + 91 * DAY) == Purged(files=1, freed_bytes=2)


def test_rows_are_forgotten_at_last_with_everything_that_hangs_on_them(ended, retention, ledger):
    ended()
    kept = ended("2.25.2", at=START + 300 * DAY, state=JobState.HELD)
    retention().purge(at=START + 300 * DAY)
    said = retention().purge(dry_run=True, at=START + 366 * DAY)
    assert said.rows == 1
    assert retention().purge(at=START + 366 * DAY).rows == 1
    assert [job.id for job in ledger.find_jobs()] == [kept.id]
    with ledger.reading() as conn:
        assert conn.execute(tables.event.select().where(tables.event.c.job_id != kept.id)).all() == []
        assert len(conn.execute(tables.delivery.select()).all()) == 1


def test_finished_rows_of_the_engine_go_too(retention, client: EngineClient):
    for key in ("contour:a:1", "contour:b:1"):
        client.submit_now("contour", key, "x")
    client.cancel("contour:a:1")
    import time

    purge = retention(delete_engine_rows=client.delete_finished).purge
    assert purge(at=time.time() + 29 * DAY).engine_rows == 0
    assert purge(at=time.time() + 31 * DAY).engine_rows == 1
    assert client.under_way() == {"contour:b:1"}
