"""A structure set to send, and a storage folder with a job whose structure set waits to be sent."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from uuid import uuid4

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import RTStructureSetStorage

from service.backlog.engine import Again
from service.backlog.ledger import Attempt, Ledger
from service.backlog.records import (
    Delivery,
    JobState,
    Mode,
    PatientIdentity,
    ReceivedSeries,
    SeriesState,
)
from service.config.reader import load
from service.contouring.object_files import set_file
from service.contouring.profiles import profile_named
from service.delivery.sender import Sender


def write_structure_set(
    file: Path, *, megabytes: float = 0.02, syntax: str = ImplicitVRLittleEndian, declare: str | None = None
) -> Path:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = "2.25.1234567890"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    ds.SOPClassUID = RTStructureSetStorage
    ds.SOPInstanceUID = "2.25.1234567890"
    ds.PatientName = "Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9"
    ds.PatientID = "TEST-1"
    ds.StudyInstanceUID = "2.25.1"
    ds.SeriesInstanceUID = "2.25.2"
    ds.Modality = "RTSTRUCT"
    contour = Dataset()
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.ContourData = ["-123.4567"] * 3000
    roi = Dataset()
    roi.ContourSequence = Sequence([contour] * max(1, round(megabytes * 1e6 / 30000)))
    ds.ROIContourSequence = Sequence([roi])
    content = BytesIO()
    ds.save_as(content, enforce_file_format=True)
    if declare:  # a transfer syntax that the bytes are not in
        encoded = content.getvalue().partition(b"DICM")[2]
        body = encoded[12 + int.from_bytes(encoded[8:12], "little") :]
        ds.file_meta.TransferSyntaxUID = declare
        content = BytesIO()
        content.write(bytes(128) + b"DICM")
        write_file_meta_info(content, ds.file_meta, enforce_standard=True)
        content.write(body)
    file.write_bytes(content.getvalue())
    return file


CONFIG = """\
node: {ae_title: DELINEATE, port: 0, storage: ./var, database: "%(database)s"}
senders: {SCANNER: {addresses: [127.0.0.1], port: %(port)d}}
destinations:
  tps: {ae_title: %(title)s, host: 127.0.0.1, port: %(port)d, timeout_seconds: 5.0, retry: %(retry)s}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [tps], mode: send}]
"""
RETRY = "{first_seconds: 0.3, factor: 2.0, longest_seconds: 1.0, give_up_hours: 0.1}"


class Told:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str | None]] = []

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        self.messages.append((code, sentence, job_id))

    @property
    def codes(self) -> list[str]:
        return [code for code, _, _ in self.messages]


class Desk:
    """A storage folder with one job whose structure set waits to be sent to ``tps``."""

    def __init__(self, folder: Path, database: str = "sqlite") -> None:
        self.folder = folder
        self._database = database
        self.config_file = folder / "config.yaml"
        self.told = Told()
        self.configure(port=1)
        self.loaded = load(self.config_file, check_bundles=False)
        self.loaded.storage.mkdir(parents=True)
        self.ledger = Ledger(self.loaded.database_url, self.loaded.storage)
        self.ledger.migrate()

    def configure(self, port: int, title: str = "TPS", retry: str = RETRY) -> None:
        self.config_file.write_text(
            CONFIG % {"port": port, "title": title, "retry": retry, "database": self._database}
        )
        self.loaded = load(self.config_file, check_bundles=False)

    def delivery(self, destination: str = "tps", **how: object) -> Delivery:
        received = ReceivedSeries(
            series_instance_uid=f"2.25.{uuid4().int}",
            study_instance_uid="2.25.2",
            calling_ae_title="SCANNER",
            called_ae_title="DELINEATE",
            sender_address="127.0.0.1",
            folder=self.loaded.storage / "spool" / "incoming" / "x",
            instances=(),
            first_at=1.0,
            last_at=2.0,
        )
        with self.ledger.begin() as conn:
            series = self.ledger.record_series(conn, received, PatientIdentity(), SeriesState.ROUTED)
            job = self.ledger.create_job(
                conn,
                series_id=series,
                protocol="external",
                destinations=[destination],
                mode=Mode.SEND,
                priority=7,
                files=[],
                config_version="0",
            )
            folder = self.loaded.storage / "jobs" / job.id
            folder.mkdir(parents=True)
            file = write_structure_set(set_file(folder, profile_named("generic")), **how)
            delivery = self.ledger.create_delivery(
                conn,
                job_id=job.id,
                destination=destination,
                file=file,
                sop_instance_uid="2.25.1234567890",
            )
            self.ledger.move_job(conn, job.id, JobState.CONTOURING)
            self.ledger.move_job(conn, job.id, JobState.DELIVERING)
        return delivery

    def deliver(self, delivery: Delivery) -> Again | None:
        return Sender(self.ledger, lambda: self.loaded, self.told).deliver(str(delivery.id))

    def attempts(self, delivery: Delivery) -> list[Attempt]:
        found = {each.id: attempts for each, attempts in self.ledger.story(delivery.job_id).deliveries}
        return list(found[delivery.id])

    def states(self, delivery: Delivery) -> tuple[str, str]:
        return self.ledger.delivery(delivery.id).state.value, self.ledger.job(delivery.job_id).state.value
