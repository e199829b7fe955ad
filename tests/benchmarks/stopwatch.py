"""Time and memory of the process that asks. Runs in every environment, so it needs the standard library alone."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


def peak_mib() -> float:
    """The most memory that this process has held at once since ``forget_peak`` (resident, VmHWM).

    Not ``ru_maxrss``: that begins with what the parent held when it started this process.
    """
    return _status("VmHWM")


def resident_mib() -> float:
    """What this process holds now."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Let the peak begin at what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def cpu_seconds() -> float:
    """Of all threads and of the children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class Stopwatch:
    """Measures what runs inside ``with``.

    Attributes:
        figures: ``seconds``, ``cpu_seconds``, ``peak_mib`` (of the process, libraries and inputs included) and
            ``added_mib`` (how far the peak rose above what was held on entry).
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def __enter__(self) -> Stopwatch:
        forget_peak()
        self._held = resident_mib()
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        seconds, cpu, peak = time.perf_counter() - self._wall, cpu_seconds() - self._cpu, peak_mib()
        self.figures = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "peak_mib": peak,
            "added_mib": max(0.0, peak - self._held),
        }


def repeated(action: Callable[[], Any], times: int) -> tuple[Any, dict[str, float]]:
    """What an action gave the last time, and its figures: medians, the peak of all, and ``first_seconds``."""
    rounds = []
    for _ in range(times):
        result = None  # so that two are never held at once
        with Stopwatch() as watch:
            result = action()
        rounds.append(watch.figures)
    figures = {key: statistics.median(one[key] for one in rounds) for key in ("seconds", "cpu_seconds")}
    figures |= {key: max(one[key] for one in rounds) for key in ("peak_mib", "added_mib")}
    return result, {**figures, "first_seconds": rounds[0]["seconds"]}


def work(job: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The main function of a worker: takes its task from the command line and hands back figures.

    Args:
        job: from the task to figures, which may hold anything that JSON can.
    """
    task, answer = json.loads(sys.argv[1]), Path(sys.argv[2])
    answer.write_text(json.dumps(job(task)))


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024 / MIB
    raise KeyError(key)
