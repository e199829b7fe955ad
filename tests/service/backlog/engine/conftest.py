"""Worker processes of these tests, and the file that they write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("worker_process.py")


class Workers:
    """Starts worker processes and reads what they wrote."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.locks = folder / "locks"
        self._log = folder / "log"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        executor_id: str = "host:work",
        queues: str = "contour=1,deliver=4",
        reap_after_seconds: float = 1.0,
    ) -> subprocess.Popen[bytes]:
        arguments = [self.database_url, executor_id, self.locks, self._log, queues, reap_after_seconds]
        process = subprocess.Popen(
            [sys.executable, PROGRAM, *map(str, arguments)],
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "."},
        )
        self.processes.append(process)
        return process

    def lines(self, *words: str) -> list[list[str]]:
        """What was written, each line in words without time and process, those that begin with ``words``."""
        if not self._log.exists():
            return []
        lines = [line.split()[2:] for line in self._log.read_text().splitlines()]
        return [line for line in lines if tuple(line[: len(words)]) == words]

    def at(self, *words: str) -> float:
        """When a line that begins with ``words`` was first written."""
        for line in self._log.read_text().splitlines():
            at, _, *rest = line.split()
            if tuple(rest[: len(words)]) == words:
                return float(at)
        raise LookupError(words)

    def wait(self, met: Callable[[], bool], seconds: float = 40.0) -> None:
        """Until a condition is met; fails after so long."""
        deadline = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < deadline, f"waited in vain; written: {self.lines()}"
            time.sleep(0.02)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def workers(database_url: str, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(database_url, tmp_path)
    yield made
    made.close()
