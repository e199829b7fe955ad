"""``delineate serve``: starts the node's processes, starts again those that die, and ends them together."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.log import EventLog
from service.node.children import REFUSED, Child, launched
from service.node.prepared import GO, Prepared
from service.node.restarts import Starts
from service.node.storage_lock import take_storage_lock
from service.process_life import CONFIG_AT_START, Lifeline, become_subreaper, reap_orphans, stop_event

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_END_SECONDS: Final = 40.0  # the compose file grants 60
_LOOK_EVERY_SECONDS: Final = 0.1
_LOOK_EVERY_SECONDS_AT_START: Final = 0.02

ROLES: Final = ("arrival", "contour", "deliver", "console")
"""What a host may do; by default all of it."""

_log = EventLog("node")


class Supervisor:
    """The node on one machine.

    Args:
        config: the configuration file.
        announce: told once that CT may be sent, and to which port; None where this host does not receive.
        roles: what this host does, of ``ROLES``.
    """

    def __init__(
        self, config: Path, announce: Callable[[str, int | None], None], roles: Collection[str] = ROLES
    ) -> None:
        self._roles = frozenset(roles)
        self._stages = _stages(roles)
        self._config = config.absolute()
        self._announce = announce
        self._stop = threading.Event()
        self._children: list[Child] = []
        self._later: list[Child] = []

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit code.

        Raises:
            AlreadyRunning: another node has the storage folder.
        """
        self._stop = stop_event()
        become_subreaper()
        lifeline = Lifeline()
        first = launched(
            (*self._words(next(iter(self._stages))), "--prepare"),
            lifeline,
            lifeline.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            prepared = self._prepared_by(first)
            if prepared is None:
                return 0 if self._stop.is_set() else abs(first.wait())
            return self._serve(first, prepared, lifeline)
        finally:
            first.kill()  # unless it has ended, as it has if the node ran
            first.wait()

    def _serve(self, first: subprocess.Popen[bytes], prepared: Prepared, lifeline: Lifeline) -> int:
        folder = Path(prepared.host_folder)
        lock = take_storage_lock(folder)
        port_file = folder / "arrival.port"
        port_file.unlink(missing_ok=True)
        variables = {CONFIG_AT_START: prepared.config_at_start}
        self._children = [Child(stage, self._words(stage), variables) for stage in self._stages]
        self._children[0].adopt(first)
        console = Child("console", ("console", "--config", str(self._config)), variables, needed=False)
        self._later = [console] if prepared.console and "console" in self._roles else []
        try:
            _let_go_on(first)
            return self._watch(lifeline, port_file, prepared.ae_title)
        finally:
            self._end()
            port_file.unlink(missing_ok=True)
            os.close(lock)
            _log.info("node.stopped")

    def _words(self, stage: str) -> tuple[str, ...]:
        return stage, "--config", str(self._config), *self._stages[stage]

    def _prepared_by(self, first: subprocess.Popen[bytes]) -> Prepared | None:
        """What the first arrival process says of configuration and database; None if it refuses them."""
        assert first.stdout is not None  # noqa: S101 - for the type checker: it was started with a pipe
        while not select.select([first.stdout], [], [], _LOOK_EVERY_SECONDS)[0]:
            if self._stop.is_set():
                return None
        said = first.stdout.readline()  # one short line
        first.stdout.close()
        return Prepared.of_line(said.decode()) if said else None

    def _watch(self, lifeline: Lifeline, port_file: Path, ae_title: str) -> int:
        ready, starts = False, Starts(port_file.parent)
        while not self._stop.wait(_LOOK_EVERY_SECONDS if ready else _LOOK_EVERY_SECONDS_AT_START):
            for child in self._children:
                code = child.keep_running(lifeline)
                if code == REFUSED and child.needed and not child.was_started_again:
                    return REFUSED  # it said why; waiting would not change it
            reap_orphans({child.pid for child in self._children})
            receives = "arrival" in self._stages
            port = _port_in(port_file) if receives and not ready else None
            if not ready and (port is not None or not receives):
                _log.info("node.ready", ae_title=ae_title, **({} if port is None else {"port": port}))
                self._announce(ae_title, port)
                ready = True
                self._children += self._later  # nothing of it delays the first CT
            starts.tell({child.role: child.starts for child in self._children})
        return 0

    def _end(self) -> None:
        """Ask all to end, wait, then force those that do not."""
        began = time.monotonic()
        for child in self._children:
            child.ask_to_end()
        while not all(child.ended() for child in self._children):
            if time.monotonic() - began > _END_SECONDS:
                break
            time.sleep(_LOOK_EVERY_SECONDS)
        for child in self._children:
            if not child.ended():
                _log.warning("node.child-killed", role=child.role)
                child.kill()
        while not all(child.ended() for child in self._children):
            time.sleep(_LOOK_EVERY_SECONDS)


def _stages(roles: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The processes that do so, each with what it is told beside its configuration."""
    stages: dict[str, tuple[str, ...]] = {"arrival": ()} if "arrival" in roles else {}
    queues = [queue for queue in ("contour", "deliver") if queue in roles]
    if queues:
        stages["work"] = () if len(queues) == 2 else ("--queues", queues[0])
    return stages


def _let_go_on(first: subprocess.Popen[bytes]) -> None:
    assert first.stdin is not None  # noqa: S101 - for the type checker: it was started with a pipe
    with contextlib.suppress(BrokenPipeError), first.stdin:  # it has died: it is started again
        first.stdin.write(GO)


def _port_in(file: Path) -> int | None:
    """The port that the arrival process listens on, None until it does."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
