"""A node's folder with a ledger, the console on it, and what people hold in their hands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from models.volume import Finding, Provenance
from service.backlog.ledger import Ledger, contour_key
from service.backlog.records import (
    DeliveryState,
    Job,
    JobState,
    Mode,
    PatientIdentity,
    ReceivedInstance,
    ReceivedSeries,
    SeriesState,
)
from service.backlog.spool import Spool
from service.console.premises import Premises

PASSWORD = "correct horse battery"
PATIENT = PatientIdentity("4711", "Lindqvist^Åsa", "19510203", "F", study_description="Pelvis")
NOON = 1_767_265_200.0  # 2026-01-01 12:00:00 in Stockholm


@dataclass
class Desk:
    """A node's folder, the console on it, and what people hold in their hands."""

    folder: Path
    premises: Premises
    client: TestClient
    tokens: dict[str, str] = field(default_factory=dict)
    server: Any = None
    """PostgreSQL's, where it is not SQLite."""

    @property
    def ledger(self) -> Ledger:
        return self.premises.ledger

    def as_(self, role: str) -> dict[str, str]:
        """The header of a program that acts for a person of that role."""
        if role not in self.tokens:
            self.tokens[role] = self.premises.sign_ins.new_token(role, "tests", None)
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def series(
        self, uid: str = "2.25.1", state: SeriesState = SeriesState.ROUTED, code: str | None = None
    ) -> int:
        """A series of the patient in the ledger and the spool."""
        file = Spool(self.premises.storage).store(uid, f"{uid}.1", [b"CT"]).file
        place = ("1.2.840.10008.5.1.4.1.1.2", f"{uid}.1", "2.25.9", uid, "1.2", "SCANNER", "DELINEATE")
        instance = ReceivedInstance(*place, "127.0.0.1", NOON, file)
        sender = ("SCANNER", "DELINEATE", "127.0.0.1")
        series = ReceivedSeries(uid, "2.25.9", *sender, file.parent, (instance,), NOON, NOON + 2)
        sentence = None if code is None else "A sentence that says why."
        with self.ledger.begin() as conn:
            return self.ledger.record_series(conn, series, PATIENT, state, code, sentence)

    def job(self, uid: str = "2.25.1", **fields: Any) -> Job:
        """A job that waits."""
        row = self.series(uid)
        files = [next(self.ledger.series(row).folder.glob("*.dcm"))]
        known = {"destinations": ("eclipse",), "mode": Mode.SEND, "priority": 100, "config_version": "0" * 12}
        with self.ledger.begin() as conn:
            job = self.ledger.create_job(
                conn, series_id=row, protocol="external", files=files, routes=("all",), **(known | fields)
            )
            self.premises.engine().submit(conn, "contour", contour_key(job.id), job.id)
        return job

    def delivered_job(self, uid: str = "2.25.1") -> Job:
        """A job whose structure set arrived at the second attempt."""
        job = self.job(uid)
        file = Spool(self.premises.storage).job_folder(job.id) / "rtstruct.dcm"
        file.write_bytes(b"RT")
        with self.ledger.begin() as conn:
            self.ledger.move_job(conn, job.id, JobState.CONTOURING)
            said = Provenance("pelvis-ct", "2.0", "ab" * 32, validated=False)
            finding = Finding("structure.cut", "Cut off at the top.", "Bladder")
            self.ledger.record_segmentation(conn, job.id, said, [finding], {"Bladder": 123.4}, {"infer": 2.5})
            made = self.ledger.create_delivery(
                conn, job_id=job.id, destination="eclipse", file=file, sop_instance_uid="2.25.7"
            )
            self.ledger.move_job(conn, job.id, JobState.DELIVERING)
        answers = (
            (0xA700, "delivery.out-of-resources", DeliveryState.RETRYING),
            (0, "delivery.stored", DeliveryState.DELIVERED),
        )
        for status, code, state in answers:
            n = self.ledger.start_attempt(made.id)
            self.ledger.finish_attempt(made.id, n, status=status, code=code, sentence="Said.", state=state)
        return job
