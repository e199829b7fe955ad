"""Storage commitment between a whole node and Orthanc, both ways, and across a restart."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from running_node import free_port, running_node, send_ct, wait_until

from models.volume import Grid
from service.backlog.commitment_records import CommitmentState
from service.backlog.records import JobState
from service.dicom.ct_writer import write_ct

ORTHANC = Path("/usr/sbin/Orthanc")
pytestmark = [pytest.mark.peer, pytest.mark.slow]


def write_body(folder: Path) -> list[Path]:
    """A cylinder of water in air on 8 slices."""
    grid = Grid(
        np.array([[-160.0, -160.0, 5.0 * k] for k in range(8)]),
        np.array([2.5, 0, 0]),
        np.array([0, 2.5, 0]),
        128,
        128,
    )
    rows, columns = np.mgrid[:128, :128] - 63.5
    hu = np.where(rows**2 + (columns / 1.4) ** 2 < 40**2, 0, -1000).astype(np.int16)
    return write_ct(folder, np.repeat(hu[None], 8, axis=0), grid)


@contextmanager
def orthanc(folder: Path, http: int, dicom: int, node: int) -> Iterator[Callable[..., Any]]:
    """Orthanc on free loopback ports; yields a function that asks its REST interface."""
    folder.mkdir()
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "DicomModalities": {
            "node": {
                "AET": "DELINEATE",
                "Host": "127.0.0.1",
                "Port": node,
                "AllowStorageCommitment": True,
            }
        },
        "AuthenticationEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(ORTHANC), "--verbose", str(folder / "orthanc.json")],
            env=os.environ | {"TCP_NODELAY": "1"},
            stdout=log,
            stderr=log,
        )

    def ask(path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/{path}", data=data, timeout=60) as answer:
            return json.load(answer)

    def answers() -> bool:
        try:
            ask("system")
        except OSError:
            return False
        return True

    try:
        wait_until(answers)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


def test_orthanc_commits_itself_and_is_answered_by_the_node(tmp_path: Path) -> None:
    if not ORTHANC.exists():
        pytest.skip("Orthanc is not installed")
    http, dicom, port = free_port(), free_port(), free_port()
    config = {
        "node": {"quiet_seconds": 1.0, "port": port},
        "senders": {"CTSCANNER": None, "ORTHANC": {"port": dicom, "host": "127.0.0.1"}},
        "destinations": {
            "pacs": {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": dicom, "storage_commitment": True}
        },
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [{"name": "all", "contour": "external", "send_to": ["pacs"], "mode": "send"}],
    }
    files = write_body(tmp_path / "ct")
    slices = [pydicom.dcmread(file) for file in files]
    with running_node(tmp_path, config) as node, orthanc(tmp_path / "orthanc", http, dicom, port) as ask:
        send_ct(files, port)
        job = node.wait_for_job(slices[0].SeriesInstanceUID, JobState.DONE)

        def state() -> CommitmentState | None:
            with node.ledger() as ledger:
                found = list(ledger.story(job.id).commitments.values())
            return found[0].state if found else None

        wait_until(lambda: state() is CommitmentState.COMMITTED)
        assert "delivered: committed" in node.command("show", job.id).stdout

        there = [(str(ds.SOPClassUID), str(ds.SOPInstanceUID)) for ds in slices]
        absent = (there[0][0], "2.25.404")
        named = [{"SOPClassUID": each[0], "SOPInstanceUID": each[1]} for each in [*there, absent]]
        path = ask("modalities/node/storage-commitment", {"DicomInstances": named})["Path"].lstrip("/")
        node.kill_all()
        assert ask(path)["Status"] == "Pending"
        node.start()
        answer = finished(ask, path)
        assert (answer["Status"], len(answer["Success"])) == ("Failure", len(there))
        (failure,) = answer["Failures"]
        assert (failure["SOPInstanceUID"], failure["FailureReason"]) == ("2.25.404", 0x0112)


def finished(ask: Callable[..., Any], path: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (found := ask(path))["Status"] == "Pending" and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
