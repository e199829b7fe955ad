"""The arrival process as it runs: started, sent to by real senders, killed at its worst moments, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind

from models.volume import Grid
from service.backlog.audit import AuditTrail, Deed
from service.backlog.engine import EngineClient
from service.backlog.ledger import Ledger
from service.backlog.records import JobState
from service.backlog.refusals import Kind, read_refusals
from service.delivery.answers import answers_kept
from service.dicom.ct_writer import write_ct

pytestmark = pytest.mark.peer
SLICES = 8
COMMAND = (
    "from pathlib import Path; from service.command_line.node import arrival; arrival(Path('config.yaml'))"
)


class Process:
    """``delineate arrival`` with a configuration of its own."""

    def __init__(self, folder: Path, **node: object) -> None:
        self.folder, self.storage = folder, folder / "var"
        self.config = {
            "node": {"port": 0, "storage": str(self.storage), "quiet_seconds": 0.5, **node},
            "senders": {"CTSCANNER": None},
            "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 11113}},
            "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
            "routes": [{"name": "CT", "contour": "external", "send_to": ["tps"], "mode": "send"}],
        }
        self.log_file = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, failpoints: str = "") -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        (self.storage / "arrival.port").unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", COMMAND],
                cwd=self.folder,
                stderr=log,
                env=os.environ | {"DELINEATE_FAILPOINTS": failpoints},
            )
        deadline = time.monotonic() + 60
        while not (self.storage / "arrival.port").exists():
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.02)

    @property
    def port(self) -> int:
        return int((self.storage / "arrival.port").read_text())

    def ended(self, seconds: float = 120) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def events(self, name: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def send(self, files: list[Path]) -> list[int | None]:
        """C-STORE over one association; the status of each, None where none came."""
        ae = AE("CTSCANNER")
        ae.dimse_timeout = 60
        ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        association = ae.associate("127.0.0.1", self.port, ae_title="DELINEATE")
        statuses: list[int | None] = []
        with answers_kept(association):
            for file in files:
                if not association.is_established:
                    break
                statuses.append(getattr(association.send_c_store(file), "Status", None))
                if statuses[-1] is None:
                    break
        if association.is_established:
            association.release()
        return statuses

    def jobs(self, count: int, seconds: float = 180.0) -> list[list[str]]:
        """Wait for so many queued jobs; the SOP instance UIDs of each, and nothing else is in the ledger."""
        url = f"sqlite:///{self.storage / 'delineate.sqlite'}"
        ledger, engine = Ledger(url, self.storage), EngineClient(url)
        try:
            deadline = time.monotonic() + seconds
            while len(found := ledger.find_jobs()) < count and time.monotonic() < deadline:
                time.sleep(0.05)
            assert {job.state for job in found} == {JobState.QUEUED}, self.log_file.read_text()
            assert engine.under_way() == {f"contour:{job.id}:1" for job in found}
            return [sorted(str(pydicom.dcmread(f).SOPInstanceUID) for f in job.files) for job in found]
        finally:
            engine.close()
            ledger.close()


@pytest.fixture
def arrival(tmp_path):
    made: list[Process] = []

    def make(**node: object) -> Process:
        made.append(Process(tmp_path, **node))
        return made[-1]

    yield make
    for process in made:
        if process.process is not None and process.process.poll() is None:
            process.process.kill()
            process.process.wait()


@pytest.fixture
def ct(tmp_path):
    """The files of a small CT, and the UIDs in them."""

    def write(seed: int = 0, slices: int = SLICES):
        grid = Grid(
            np.array([[0, 0, 3.0 * k] for k in range(slices)]),
            np.array([1.0, 0, 0]),
            np.array([0, 1.0, 0]),
            32,
            32,
        )
        hu = np.random.default_rng(seed).integers(-1000, 1000, grid.shape_zyx).astype(np.int16)
        files = write_ct(tmp_path / f"ct{seed}", hu, grid, seed=seed)
        return files, sorted(str(pydicom.dcmread(file).SOPInstanceUID) for file in files)

    return write


def test_dcmtk_sends_a_ct_and_a_job_waits_for_the_worker(arrival, ct):
    node = arrival()
    node.start()
    files, uids = ct()
    command = ["/usr/bin/storescu", "-aet", "CTSCANNER", "-aec", "DELINEATE", "127.0.0.1", str(node.port)]
    subprocess.run(
        [*command, *map(str, files)], check=True, env=os.environ | {"TCP_NODELAY": "1"}, timeout=60
    )
    assert node.jobs(1) == [uids]
    (listening,) = node.events("arrival.listening")
    assert listening["port"] == node.port
    assert node.stop() == 0
    assert not (node.storage / "arrival.port").exists()
    assert node.events("arrival.stopped")


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["arrival.receiving:5", "arrival.between-file-and-ledger", "arrival.after-ledger"]
)
def test_killed_there_and_started_again_nothing_is_lost_and_nothing_is_there_twice(arrival, ct, place):
    node = arrival()
    node.start(place)
    files, uids = ct()
    statuses = node.send(files)
    assert node.ended() == -signal.SIGKILL
    received = {
        str(pydicom.dcmread(file).SOPInstanceUID) for file in (node.storage / "spool").rglob("[!.]*.dcm")
    }
    acknowledged = {
        str(pydicom.dcmread(file).SOPInstanceUID)
        for file, status in zip(files, statuses, strict=False)
        if status == 0
    }
    assert acknowledged <= received, "what was acknowledged survives"
    node.start()
    if len(acknowledged) < len(files):
        assert node.send(files) == [0] * len(files), "a sender whose association broke sends again"
    assert node.jobs(1) == [uids]
    node.stop()
    node.start()
    time.sleep(1.0)
    assert node.jobs(1) == [uids]


@pytest.mark.slow
def test_a_sender_that_opens_an_association_for_each_image_and_pauses_is_waited_for(arrival, ct):
    node = arrival()
    node.start()
    files, uids = ct()
    for file in files:
        assert node.send([file]) == [0]
        time.sleep(0.15)
    assert node.jobs(1) == [uids]
    assert len(node.events("series.routed")) == 1


def test_a_sender_that_knows_the_count_is_asked_and_the_series_complete_at_once(arrival, ct):
    files, uids = ct()

    def find(event):
        found = event.identifier
        found.NumberOfSeriesRelatedInstances = len(files)
        yield 0xFF00, found

    ae = AE("CTSCANNER")
    ae.add_supported_context(StudyRootFind)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    node = arrival(quiet_seconds=60)
    node.config["senders"] = {"CTSCANNER": {"port": server.socket.getsockname()[1], "find_count": True}}
    try:
        node.start()
        node.send(files)
        begun = time.monotonic()
        assert node.jobs(1) == [uids]
        assert time.monotonic() - begun < 50, "without the count it would wait for a minute"
    finally:
        server.shutdown()


@pytest.mark.slow
def test_a_port_in_use_ends_the_process_and_is_said(arrival):
    node = arrival()
    node.start()
    second = Process(node.folder, port=node.port)
    second.storage = node.storage
    second.log_file = node.folder / "second"
    (node.folder / "config.yaml").write_text(yaml.safe_dump(second.config))
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND],
        cwd=node.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome.returncode != 0
    assert '"event": "arrival.cannot-listen"' in outcome.stderr
    assert f'"port": {node.port}' in outcome.stderr


def test_who_is_turned_away_is_counted_on_disk_and_stands_in_the_trail(arrival, eventually):
    process = arrival()
    process.start()
    command = ["/usr/bin/echoscu", "-aec", "DELINEATE", "127.0.0.1", str(process.port), "-aet"]
    for title in ("NOBODY", "NOBODY", "SOMEBODY"):
        assert subprocess.run([*command, title], capture_output=True, timeout=60).returncode != 0
    reason = "association.calling-ae-title-unknown"
    eventually(lambda: read_refusals(process.storage) == {Kind("association", reason, ""): 3})
    assert process.stop() == 0
    ledger = Ledger(f"sqlite:///{process.storage / 'delineate.sqlite'}", process.storage)
    found = [entry for entry in AuditTrail(ledger).entries() if entry.deed is Deed.REFUSED]
    ledger.close()
    counts: Counter[str | None] = Counter()
    for entry in found:
        assert (entry.code, entry.address, entry.succeeded) == (reason, "127.0.0.1", False)
        counts[entry.who] += entry.facts["count"]
    assert counts == {"NOBODY": 2, "SOMEBODY": 1}
