"""A node whose model answers at once, and a TPS that notes when structure sets are stored."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pynetdicom import evt
from running_node import ReceivingTps, RunningNode

CALLER = "BENCH"
STRUCTURES = {"Bladder": (60, 200), "Femur_Head_L": (50, 120), "Femur_Head_R": (50, 320)}
"""Balls: diameter in voxels, and in which column they begin."""

_PROGRAM = f"""
import numpy as np
from models.volume import StructureField

def ball(size):
    z, y, x = np.mgrid[0:size, 0:size, 0:size].astype(np.float32) - np.float32((size - 1) / 2)
    return (0.45 * size - np.sqrt(z * z + y * y + x * x)).astype(np.float32)

BALLS = {{name: (ball(size), column) for name, (size, column) in {STRUCTURES!r}.items()}}

def segment(volume):
    slices, rows, columns = volume.hu.shape
    return {{
        name: StructureField(field[: slices - 2], (1, rows // 2, column * columns // 512))
        for name, (field, column) in BALLS.items()
    }}
"""


class TimedTps(ReceivingTps):
    """A Storage SCP that notes when each structure set was stored."""

    def __init__(self) -> None:
        self.at: list[float] = []
        super().__init__()

    def _store(self, event: evt.Event) -> int:
        status = super()._store(event)
        self.at.append(time.monotonic())
        return status

    def wait_for_next(self, count: int, seconds: float) -> float:
        """When the set after ``count`` sets was stored.

        Raises:
            TimeoutError: none was.
        """
        deadline = time.monotonic() + seconds
        while len(self.at) <= count:
            if time.monotonic() > deadline:
                raise TimeoutError("no structure set was stored")
            time.sleep(0.001)
        return self.at[count]


def config_of(
    tps: ReceivingTps, bundles: Path, more_protocols: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A configuration that sends every CT to the null model and its structure set to ``tps``."""
    null = {"model": "null@1.0", "structures": dict.fromkeys(STRUCTURES)}
    return {
        "console": {"port": 0},
        "node": {"ae_title": "DELINEATE", "bundles": [str(bundles)], "sets_per_study_and_day": 1000},
        "senders": {CALLER: {"addresses": ["127.0.0.1"]}},
        "destinations": {"tps": {"ae_title": tps.ae_title, "host": "127.0.0.1", "port": tps.port}},
        "protocols": {"null": null, **(more_protocols or {})},
        "routes": [
            {"name": "CT", "when": {"Modality": "CT"}, "contour": "null", "send_to": ["tps"], "mode": "send"}
        ],
    }


def write_null_bundle(bundles: Path) -> None:
    """The bundle ``null@1.0``."""
    folder = bundles / "null"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_PROGRAM)
    card = {
        "name": "null", "version": "1.0", "kind": "program", "summary": "answers at once with balls",
        "intended_use": "benchmarks", "licence": "Apache-2.0", "validated": True, "validation": "none needed",
        "structures": {name: {"extent": "a ball", "volume_cm3": [0.01, 5000]} for name in STRUCTURES},
        "program": {"file": "model.py", "sha256": hashlib.sha256(_PROGRAM.encode()).hexdigest()},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))


@contextmanager
def null_node(
    folder: Path, more_protocols: Mapping[str, Any] | None = None, database: str = "sqlite"
) -> Iterator[tuple[RunningNode, TimedTps]]:
    """The node, not started yet, in an empty folder, and its TPS; ``database`` as ``node.database`` has it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_null_bundle(folder / "bundles")
    tps = TimedTps()
    config = config_of(tps, folder / "bundles", more_protocols)
    config["node"]["database"] = database
    node = RunningNode(folder, config)
    try:
        yield node, tps
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop()
        tps.close()
        shutil.rmtree(folder, ignore_errors=True)
