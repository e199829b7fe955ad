"""Peers as something that can run: a worker in its environment, or a program of Debian's."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import debian_version, versions
from benchmarks.rounds import Figures, Unmeasured, in_own_process
from peers.make_environment import make

PLASTIMATCH = shutil.which("plastimatch")


def worker(name: str, task: Mapping[str, Any], environment: str | None = None) -> Callable[[], Figures]:
    """A worker, in an environment of ``.peers`` that is made if it is not there, or in our own."""
    python: Path | str = sys.executable if environment is None else make(environment)
    return lambda: in_own_process(name, task, python=python)


def plastimatch(arguments: Iterable[Path | str], out: Path) -> Callable[[], Figures]:
    """plastimatch with these arguments, its folder ``out`` emptied before."""

    def run() -> Figures:
        if PLASTIMATCH is None:
            raise Unmeasured("it is not installed (Debian package plastimatch)")
        shutil.rmtree(out, ignore_errors=True)
        return in_own_process("program", {"command": [PLASTIMATCH, *map(str, arguments)]})

    return run


def versions_of(*environments: str) -> dict[str, dict[str, str]]:
    """Of our packages and of those in the environments named, and of plastimatch."""
    found = {"ours": versions(), "debian": debian_version("plastimatch")}
    return found | {name: versions(make(name)) for name in environments}
