"""One process of the node: started, watched, started again when it dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.process_life import Lifeline

REFUSED: Final = 2  # exit code of a process that says what a person must do
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0
_STEADY_SECONDS: Final = 60.0

_log = EventLog("node")


def command(*words: str) -> list[str]:
    """Our own program with this interpreter, whatever lies in the current folder."""
    return [sys.executable, "-P", "-m", "service", *words]


def launched(
    words: Sequence[str], lifeline: Lifeline, environment: Mapping[str, str], *, stdin: int, stdout: int
) -> subprocess.Popen[bytes]:
    """Our own program as a process that ends with us."""
    return subprocess.Popen(  # noqa: S603 our own program, no shell
        command(*words),
        stdin=stdin,
        stdout=stdout,
        env=environment,
        pass_fds=lifeline.pass_fds,
        process_group=0,  # Ctrl-C is for the supervisor, which asks each in turn
    )


class Child:
    """A stage as a process of its own.

    Args:
        role: how it is called in the log.
        words: what it is told on the command line.
        variables: environment it gets beside ours.
        needed: whether the node ends if it refuses to start.
    """

    def __init__(
        self, role: str, words: Sequence[str], variables: Mapping[str, str], *, needed: bool = True
    ) -> None:
        self.role = role
        self.needed = needed
        self._words = tuple(words)
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._deaths = 0
        self._started_at = 0.0
        self._start_at = 0.0

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """It runs already."""
        self._process = process
        self._started_at = time.monotonic()
        self._starts += 1
        _log.info("node.child-started", role=self.role, pid=process.pid)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def starts(self) -> int:
        """How often it was started."""
        return self._starts

    @property
    def was_started_again(self) -> bool:
        """Whether it has died before and got another chance."""
        return self._starts > 1

    def keep_running(self, lifeline: Lifeline) -> int | None:
        """Start it if it is its time to, and see whether it has died; then the exit code, else None."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._start_at:
                self._start(lifeline)
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._process = None
        self._deaths = 0 if now - self._started_at > _STEADY_SECONDS else self._deaths + 1
        wait = min(_FIRST_WAIT_SECONDS * 2 ** min(max(0, self._deaths - 1), 10), _LONGEST_WAIT_SECONDS)
        self._start_at = now + wait
        died = {"signal": signal.Signals(-code).name} if code < 0 else {"exit_code": code}
        _log.error("node.child-died", role=self.role, seconds=wait, **died)
        return code

    def ask_to_end(self) -> None:
        """SIGTERM, if it runs."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        self._signal(signal.SIGKILL)

    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process is None or self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _start(self, lifeline: Lifeline) -> None:
        environment = lifeline.environment() | self._variables
        self.adopt(
            launched(self._words, lifeline, environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())
        )
