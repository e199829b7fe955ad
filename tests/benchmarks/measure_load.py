"""CT folder to volume: beside other readers, and beside reading the bytes and doing nothing with them."""

from __future__ import annotations

import numpy as np
from benchmarks.contestants import versions_of, worker
from benchmarks.pelvis_case import PelvisCase
from benchmarks.rounds import interleaved
from benchmarks.scoreboard import Bar, Scoreboard, absolute, compared
from benchmarks.settings import Settings

READERS = {"SimpleITK": "modern", "pydicom": "modern", "highdicom": "modern"}
"""Peers by the environment they live in; their worker is ``load_NAME``."""

REPEAT = 5
"""Loads in each process, of which the median counts: the first one meets a cold interpreter."""


def measure(settings: Settings) -> Scoreboard:
    """150 uncompressed slices of 512 x 512, in the page cache."""
    case = PelvisCase(60, 256) if settings.small else PelvisCase()
    work = settings.work("rtstruct")
    case.write(work)
    task = {"ct": str(work / "ct"), "repeat": REPEAT}
    contestants = {"ours": worker("load_ours", task), "raw read": worker("load_raw", task)}
    for name, environment in READERS.items():
        contestants[name] = worker(f"load_{name.lower()}", task, environment)
    samples = interleaved(contestants, settings.rounds(7))
    elapsed = samples.of("seconds")
    to_the_limit = {name: elapsed[name] for name in ("ours", "raw read")}
    readers = {name: many for name, many in elapsed.items() if name != "raw read"}
    size = f"{case.slices} x {case.pixels} x {case.pixels}"
    bar = Bar("<=", 4, against="of the raw read")
    once = samples.of("first_seconds")
    board = Scoreboard("load", versions=versions_of("modern"))
    board.rows = [
        compared(f"CT folder to volume, {size}, elapsed", "s", to_the_limit, bar),
        compared("the same, first in its process", "s", {n: once[n] for n in to_the_limit}, bar),
        compared("the same beside other readers", "s", readers, reason=samples.reason),
        compared("the same, CPU", "s", {n: m for n, m in samples.of("cpu_seconds").items() if n in readers}),
        compared(
            "peak memory, whole process",
            "MiB",
            {n: m for n, m in samples.of("peak_mib").items() if n in readers},
        ),
    ]
    ours, *others = (
        _volume(name, {**task, "repeat": 1, "keep": str(work / f"load-{name}.npy")})
        for name in ("ours", *READERS)
    )
    for name, volume in zip(READERS, others, strict=True):
        differing = float((ours != volume).mean())
        board.rows.append(
            absolute(f"voxels that {name} reads otherwise", "", [differing], Bar("<=", 0, of="ours"))
        )
    return board


def _volume(name: str, task: dict[str, object]) -> np.ndarray:
    worker(f"load_{name.lower()}", task, READERS.get(name))()
    return np.load(str(task["keep"]))
