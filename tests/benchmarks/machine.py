"""What a benchmark ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

_LIST = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


def machine() -> dict[str, str | int | float]:
    """Processor, cores, memory, system and accelerator, and how busy the machine is."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": cpu.group(1) if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else 0.0,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "accelerator": _accelerator(),
        "load_average": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions(python: Path | str = sys.executable) -> dict[str, str]:
    """Every package of an environment, by name."""
    if str(python) == sys.executable:
        return dict(sorted((d.metadata["Name"], d.version) for d in importlib.metadata.distributions()))
    listed = subprocess.run([str(python), "-c", _LIST], check=True, capture_output=True, text=True)
    return dict(sorted(json.loads(listed.stdout).items()))


def debian_version(package: str) -> dict[str, str]:
    """The version of a Debian package, empty if it is not one."""
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return {package: found.stdout} if found.returncode == 0 else {}


def _accelerator() -> str:
    query = shutil.which("nvidia-smi")
    if query is None:
        return "none"
    asked = [query, "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "none"
