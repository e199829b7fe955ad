"""Children end with their parent, whichever way it goes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import sys, time
from service.process_life import die_with_parent
die_with_parent()
print("up", flush=True)
{body}
"""
PARENT = """
import subprocess, sys, threading, time
from service.process_life import Lifeline
lifeline = Lifeline()
child = subprocess.Popen([sys.executable, "-P", "-c", sys.argv[1]], pass_fds=lifeline.pass_fds,
                         env=lifeline.environment(), stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
BUSY = "while True: pass"
WITHOUT_THE_SIGNAL = """
import ctypes
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def start_family(body: str) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT, CHILD.format(body=body)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert select.select([parent.stdout], [], [], 60)[0]
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    "body", ["time.sleep(60)", BUSY, WITHOUT_THE_SIGNAL], ids=["asleep", "busy", "by-pipe"]
)
def test_a_child_ends_soon_after_its_parent(body: str, how: int) -> None:
    parent, child = start_family(body)
    assert alive(child)
    os.kill(parent.pid, how)
    parent.communicate()
    deadline = time.monotonic() + 20  # it would live for a minute
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def test_a_process_that_was_started_by_hand_lives_on() -> None:
    script = CHILD.format(body="print('still here')")
    run = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout.split("\n")[:2] == ["up", "still here"]


def test_sigterm_asks_for_a_stop() -> None:
    script = """
import os, signal
from service.process_life import stop_event
stop = stop_event()
os.kill(os.getpid(), signal.SIGTERM)
print(stop.wait(5))
"""
    run = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout == "True\n"


GRANDPARENT = """
import os, signal, subprocess, sys, time
from pathlib import Path
from service.process_life import Lifeline, become_subreaper, reap_orphans
become_subreaper()
words = [sys.executable, "-P", "-c", *sys.argv[1:]]
parent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
orphan = int(parent.stdout.readline())
parent.kill()
parent.wait()
deadline = time.monotonic() + 30
while Path(f"/proc/{orphan}").exists() and time.monotonic() < deadline:
    reap_orphans({None})
    time.sleep(0.02)
print(Path(f"/proc/{orphan}").exists())
"""


def test_an_orphan_ends_and_leaves_no_zombie() -> None:
    child = CHILD.format(body="time.sleep(60)")
    run = subprocess.run(
        [sys.executable, "-P", "-c", GRANDPARENT, PARENT, child], capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "False\n"


def test_reaping_leaves_own_children_to_who_waits_for_them() -> None:
    script = """
import subprocess, time
from service.process_life import reap_orphans
child = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
time.sleep(0.3)
reap_orphans({child.pid})
print(child.wait())
"""
    run = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout == "7\n"
