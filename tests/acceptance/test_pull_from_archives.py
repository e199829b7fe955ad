"""CT pulled from Orthanc and dcmqrscp, each way they can give them, contoured by a node that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from archives import DCMQRSCP, ORTHANC, PLUGIN, RunningArchive, StoredCt, dcmqrscp, orthanc, small_ct
from postgresql import Unavailable, cluster
from running_node import RunningNode, free_port, running_node, wait_until

from service.backlog.audit import AuditTrail, Deed
from service.backlog.records import JobState, SeriesState

pytestmark = [pytest.mark.slow, pytest.mark.peer]


@dataclass(frozen=True)
class Clinic:
    node: RunningNode
    orthanc: RunningArchive
    qr: RunningArchive
    cts: list[StoredCt]

    def pull(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.node.command("pull", *arguments, check=False)

    def recorded(self, ct: StoredCt):
        with self.node.ledger() as ledger:
            return ledger.find_series(ct.series)

    def received_images(self) -> int:
        """How many images the SCP has acknowledged, as its log counts them."""
        return sum(int(each["instances"]) for each in self.node.events("association.released"))


@dataclass(frozen=True)
class Archives:
    """What the nodes of this module pull from, and the port of the one to which they may send."""

    orthanc: RunningArchive
    qr: RunningArchive
    cts: list[StoredCt]
    node_port: int


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archives]:
    for program in (ORTHANC, PLUGIN, DCMQRSCP):
        if not program.exists():
            pytest.skip(f"{program} is not installed")
    folder, port = tmp_path_factory.mktemp("archives"), free_port()
    cts = [small_ct(folder / f"ct{number}", number) for number in range(1, 13)]
    with orthanc(folder / "orthanc", port) as web, dcmqrscp(folder / "qr", port) as qr:
        for ct in cts:
            web.take(ct.files, "ORTHANC")
            qr.take(ct.files, "QR")
        yield Archives(web, qr, cts, port)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, archives: Archives) -> Iterator[Clinic]:
    with running_clinic(tmp_path_factory.mktemp("pull"), archives, archives.node_port, "sqlite") as running:
        yield running


@pytest.fixture(scope="module")
def clinic_on_postgresql(tmp_path_factory: pytest.TempPathFactory, archives: Archives) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("on-postgresql")
    try:
        with cluster() as server:
            with running_clinic(folder, archives, free_port(), server.new_database()) as running:
                yield running
    except Unavailable as reason:
        pytest.skip(str(reason))


@contextmanager
def running_clinic(folder: Path, archives: Archives, port: int, database: str) -> Iterator[Clinic]:
    """A node that pulls from the archives, which reach it by C-MOVE at one port only."""
    web, qr = archives.orthanc, archives.qr
    (folder / "password").write_text("canary-password\n")
    here = {"host": "127.0.0.1", "tries": 2, "retry_seconds": 0.2}
    config = {
        "node": {"port": port, "quiet_seconds": 600, "minimum_slices": 5, "database": database},
        "senders": {"ORTHANC": None, "QR": None},
        "archives": {
            "get": here | {"ae_title": "ORTHANC_GET", "port": web.port},
            "move": here | {"ae_title": "ORTHANC", "port": web.port, "retrieve": "move"},
            "web": {"ae_title": "WEB", "retrieve": "wado", "url": f"http://127.0.0.1:{web.http}/dicom-web/", "user": "puller", "password_file": "password"},
            "locked": {"ae_title": "LOCKED", "retrieve": "wado", "url": f"http://127.0.0.1:{web.http}/dicom-web/"},
            "qr": here | {"ae_title": "QR", "port": qr.port, "tries": 9},
            "qr-move": here | {"ae_title": "QR", "port": qr.port, "retrieve": "move"},
            "away": here | {"ae_title": "AWAY", "port": free_port()},
        },
        "destinations": {},
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [{"name": "all", "contour": "external", "mode": "shadow"}],
    }  # fmt: skip
    with running_node(folder, config) as node:
        yield Clinic(node, web, qr, archives.cts)


@pytest.mark.parametrize(
    ("archive", "number", "key"),
    [("get", 0, "study"), ("move", 1, "patient"), ("web", 2, "accession"), ("qr", 3, "study")],
)
def test_each_way(clinic: Clinic, archive: str, number: int, key: str) -> None:
    ct = clinic.cts[number]
    value = {"study": ct.study, "patient": ct.patient_id, "accession": ct.accession}[key]
    begun = time.monotonic()
    pulled = clinic.pull("--from", archive, f"--{key}", value)
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    assert time.monotonic() - begun < 300  # by the count: silence would take ten minutes
    known = clinic.recorded(ct)
    assert (known.state, known.instances) == (SeriesState.ROUTED, 8)
    (job,) = clinic.node.jobs_of(ct.series)
    assert (job.state, job.priority, len(job.files)) == (JobState.DONE, 900, 8)
    assert list((clinic.node.storage / "pulls" / "orders").iterdir()) == []
    shown = pulled.stdout + pulled.stderr + clinic.node.log()
    for secret in (ct.patient_id, ct.study, ct.series, ct.accession, "canary-password"):
        assert secret not in shown
    with clinic.node.ledger() as ledger:
        trail = AuditTrail(ledger).entries()
    by = [each for each in trail if each.deed is Deed.PULLED and each.facts["archive"] == archive]
    assert [each.code for each in by].count("series.pulled") == 1
    assert {"pull.begun", "pull.ended"} < {each.code for each in by}
    assert all(each.who for each in by)


def test_a_look_takes_nothing_and_what_is_here_is_not_taken_again(clinic: Clinic) -> None:
    ct = clinic.cts[10]
    looked = clinic.pull("--from", "get", "--study", ct.study, "--dry-run")
    assert (looked.returncode, clinic.recorded(ct)) == (0, None), looked.stderr
    assert "would pull 1 CT, 8 images; 0 are here" in looked.stdout
    assert clinic.pull("--from", "get", "--study", ct.study, "--no-wait").returncode == 0
    again = clinic.pull("--from", "get", "--study", ct.study)
    assert again.returncode == 0
    assert len(clinic.node.jobs_of(ct.series)) == 1


@pytest.mark.parametrize("which", ["clinic", "clinic_on_postgresql"])
def test_a_list_goes_on_after_it_and_the_receiver_were_killed_and_pulls_nothing_twice(
    request: pytest.FixtureRequest, which: str, tmp_path: Path
) -> None:
    clinic: Clinic = request.getfixturevalue(which)
    cts = clinic.cts[4:10]
    rows = [ct.patient_id for ct in cts] + ["NOBODY", cts[0].patient_id]
    (tmp_path / "list.csv").write_text("Remark;PatientID\n" + "".join(f"x;{row}\n" for row in rows))
    options = ["--from", "qr", "--list", str(tmp_path / "list.csv"), "--ahead", "2", "--priority", "800"]
    command = [
        sys.executable,
        "-P",
        "-m",
        "service",
        "pull",
        *options,
        "--config",
        str(clinic.node.config_file),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: clinic.recorded(cts[1]) is not None)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    clinic.node.kill("arrival")
    again = clinic.pull(*options)
    assert again.returncode == 1, again.stdout + again.stderr
    done = [ct for ct in cts if clinic.recorded(ct).state is SeriesState.ROUTED]
    assert done == cts
    for ct in cts:
        (job,) = clinic.node.jobs_of(ct.series)
        assert (job.state, job.priority, len(job.files)) == (JobState.DONE, 800, 8)
    with clinic.node.ledger() as ledger:
        pulled = [each for each in AuditTrail(ledger).entries() if each.code == "series.pulled"]
        numbers = [each.series_id for each in pulled]
        assert all(numbers.count(clinic.recorded(ct).id) == 1 for ct in cts)
    table = {
        cell[0].strip(): cell for cell in (line.strip("│ ").split("│") for line in again.stdout.splitlines())
    }
    assert [cell.strip() for cell in table["not found"]][1:] == ["1", "7"]
    assert table["contoured"][1].strip() == "6"
    assert table["rows done"][1].strip() == "7 of 8"
    assert "earlier run" in table["rows done"][2]
    assert not any(ct.patient_id in again.stdout + again.stderr for ct in cts)
    (journal,) = (clinic.node.storage / "pulls").glob("*.jsonl")
    assert {json.loads(line)["row"] for line in journal.read_text().splitlines()} == {1, 2, 3, 4, 5, 6, 8}
    assert "CANARY" not in journal.read_text()


def test_what_cannot_be_had_ends_with_a_code_that_says_why(clinic: Clinic) -> None:
    ct = clinic.cts[11]
    away = clinic.pull("--from", "away", "--study", ct.study)
    assert (away.returncode, "archive.no-connection" in away.stderr) == (3, True)
    locked = clinic.pull("--from", "locked", "--study", ct.study)
    assert (locked.returncode, "archive.not-allowed" in locked.stderr) == (3, True)
    unknown = clinic.pull("--from", "elsewhere", "--study", ct.study)
    assert (unknown.returncode, "pull.no-such-archive" in unknown.stderr) == (2, True)
    assert clinic.recorded(ct) is None


def test_a_protocol_of_ones_own_and_c_move_from_dcmtk(clinic: Clinic) -> None:
    ct = clinic.cts[11]
    pulled = clinic.pull("--from", "qr-move", "--series", ct.series, "--protocol", "external")
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    (job,) = clinic.node.jobs_of(ct.series)
    assert (job.state, job.routes, job.destinations) == (JobState.DONE, (), ())
