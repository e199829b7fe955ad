"""How our processes begin and end together: no child outlives its parent; a stop is asked for, then forced.

A parent holds the write end of a pipe and never writes to it; each child holds the read end. However the
parent dies, ``kill -9`` included, the kernel closes its end and the child reads end of file. The kernel's
own parent-death signal comes first where the child was started by a thread that is still alive; the pipe
covers the rest (Linux sends that signal when the *thread* which started the child ends, prctl(2), so start
children from a thread that lives as long as the process).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import FrameType

LIFELINE: Final = "DELINEATE_LIFELINE"
CONFIG_AT_START: Final = "DELINEATE_CONFIG_AT_START"
"""Names the file with the configuration that a node started with, for its processes."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


class Lifeline:
    """The parent's end. Keep it referenced as long as the children shall live.

    Start a child with ``subprocess.Popen(..., pass_fds=lifeline.pass_fds, env=lifeline.environment())``; the
    child calls :func:`die_with_parent` first thing. One lifeline serves any number of children.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """The descriptors a child must inherit."""
        return (self._read_end,)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """``base`` (or this process's environment) and where the child finds its end of the pipe."""
        found = dict(os.environ if base is None else base)
        found[LIFELINE] = f"{self._read_end}:{os.getpid()}"
        return found

    def close(self) -> None:
        """Let go: every child that still runs ends."""
        for end in (self._read_end, self._write_end):
            os.close(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def die_with_parent() -> None:
    """Make this process end within moments of its parent's death; nothing happens if no parent asked for it.

    Call it before anything slow is imported, from the main thread.
    """
    lifeline = os.environ.pop(LIFELINE, None)  # popped: our own children have us as parent, not our parent
    if lifeline is None:
        return
    descriptor, parent = (int(part) for part in lifeline.split(":"))
    os.set_inheritable(descriptor, False)
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    threading.Thread(target=_end_at_end_of_file, args=(descriptor,), name="lifeline", daemon=True).start()


def become_subreaper() -> None:
    """Become the parent of grandchildren whose own parent dies, so that none is lost sight of (prctl(2))."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans(own: Collection[int | None]) -> None:
    """Let those go that came to us as orphans and have ended; ``own`` are left to who started them."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _end_at_end_of_file(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os._exit(1)  # no clean-up: whatever survives kill -9 survives this, and clean-up may hang


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set, so that a process can finish what it does. Main thread only."""
    stop = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop
