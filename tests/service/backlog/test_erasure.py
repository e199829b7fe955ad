"""What a person has deleted is gone from the disk and from the database's files, and nothing else is."""

from __future__ import annotations

import os

import pydicom
import pytest
import sqlalchemy as sa
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from service.backlog import ledger_tables as tables
from service.backlog.erasure import Erasure
from service.backlog.ledger import LedgerRefused
from service.backlog.records import DeliveryState, JobState, PatientIdentity, SeriesState
from service.backlog.retention import Retention, keep_purging
from service.config.site import Disk, Node

OTHER = PatientIdentity("P-OTHER", "Keep^Me", "19600101", "M")
CANARY = PatientIdentity(
    "CANARY-ID-5", "CanaryErased^Patient", "19331224", "F", "CANARY-ACC", "20190807", "CanaryStudy", "CanarySeries"
)  # fmt: skip
WORDS = (b"Canary", b"CANARY", b"19331224", b"2.25.777")


@pytest.fixture
def erasure(ledger, spool):
    return Erasure(ledger, spool, Retention(ledger, spool, Node()), "admin")


def instance(patient_id: str) -> bytes:
    ds = Dataset()
    ds.PatientName, ds.PatientID = "CanaryErased^Patient", patient_id
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "2.25.777.9"
    buffer = pydicom.filebase.DicomBytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def ended(ledger, spool, received):
    """A series of a patient with one job that is done, or where it is told to be."""

    def make(uid, identity, state=JobState.DONE, protocol="p", series_state=SeriesState.ROUTED):
        series = received(uid)
        for each in series.instances:
            each.file.write_bytes(instance(identity.patient_id or CANARY.patient_id))
            os.utime(each.file, (1003, 1003))  # as long ago as the ledger says
        with ledger.begin() as conn:
            row = ledger.record_series(conn, series, identity, series_state)
            ledger.record_resend(conn, uid)
            fields = {"destinations": ("d",), "mode": "send", "priority": 1, "config_version": "v"}
            files = [each.file for each in series.instances]
            job = ledger.create_job(
                conn, series_id=row, protocol=protocol, files=files, state=state, **fields
            )
            set_file = spool.job_folder(job.id) / "rtstruct.dcm"
            set_file.write_bytes(instance(identity.patient_id))
            fields = {"destination": "d", "file": set_file, "sop_instance_uid": "2.25.3"}
            ledger.create_delivery(conn, job_id=job.id, state=DeliveryState.DELIVERED, **fields)
        return ledger.job(job.id)

    return make


def canaries_under(folder):
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and any(word in file.read_bytes() for word in WORDS)
    ]


def test_a_patient_is_gone_to_the_last_byte_and_the_others_stay(
    ended, erasure, ledger, spool, storage, database_url, request
):
    first, second = ended("2.25.777.1", CANARY), ended("2.25.777.2", CANARY, JobState.FAILED)
    unread = ended("2.25.777.3", PatientIdentity(), JobState.REFUSED, series_state=SeriesState.REFUSED)
    kept = ended("2.25.8", OTHER)
    spool.store("2.25.777.1", "2.25.777.1.0", [instance(CANARY.patient_id) + b"other"])  # set aside
    theirs = spool.store_structure_set("2.25.777.7", [instance(CANARY.patient_id)]).file
    others = spool.store_structure_set(
        "2.25.777.8", [instance(OTHER.patient_id).replace(b"Canary", b"Keepit")]
    )
    assert list(spool.set_aside.iterdir())
    said = erasure.of_patient(CANARY.patient_id, dry_run=True)
    assert (said.purged.series, said.purged.structure_sets, said.purged.files) == (3, 3, 2)
    assert theirs.is_file()
    done = erasure.of_patient(CANARY.patient_id)
    assert (done.purged, done.cleared, done.under_way) == (said.purged, 3, 0)
    for job in (first, second, unread):
        assert not job.folder.exists()
        assert not (spool.jobs / job.id).exists()
        assert ledger.job(job.id).state is job.state  # what was done stays on record
        assert ledger.series(job.series_id).identity == PatientIdentity()
    assert not theirs.exists()
    assert list(spool.set_aside.iterdir()) == []
    assert all(file.is_file() for file in kept.files)
    assert others.file.is_file()
    assert ledger.series(kept.series_id).identity == OTHER
    for word in ("CanaryErased", "2.25.777"):
        with ledger.reading() as conn:
            for table in tables.metadata.sorted_tables:
                assert word not in str(conn.execute(sa.select(table)).all()), table.name
    assert ledger.folder_names({first.series_id}) == {f"cleared.{first.series_id}"}
    others.file.unlink()
    for file in kept.files:
        file.unlink()
    (spool.jobs / kept.id / "rtstruct.dcm").unlink()
    assert canaries_under(storage) == []  # on SQLite the database lies there too, with its log


def test_nothing_under_way_is_touched(ended, erasure):
    waiting, over = ended("2.25.777.1", CANARY, JobState.QUEUED), ended("2.25.777.2", CANARY)
    done = erasure.of_patient(CANARY.patient_id)
    assert (done.purged.series, done.purged.structure_sets, done.cleared, done.under_way) == (1, 1, 1, 1)
    assert all(file.is_file() for file in waiting.files)
    assert not over.folder.exists()


def test_a_job_goes_alone_while_another_needs_the_ct(ended, erasure, ledger, spool):
    first = ended("2.25.777.1", CANARY)
    second = ended("2.25.777.1", CANARY, protocol="q")
    assert erasure.of_job(first.id).purged.series == 0
    assert not (spool.jobs / first.id).exists()
    assert all(file.is_file() for file in second.files)
    assert ledger.series(first.series_id).identity == CANARY
    done = erasure.of_job(second.id)
    assert (done.purged.series, done.purged.structure_sets, done.cleared) == (1, 1, 1)
    assert ledger.series(first.series_id).identity == PatientIdentity()


def test_by_age_only_what_ended_before_goes(ended, erasure, ledger):
    old, young = ended("2.25.777.1", CANARY), ended("2.25.8", OTHER)
    with ledger.begin() as conn:
        changed = ledger.job(young.id).updated_at - 11 * 86400
        conn.execute(tables.job.update().where(tables.job.c.id == old.id).values(updated_at=changed))
    done = erasure.older_than(10)
    assert (done.purged.series, done.purged.structure_sets, done.cleared) == (1, 1, 1)
    assert not old.folder.exists()
    assert young.folder.exists()


def test_the_same_ct_sent_again_is_a_new_one(ended, erasure, ledger):
    before = ended("2.25.777.1", CANARY)
    erasure.of_patient(CANARY.patient_id)
    again = ended("2.25.777.1", CANARY)
    assert again.series_id != before.series_id
    Retention(ledger, erasure._spool, Node()).purge()
    assert all(file.is_file() for file in again.files)


def test_a_purge_broken_off_before_a_job_s_files_went_is_finished(ended, ledger, spool):
    job = ended("2.25.777.1", CANARY)
    assert ledger.mark_job_purged(job.id, ledger.job(job.id).updated_at + 1)
    Retention(ledger, spool, Node()).purge()
    assert not (spool.jobs / job.id).exists()


def test_rows_forget_whose_they_were_after_their_time(ended, ledger, spool):
    job = ended("2.25.777.1", CANARY)
    at = ledger.job(job.id).updated_at
    retention = Retention(ledger, spool, Node())
    retention.purge(at=at + 100 * 86400)
    assert not job.folder.exists()
    assert ledger.series(job.series_id).identity == CANARY
    retention.purge(at=at + 366 * 86400)
    assert ledger.series(job.series_id).identity == PatientIdentity()


def test_over_budget_with_nothing_that_may_go_the_receiver_takes_no_more(ended, ledger, spool):
    job = ended("2.25.777.1", CANARY, JobState.QUEUED)
    retention = Retention(ledger, spool, Node(disk=Disk(budget_gb=1e-9)))
    assert retention.keep_to_budget() > 0
    assert spool.over_budget.exists()
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CANCELLED)
        conn.execute(tables.job.update().values(updated_at=1000.0))
    for file in job.files:
        os.utime(file, (1000, 1000))
    Retention(ledger, spool, Node(disk=Disk(budget_gb=1.0))).keep_to_budget()
    assert not spool.over_budget.exists()
    assert all(file.is_file() for file in job.files)


def test_the_budget_is_looked_at_between_two_purges(monkeypatch):
    class Stop:
        waits = 0

        def wait(self, seconds):
            self.waits += 1
            assert seconds <= 60
            return self.waits > 2

    looked = []

    class Counted:
        def keep_to_budget(self):
            looked.append("budget")

        def purge(self):
            looked.append("purge")

    keep_purging(Counted(), Stop(), 3600)
    assert looked == ["budget", "budget"]


def test_a_job_that_there_is_not_is_refused(erasure):
    with pytest.raises(LedgerRefused):
        erasure.of_job("nosuchjb")
