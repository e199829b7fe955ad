"""Storage SCPs that the same faults are done to: ours, DCMTK's, one that forks, and Orthanc."""

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
from dataclasses import dataclass
from pathlib import Path

import yaml
from benchmarks.processes import end, family, pss_mib
from running_node import free_port

TITLE, CALLER, FROM_ELSEWHERE = "DELINEATE", "BENCH", "127.0.0.9"


class NotHere(Exception):
    """The peer is not installed."""


@dataclass(frozen=True)
class Server:
    """A server that listens on loopback."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def memory_mib(self) -> float:
        """Of all its processes, what they share counted once."""
        return sum(_memory(pid) for pid in family(self.process.pid))

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def events(self) -> list[dict]:
        """What ours has logged."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def server(name: str, folder: Path, **node: object) -> Iterator[Server]:
    """Started in an empty folder, ended and deleted at the end.

    Args:
        name: of :data:`NAMES`.
        folder: its own.
        node: keys of ``node:`` in our configuration.
    """
    folder.mkdir(parents=True)
    port = free_port()
    command = _COMMANDS[name](folder, port, node)
    if not Path(command[0]).exists():
        raise NotHere(command[0])
    environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        _await(process, port)
        yield Server(process, port, folder / "log")
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                message = "it did not begin to listen"
                raise RuntimeError(message) from None
            time.sleep(0.05)
        else:
            time.sleep(0.5)  # what it still does after it began to listen
            return


def _memory(pid: int) -> float:
    try:
        return pss_mib(pid)
    except (OSError, KeyError):  # it has ended meanwhile
        return 0.0


def _ours(folder: Path, port: int, node: dict[str, object]) -> list[str]:
    config = {
        "node": {"ae_title": TITLE, "port": port, "storage": str(folder / "var"), "quiet_seconds": 600, **node},
        "senders": {CALLER: {"addresses": ["127.0.0.1"]}},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 1}},
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [{"name": "CT", "when": {"Modality": "CT"}, "contour": "external", "send_to": ["tps"], "mode": "hold"}],
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return [sys.executable, "-P", "-m", "service", "arrival", "--config", str(folder / "config.yaml")]


def _orthanc(folder: Path, port: int, _: dict[str, object]) -> list[str]:
    (folder / "store").mkdir()
    config = {
        "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"),
        "HttpServerEnabled": False, "DicomPort": port, "DicomAet": TITLE, "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": False, "DicomAlwaysAllowStore": False, "DicomCheckModalityHost": True,
        "DicomModalities": {"bench": [CALLER, "127.0.0.1", 104]},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(config))
    return ["/usr/sbin/Orthanc", str(folder / "orthanc.json")]


def _dcmtk(folder: Path, port: int, _: dict[str, object]) -> list[str]:
    (folder / "store").mkdir()
    return [
        "/usr/bin/storescp",
        "--max-pdu",
        "131072",
        "-aet",
        TITLE,
        "-od",
        str(folder / "store"),
        str(port),
    ]


def _forking(folder: Path, port: int, node: dict[str, object]) -> list[str]:
    return [*_dcmtk(folder, port, node)[:-1], "--fork", str(port)]


_COMMANDS: dict[str, Callable[[Path, int, dict[str, object]], list[str]]] = {
    "delineate": _ours,
    "Orthanc": _orthanc,
    "storescp": _dcmtk,
    "storescp --fork": _forking,
}
NAMES = tuple(_COMMANDS)
