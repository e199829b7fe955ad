"""``delineate serve``: starts the node's processes, starts again those that die, and ends them together."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.log import EventLog
from service.node.children import REFUSED, Child, command
from service.node.prepared import Prepared
from service.node.storage_lock import take_storage_lock
from service.process_life import CONFIG_AT_START, Lifeline, become_subreaper, reap_orphans, stop_event

if TYPE_CHECKING:
    from collections.abc import Callable

_END_SECONDS: Final = 40.0  # the compose file grants 60
_LOOK_EVERY_SECONDS: Final = 0.1

_log = EventLog("node")


class Supervisor:
    """The node on one machine.

    Args:
        config: the configuration file.
        announce: told once, in a line of JSON, that CT may be sent and to which port.
    """

    def __init__(self, config: Path, announce: Callable[[str, int], None]) -> None:
        self._config = config.absolute()
        self._announce = announce
        self._stop = threading.Event()
        self._children: list[Child] = []

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit code.

        Raises:
            AlreadyRunning: another node has the storage folder.
        """
        self._stop = stop_event()
        prepared = self._prepare()
        if isinstance(prepared, int):
            return prepared
        storage = Path(prepared.storage)
        lock = take_storage_lock(storage)
        become_subreaper()
        lifeline = Lifeline()
        port_file = storage / "arrival.port"
        port_file.unlink(missing_ok=True)
        variables = {CONFIG_AT_START: prepared.config_at_start}
        self._children = [
            Child(role, (role, "--config", str(self._config)), variables) for role in ("arrival", "work")
        ]
        try:
            return self._watch(lifeline, port_file, prepared.ae_title)
        finally:
            self._end()
            port_file.unlink(missing_ok=True)
            os.close(lock)
            _log.info("node.stopped")

    def _prepare(self) -> Prepared | int:
        """Let a child check the configuration and migrate the database; its exit code if that fails."""
        with (
            Lifeline() as lifeline,
            subprocess.Popen(  # noqa: S603 our own program, no shell
                command("prepare", "--config", str(self._config)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env=lifeline.environment(),
                pass_fds=lifeline.pass_fds,
                text=True,
                process_group=0,
            ) as child,
        ):
            while child.poll() is None:  # what it says is one short line, which no pipe is too small for
                if self._stop.wait(_LOOK_EVERY_SECONDS):
                    child.kill()
            said = child.stdout.read() if child.stdout else ""
        if self._stop.is_set() and child.returncode != 0:
            return 0
        return Prepared.of_line(said) if child.returncode == 0 else abs(child.returncode)

    def _watch(self, lifeline: Lifeline, port_file: Path, ae_title: str) -> int:
        ready = False
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            for child in self._children:
                code = child.keep_running(lifeline)
                if code == REFUSED and not child.was_started_again:
                    return REFUSED  # it said why; waiting would not change it
            reap_orphans({child.pid for child in self._children})
            port = None if ready else _port_in(port_file)
            if port is not None:
                _log.info("node.ready", ae_title=ae_title, port=port)
                self._announce(ae_title, port)
                ready = True
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


def _port_in(file: Path) -> int | None:
    """The port that the arrival process listens on, None until it does."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
