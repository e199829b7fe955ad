"""What nobody caught is logged by its type and place; its text may quote a patient."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

MAIN = "raise ValueError('Canary^Patient')"
THREAD = """
import threading
def fail(): raise ValueError('Canary^Patient')
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(("body", "exit_code"), [(MAIN, 1), (THREAD, 0)], ids=["main", "thread"])
def test_the_text_of_an_exception_stays_out_of_the_log(body: str, exit_code: int) -> None:
    begin = "from service.log import log_the_unexpected, start_logging\nstart_logging()\nlog_the_unexpected('work')\n"
    run = subprocess.run(
        [sys.executable, "-P", "-c", begin + body], capture_output=True, text=True, timeout=20
    )
    assert run.returncode == exit_code
    assert "Canary" not in run.stdout + run.stderr
    event = json.loads(run.stderr)
    assert (event["event"], event["type"], event["module"]) == ("process.failed", "ValueError", "__main__")


@pytest.mark.parametrize(("quiet", "events"), [("", ["fine", "odd"]), ("1", ["odd"])])
def test_quiet_leaves_out_what_is_as_it_should_be(quiet: str, events: list[str]) -> None:
    body = (
        "from service.log import EventLog, start_logging\nstart_logging()\n"
        "log = EventLog('work')\nlog.info('fine')\nlog.warning('odd')\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", body],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "DELINEATE_QUIET": quiet},
    )
    assert [json.loads(line)["event"] for line in run.stderr.splitlines()] == events
