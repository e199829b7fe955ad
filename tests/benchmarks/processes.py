"""What processes cost: their time and their memory, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _stat(int(entry.name))):
            children.setdefault(int(found[1]), []).append(int(entry.name))
    members, todo = [], [pid]
    while todo:
        members.append(todo.pop())
        todo += children.get(members[-1], [])
    return members


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes."""
    return sum((int(found[11]) + int(found[12])) * _TICK_SECONDS for pid in pids if (found := _stat(pid)))


def pss_mib(pid: int) -> float:
    """Proportional set size: what a process shares counts for each its part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise KeyError(pid)


def end(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Ask a process to end, and wait."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (proc(5)): [1] the parent, [11] and [12] user and system time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
