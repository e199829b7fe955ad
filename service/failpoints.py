"""Places where tests kill this process, to prove that nothing is lost; off unless the environment says so."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from service.log import EventLog

_log = EventLog("failpoints")
_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Die here by SIGKILL if ``DELINEATE_FAILPOINTS`` holds ``name``, or ``name:n`` and it is the n-th time.

    With ``DELINEATE_FAILPOINTS_ONCE``, a folder, each name kills one process only: what is started in its
    place goes on.
    """
    wanted = os.environ.get("DELINEATE_FAILPOINTS")
    if not wanted:
        return
    _reached[name] += 1
    for entry in wanted.split(","):
        place, _, nth = entry.partition(":")
        if place == name and _reached[name] == int(nth or 1) and _is_first(name):
            _log.warning("failpoint.reached", failpoint=name)
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first(name: str) -> bool:
    folder = os.environ.get("DELINEATE_FAILPOINTS_ONCE")
    if not folder:
        return True
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
