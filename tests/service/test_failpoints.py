"""Failpoints kill where they are told to, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

PROGRAM = """
from service.failpoints import reach
for n in range(3):
    reach("contour.queued")
    print(n, flush=True)
"""


def run(**environment: str) -> tuple[int, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DELINEATE_FAILPOINTS")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=clean | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_nothing_happens_unless_the_environment_names_the_place():
    assert run() == (0, "0\n1\n2\n")
    assert run(DELINEATE_FAILPOINTS="deliver.sending,contour.inferring:2") == (0, "0\n1\n2\n")


def test_the_process_dies_at_the_place_named_the_first_or_the_nth_time():
    assert run(DELINEATE_FAILPOINTS="contour.queued") == (-signal.SIGKILL, "")
    assert run(DELINEATE_FAILPOINTS="deliver.sending,contour.queued:3") == (-signal.SIGKILL, "0\n1\n")


def test_with_a_folder_each_place_kills_one_process_only(tmp_path):
    once = {"DELINEATE_FAILPOINTS": "contour.queued:2", "DELINEATE_FAILPOINTS_ONCE": str(tmp_path)}
    assert run(**once) == (-signal.SIGKILL, "0\n")
    assert run(**once) == (0, "0\n1\n2\n")
