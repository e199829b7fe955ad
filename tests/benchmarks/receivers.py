"""Storage SCPs that are measured beside one another, each as a process of its own with an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from benchmarks.processes import end
from benchmarks.rounds import Unmeasured
from running_node import free_port

TITLE, CALLER = "DELINEATE", "BENCH"
_START_SECONDS = 60.0


@contextmanager
def receiver(name: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A receiver that listens, and its port; its folder is deleted at the end.

    DCMTK and Orthanc answer to a small packet 40 ms late unless TCP_NODELAY is set for them: it is.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    command = _COMMANDS[name](folder, port)
    if not Path(command[0]).exists():
        raise Unmeasured(f"{command[0]} is not installed")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": ""},
        )
    try:
        _await(process, port)
        yield process, port
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unmeasured("it did not begin to listen") from None
            time.sleep(0.05)
        else:
            time.sleep(0.5)  # what it still does after it began to listen
            return


def _ours(folder: Path, port: int) -> list[str]:
    config = {
        "node": {"ae_title": TITLE, "port": port, "storage": str(folder / "var"), "quiet_seconds": 600},
        "senders": {CALLER: {"addresses": ["127.0.0.1"]}},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 1}},
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [
            {
                "name": "CT",
                "when": {"Modality": "CT"},
                "contour": "external",
                "send_to": ["tps"],
                "mode": "send",
            }
        ],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return [sys.executable, "-P", "-m", "service", "arrival", "--config", str(folder / "config.yaml")]


def _orthanc(folder: Path, port: int) -> list[str]:
    (folder / "store").mkdir()
    config = {
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": TITLE,
        "DicomAlwaysAllowStore": True,
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    return ["/usr/sbin/Orthanc", str(folder / "orthanc.json")]


def _pynetdicom(folder: Path, port: int) -> list[str]:
    (folder / "store").mkdir()
    return [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-q", "-od", str(folder / "store")]


def _dcmtk(folder: Path, port: int) -> list[str]:
    (folder / "store").mkdir()
    return ["/usr/bin/storescp", "--max-pdu", "131072", "-od", str(folder / "store"), str(port)]


_COMMANDS: dict[str, Callable[[Path, int], list[str]]] = {
    "ours": _ours,
    "Orthanc": _orthanc,
    "pynetdicom's storescp": _pynetdicom,
    "DCMTK storescp": _dcmtk,
}
NAMES = tuple(_COMMANDS)
