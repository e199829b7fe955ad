"""A place for the contouring worker: ledger, engine and spool; the analytic bundle runs in this process."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import yaml
from analytic_bundle import STRUCTURES, small_ct

from models.predictor import load as load_model
from models.volume import CtVolume, Finding
from service.backlog import engine
from service.backlog.ledger import Ledger
from service.backlog.records import (
    Job,
    JobState,
    Mode,
    PatientIdentity,
    ReceivedSeries,
    SeriesState,
)
from service.backlog.spool import Spool
from service.config.reader import LoadedSite, parse
from service.contouring.worker import ContourWorker
from service.dicom.ct_writer import uid_of

DESTINATIONS = {
    "tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 1},
    "archive": {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 2, "profile": "eclipse"},
    "picky": {"ae_title": "PICKY", "host": "127.0.0.1", "port": 3, "profile": "raystation"},
}


class Models:
    """The model process's place: runs the bundle here, or fails as told."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile = lambda: None
        self.findings: tuple[Finding, ...] = ()

    def segment(self, fill, grid, dtype, card, structures, *, deadline_seconds, progress=None):
        self.asked += 1
        hu = np.empty(grid.shape_zyx, dtype)
        fill(hu)
        self.meanwhile()
        found = load_model(card, "cpu").segment(CtVolume(hu, grid), structures, progress)
        return replace(found, findings=(*found.findings, *self.findings))


class Told:
    def __init__(self) -> None:
        self.codes: list[str] = []
        self.sentences: list[str] = []

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        self.codes.append(code)
        self.sentences.append(sentence)


class Room:
    """A ledger, an engine, a spool and a worker on a storage folder of their own."""

    def __init__(self, folder: Path, migrated: Path, bundles: Path) -> None:
        self.folder, self.bundles = folder, bundles
        self.storage = folder / "var"
        self.storage.mkdir()
        shutil.copyfile(migrated, self.storage / "delineate.sqlite")
        self.loaded = self.configured()
        self.ledger = Ledger(self.loaded.database_url, self.storage)
        self.engine = engine.EngineClient(self.loaded.database_url)
        self.models, self.told = Models(), Told()
        self.worker = ContourWorker(
            lambda: self.loaded, self.ledger, self.engine, Spool(self.storage), (self.models,), self.told
        )

    def configured(self, destinations: dict = DESTINATIONS, **of_protocol: object) -> LoadedSite:
        config = {
            "node": {"storage": str(self.storage), "bundles": [str(self.bundles)]},
            "destinations": destinations,
            "protocols": {
                "analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES), **of_protocol}
            },
        }
        return parse(
            yaml.safe_dump(config, sort_keys=False), self.folder / "config.yaml", check_bundles=False
        )

    def job(self, files: list[Path], destinations=("tps",), mode=Mode.SEND, **changes) -> Job:
        received = ReceivedSeries(
            series_instance_uid=uid_of(str(files[0].parent)),
            study_instance_uid="2.25.9",
            calling_ae_title="SCANNER",
            called_ae_title="DELINEATE",
            sender_address="127.0.0.1",
            folder=files[0].parent,
            instances=(),
            first_at=1.0,
            last_at=2.0,
        )
        with self.ledger.begin() as conn:
            self.ledger.save_config(conn, self.loaded.version, self.loaded.text)
            series = self.ledger.record_series(conn, received, PatientIdentity(), SeriesState.ROUTED)
            values = {
                "protocol": "analytic",
                "priority": 100,
                "config_version": self.loaded.version,
                **changes,
            }
            return self.ledger.create_job(
                conn, series_id=series, destinations=destinations, mode=mode, files=files, **values
            )

    def ct(self, seed: int, **how) -> list[Path]:
        return small_ct(self.storage / "spool" / "incoming" / f"ct-{seed}", seed, **how)

    def state(self, job: Job) -> tuple[JobState, str | None]:
        now = self.ledger.job(job.id)
        return now.state, now.code

    def sets(self, job: Job) -> dict[str, pydicom.Dataset]:
        """What waits, by destination."""
        return {each.destination: pydicom.dcmread(each.file) for each in self.ledger.deliveries(job.id)}
