"""Worker processes of these tests, and the file that they write."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_worker import work

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["service.backlog.engine"])
"""Workers are forked from a process that has imported what they need: 120 of them would each do so for a second."""


class WorkerProcess:
    """A worker; what it ended with is known after :meth:`wait`."""

    def __init__(self, *arguments: object) -> None:
        self._process = FORKED.Process(target=work, args=arguments)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """As :attr:`subprocess.Popen.returncode`; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """Until it ends; what it ended with."""
        self._process.join(seconds)
        if self.returncode is None:
            message = f"it runs on after {seconds} s"
            raise TimeoutError(message)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


class Workers:
    """Starts worker processes and reads what they wrote."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.locks = folder / "locks"
        self._log = folder / "log"
        self.processes: list[WorkerProcess] = []

    def start(
        self,
        executor_id: str = "host:work",
        queues: str = "contour=1,deliver=4",
        reap_after_seconds: float = 1.0,
    ) -> WorkerProcess:
        process = WorkerProcess(
            self.database_url, executor_id, self.locks, self._log, queues, reap_after_seconds
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

    def wait(self, met: Callable[[], bool], seconds: float = 180.0) -> None:
        """Until a condition is met; fails after so long."""
        deadline = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < deadline, f"waited in vain; written: {self.lines()}"
            time.sleep(0.02)

    def go(self) -> None:
        """Rows that are held need wait no longer."""
        self._log.with_name("go").touch()

    def kill(self, process: WorkerProcess) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                self.kill(process)


@pytest.fixture
def workers(database_url: str, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(database_url, tmp_path)
    yield made
    made.close()
