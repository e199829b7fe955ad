"""Data sets as they come over the network, built small and exact."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from bare_sender import EXPLICIT, Peer, ct_dataset, encoded

from service.arrival.instance import Claim, Origin
from service.arrival.intake import Intake
from service.arrival.reception import Reception
from service.arrival.storage_scp import StorageScp
from service.backlog import ledger_tables as tables
from service.backlog.engine import EngineClient, migrate
from service.backlog.ledger import Ledger
from service.backlog.records import (
    Delivery,
    DeliveryState,
    Job,
    JobState,
    ReceivedInstance,
    RecordedSeries,
)
from service.backlog.refusals import Refusals
from service.backlog.spool import Spool
from service.config.reader import parse
from service.config.site import Site


@pytest.fixture
def make_ct():
    return ct_dataset


@pytest.fixture
def encode():
    return encoded


@dataclass
class Heard:
    """Takes down what the SCP tells."""

    arrived_: list[tuple[int, ReceivedInstance, bool]] = field(default_factory=list)
    conflicts: list[ReceivedInstance] = field(default_factory=list)
    ends: list[tuple[int, bool]] = field(default_factory=list)

    def arrived(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        self.arrived_.append((association, instance, new))

    def conflicting(self, association: int, instance: ReceivedInstance) -> None:
        self.conflicts.append(instance)

    def ended(self, association: int, *, released: bool, at: float) -> None:
        self.ends.append((association, released))


@dataclass
class Running:
    """A Storage SCP that listens on a free port."""

    scp: StorageScp
    spool: Spool
    heard: Heard
    port: int
    peers: list[Peer] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)

    def peer(self) -> Peer:
        self.peers.append(Peer(self.port))
        return self.peers[-1]

    def associated(self, **request: Any) -> Peer:
        peer = self.peer()
        peer.associate(**request)
        return peer


@pytest.fixture
def start_scp(tmp_path):
    """Start an SCP with these keys of ``node`` and these ``senders``."""
    started = []

    def start(
        *, senders: dict[str, Any] | None = None, disk: dict[str, Any] | None = None, **node: Any
    ) -> Running:
        site = Site.model_validate(
            {
                "node": {"port": 0, "disk": disk or {"reserve_gb": 0.001}, **node},
                "senders": {"ECLIPSE": None} if senders is None else senders,
            }
        )
        spool, heard = Spool(tmp_path / "storage"), Heard()
        refusals = Refusals()
        scp = StorageScp(lambda: site, spool, heard, refusals=refusals)
        running = Running(scp, spool, heard, scp.start(), refusals=refusals)
        started.append(running)
        return running

    yield start
    for running in started:
        for peer in running.peers:
            peer.socket.close()
        running.scp.stop(grace_seconds=0)


@pytest.fixture
def eventually():
    """Wait until something holds; on a busy machine that takes its time."""

    def wait(holds: Callable[[], Any], seconds: float = 120.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := holds()) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert answer
        return answer

    return wait


@dataclass
class Told:
    """Takes down what people are told."""

    messages: list[tuple[str, str, str | None]] = field(default_factory=list)

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        self.messages.append((code, sentence, job_id))

    @property
    def codes(self) -> list[str]:
        return [code for code, _, _ in self.messages]


CONFIG: dict[str, Any] = {
    "node": {"quiet_seconds": 3, "hard_timeout_seconds": 900},
    "senders": {"ECLIPSE": None, "OTHER": None},
    "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 11113}},
    "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
    "routes": [
        {"name": "CT", "when": {"Modality": "CT"}, "contour": "external", "send_to": ["tps"], "mode": "send"}
    ],
}


class Desk:
    """Arrival without a network: real spool, ledger and engine, and a clock turned by hand."""

    def __init__(self, folder: Path, config: dict[str, Any], url: str | None = None) -> None:
        self.folder = folder
        self.now = time.time()
        self.told = Told()
        self.url = url or f"sqlite:///{folder / 'delineate.sqlite'}"
        self.spool = Spool(folder)
        self.ledger = Ledger(self.url, folder)
        if url is not None:
            self.ledger.migrate()
            migrate(self.url)
        self.engine = EngineClient(self.url)
        self.configure(config)
        self.associations = itertools.count(1)
        self.start()

    def configure(self, config: dict[str, Any]) -> None:
        text = yaml.safe_dump(config, sort_keys=False)
        self.loaded = parse(text, self.folder / "config.yaml", check_bundles=False)

    def start(self) -> None:
        """Begin as after a restart: whatever was in memory is gone."""
        self.reception = Reception(
            lambda: self.loaded, self.spool, self.ledger, self.engine, self.told, lambda: self.now
        )
        self.reception.take_up()

    def close(self) -> None:
        self.reception.close()
        self.engine.close()
        self.ledger.close()

    def send(
        self,
        numbers: Any,
        *,
        released: bool = True,
        calling: str = "ECLIPSE",
        syntax: str = EXPLICIT,
        **ds: Any,
    ) -> list[int]:
        """Send slices over one association; the status of each."""
        intake = Intake(
            next(self.associations),
            Origin(calling, "DELINEATE", "192.0.2.1"),
            self.spool,
            self.reception,
            discard=(),
            reserve_bytes=0,
            clock=lambda: self.now,
        )
        statuses = []
        for number in numbers:
            self.now += 0.01
            made = ct_dataset(number, **ds)
            claim = Claim(made.SOPClassUID, made.SOPInstanceUID, syntax)
            data = memoryview(encoded(made, syntax))
            statuses.append(int(intake.store(claim, [data], len(data)).status))
            with contextlib.suppress(FileNotFoundError):
                file = self.spool.instance_file(made.SeriesInstanceUID, made.SOPInstanceUID)
                if statuses[-1] == 0:
                    os.utime(file, (self.now, self.now))
        intake.end(released=released)
        return statuses

    def wait(self, seconds: float, step: float = 1.0) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + step, until)
            self.reception.step()

    def series(self, uid: str = "2.25.20") -> RecordedSeries:
        found = self.ledger.find_series(uid)
        assert found is not None
        return found

    def jobs(self, uid: str = "2.25.20") -> list[Job]:
        """Jobs of a series, oldest first."""
        return sorted(self.ledger.jobs_of_series(uid), key=lambda job: job.revision)

    def codes(self, uid: str = "2.25.20") -> list[str]:
        """Codes of the events of a series and its jobs."""
        with self.ledger.reading() as conn:
            rows = conn.execute(sa.select(tables.event.c.code).order_by(tables.event.c.id))
            return [str(code) for code in rows.scalars()]

    def finish(self, job: Job, destination: str = "tps") -> Delivery:
        """Play contouring and delivery of a job to the end."""
        file = self.spool.job_folder(job.id) / "rtstruct.dcm"
        file.write_bytes(b"structure set")
        with self.ledger.begin() as conn:
            self.ledger.move_job(conn, job.id, JobState.CONTOURING)
            delivery = self.ledger.create_delivery(
                conn, job_id=job.id, destination=destination, file=file, sop_instance_uid="2.25.99"
            )
            self.ledger.move_job(conn, job.id, JobState.DELIVERING)
        n = self.ledger.start_attempt(delivery.id)
        how = {"status": 0, "code": "delivery.stored", "sentence": "Stored."}
        self.ledger.finish_attempt(delivery.id, n, state=DeliveryState.DELIVERED, **how)
        return delivery


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A SQLite file with all tables, to be copied: faster than to make them anew."""
    file = tmp_path_factory.mktemp("migrated") / "delineate.sqlite"
    ledger = Ledger(f"sqlite:///{file}", file.parent)
    ledger.migrate()
    ledger.close()
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def make_desk(tmp_path, migrated):
    """A desk with these changes of the configuration's top-level sections."""
    made: list[Desk] = []

    def make(url: str | None = None, **sections: Any) -> Desk:
        folder = tmp_path / f"desk{len(made)}"
        folder.mkdir()
        if url is None:
            shutil.copyfile(migrated, folder / "delineate.sqlite")
        made.append(Desk(folder, CONFIG | sections, url))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make_desk):
    return make_desk()
