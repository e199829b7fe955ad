"""Orthanc forwards a study to the node whenever anything of it changes; the set that comes back changes it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from running_node import running_node

from models.volume import Grid
from service.dicom.ct_writer import write_ct

ORTHANC = Path("/usr/sbin/Orthanc")
FORWARD = """
function OnStableStudy(study, tags, metadata)
  RestApiPost("/modalities/node/store", study)
end
"""

pytestmark = [pytest.mark.slow, pytest.mark.peer]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_body(folder: Path) -> list[Path]:
    """A cylinder of water in air on 16 slices."""
    origins = np.array([[-160.0, -160.0, 5.0 * k] for k in range(16)])
    grid = Grid(origins, np.array([2.5, 0, 0]), np.array([0, 2.5, 0]), 128, 128)
    rows, columns = np.mgrid[:128, :128] - 63.5
    hu = np.where(rows**2 + (columns / 1.4) ** 2 < 40**2, 0, -1000).astype(np.int16)
    return write_ct(folder, np.repeat(hu[None], 16, axis=0), grid)


def test_a_loop_of_forwarding_comes_to_rest(tmp_path):
    if not ORTHANC.exists():
        pytest.skip("Orthanc is not installed")
    http, dicom = free_port(), free_port()
    config = {
        "node": {"quiet_seconds": 1.0},
        "senders": {"ORTHANC": None},
        "destinations": {"pacs": {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": dicom}},
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [{"name": "all", "contour": "external", "send_to": ["pacs"], "mode": "send"}],
    }
    with running_node(tmp_path, config) as node:
        (tmp_path / "forward.lua").write_text(FORWARD, encoding="ascii")
        settings = {
            "StorageDirectory": str(tmp_path / "db"),
            "IndexDirectory": str(tmp_path / "db"),
            "HttpPort": http,
            "DicomPort": dicom,
            "DicomAet": "ORTHANC",
            "DicomAlwaysAllowStore": True,
            "DicomCheckCalledAet": False,
            "DicomModalities": {"node": ["DELINEATE", "127.0.0.1", node.port]},
            "AuthenticationEnabled": False,
            "OverwriteInstances": True,
            "StableAge": 1,
            "LuaScripts": [str(tmp_path / "forward.lua")],
        }
        (tmp_path / "orthanc.json").write_text(json.dumps(settings), encoding="ascii")
        with (tmp_path / "orthanc.log").open("wb") as log:
            peer = subprocess.Popen(
                [ORTHANC, tmp_path / "orthanc.json"],
                env=os.environ | {"TCP_NODELAY": "1"},
                stdout=log,
                stderr=log,
            )
        try:
            upload(http, write_body(tmp_path / "ct"))
            deadline = time.monotonic() + 90
            while not node.events("series.sent-again-too-often") and time.monotonic() < deadline:
                time.sleep(0.2)
            assert node.events("series.sent-again-too-often"), (tmp_path / "orthanc.log").read_text()[-3000:]
            sent = len(node.events("delivery.attempted"))
            assert sent >= 1
            time.sleep(8)  # several times what one round takes
            assert len(node.events("delivery.attempted")) == sent
            assert len(node.events("contour.started")) == 1
        finally:
            peer.terminate()
            peer.wait(20)


def upload(http: int, files: list[Path]) -> None:
    """Put files into Orthanc once it answers."""
    deadline = time.monotonic() + 30
    for file in files:
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{http}/instances", file.read_bytes())
            try:
                urllib.request.urlopen(request, timeout=10).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
