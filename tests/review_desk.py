"""A storage folder with a contoured CT, to which reviewed structure sets come."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
from drawn_structures import MODEL, ct_series, pelvis, segmentation, structure_set
from edited_sets import EditedSet

from service.backlog import engine
from service.backlog.ledger import Ledger
from service.backlog.records import (
    DeliveryState,
    Job,
    JobState,
    Mode,
    PatientIdentity,
    ReceivedSeries,
    SeriesState,
)
from service.backlog.spool import Spool, hashed
from service.config.reader import LoadedSite, load
from service.contouring.ct_series import CtSeries
from service.contouring.kept_grid import grid_of
from service.dicom.ct_geometry import GRID_FILE, grid_as_json
from service.dicom.ct_writer import SyntheticPatient
from service.dicom.uids import derived_uid
from service.evaluation.review_worker import ReviewWorker

CONFIG = """\
node: {ae_title: DELINEATE, port: 0, storage: ./var}
senders: {SCANNER: {}, TPS: {}}
destinations: {tps: {ae_title: TPS, host: 127.0.0.1, port: 1}}
protocols: {pelvis: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: pelvis, send_to: [tps], mode: send}]
"""
IDENTITY = PatientIdentity(patient_id=SyntheticPatient().patient_id, patient_name="Hong^Gildong")


class ReviewDesk:
    """``job`` has contoured the CT; ``receive`` lays a set into the spool as reception does."""

    def __init__(self, folder: Path, evaluation: str = "") -> None:
        shutil.copytree(_prepared(), folder, dirs_exist_ok=True)
        self.folder = folder
        self.loaded: LoadedSite = self.configure(evaluation)
        self.storage = self.loaded.storage
        self.ledger = Ledger(self.loaded.database_url, self.storage)
        self.spool = Spool(self.storage)
        self.series = CtSeries.read(sorted((folder / "ct").glob("*")))
        self.encoded = (folder / "ours.dcm").read_bytes()
        self.worker = ReviewWorker(
            lambda: self.loaded,
            self.ledger,
            self.spool,
            lambda job: grid_of(job, self.spool.jobs / job.id),
        )

    def configure(self, evaluation: str) -> LoadedSite:
        """With this section."""
        (self.folder / "config.yaml").write_text(CONFIG + evaluation)
        self.loaded = load(self.folder / "config.yaml", check_bundles=False)
        return self.loaded

    def record_series(self, state: SeriesState = SeriesState.ROUTED) -> int:
        files = sorted((self.folder / "ct").glob("*"))
        received = ReceivedSeries(
            series_instance_uid=self.series.series_instance_uid,
            study_instance_uid=self.series.study_instance_uid,
            calling_ae_title="SCANNER",
            called_ae_title="DELINEATE",
            sender_address="127.0.0.1",
            folder=self.folder / "ct",
            instances=tuple(files),  # only counted
            first_at=1.0,
            last_at=2.0,
        )
        with self.ledger.begin() as conn:
            return self.ledger.record_series(conn, received, IDENTITY, state)

    def job(
        self,
        protocol: str = "pelvis",
        *,
        mode: Mode = Mode.SEND,
        contoured: bool = True,
        encoded: bytes | None = None,
    ) -> Job:
        """A job with its set, sent to ``tps`` unless in shadow."""
        series_id = self.record_series()
        sent = mode is Mode.SEND
        with self.ledger.begin() as conn:
            job = self.ledger.create_job(
                conn,
                series_id=series_id,
                protocol=protocol,
                destinations=["tps"] if sent else [],
                mode=mode,
                priority=100,
                files=sorted((self.folder / "ct").glob("*")),
                config_version="0",
            )
        if contoured:
            self.contour(job, encoded or self.set_with_uid(protocol), sent=sent)
        return self.ledger.job(job.id)

    def set_with_uid(self, text: str) -> bytes:
        """Our set under a SOP Instance UID of its own."""
        ds = pydicom.dcmread(BytesIO(self.encoded))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = derived_uid("2.25", text)
        content = BytesIO()
        ds.save_as(content, enforce_file_format=True)
        return content.getvalue()

    def contour(self, job: Job, encoded: bytes, *, sent: bool = True) -> None:
        """Leave behind what the contouring worker does."""
        folder = self.spool.job_folder(job.id)
        file = folder / "rtstruct-generic.dcm"
        file.write_bytes(encoded)
        (folder / GRID_FILE).write_bytes(grid_as_json(self.series.grid))
        with self.ledger.begin() as conn:
            self.ledger.move_job(conn, job.id, JobState.CONTOURING)
            self.ledger.record_segmentation(conn, job.id, MODEL, [], {}, {})
            if sent:
                uid = str(pydicom.dcmread(BytesIO(encoded)).SOPInstanceUID)
                delivery = self.ledger.create_delivery(
                    conn, job_id=job.id, destination="tps", file=file, sop_instance_uid=uid
                )
                self.ledger.move_job(conn, job.id, JobState.DELIVERING)
                self.ledger.move_delivery(conn, delivery.id, DeliveryState.DELIVERED)
                self.ledger.settle_job(conn, job.id)
            else:
                self.ledger.move_job(conn, job.id, JobState.DONE)

    def edited(self, job: Job | None = None, **how: str) -> EditedSet:
        """The set of a job, or ours, to be edited."""
        encoded = self.encoded
        if job is not None:
            encoded = (self.spool.jobs / job.id / "rtstruct-generic.dcm").read_bytes()
        return EditedSet(encoded, **how)

    def receive(self, edited: EditedSet, sender: str = "TPS") -> str:
        """Put it into the spool; its name there."""
        edited.ds.file_meta.SourceApplicationEntityTitle = sender
        stored = self.spool.store_structure_set(edited.sop_instance_uid, [edited.encoded()])
        assert stored.file.stem == hashed(edited.sop_instance_uid)
        return stored.file.stem

    def review(self, edited: EditedSet, sender: str = "TPS") -> engine.Again | None:
        """Receive it and look at it."""
        return self.worker.review(self.receive(edited, sender))


@cache
def _prepared() -> Path:
    """A folder with a CT, our set of it and a migrated database, to be copied."""
    kept = tempfile.TemporaryDirectory(prefix="review-desk-")
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    series = ct_series(folder / "ct")
    (folder / "ours.dcm").write_bytes(structure_set(series, segmentation(pelvis())).encode())
    (folder / "var").mkdir()
    url = f"sqlite:///{folder / 'var' / 'delineate.sqlite'}"
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    engine.migrate(url)
    return folder
