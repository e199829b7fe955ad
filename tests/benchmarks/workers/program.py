"""Runs a program that is not Python, and says what it needed.

Task: ``command`` (list of words). This process is small, so that the program's peak is its own.
"""

from __future__ import annotations

import resource
import subprocess
import time
from typing import Any

from benchmarks.stopwatch import cpu_seconds, work


def job(task: dict[str, Any]) -> dict[str, Any]:
    started, cpu = time.perf_counter(), cpu_seconds()
    subprocess.run(task["command"], check=True, stdout=subprocess.DEVNULL, cwd=task.get("folder"))
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    work(job)
