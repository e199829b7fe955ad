"""Messages outlive the process that wrote them, and no two living processes send the same one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.backlog.outbox import Outbox

PROGRAM = """
import sys, time
from pathlib import Path
from service.backlog.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
for n in range(3):
    outbox.keep({"code": f"code {n}"})
print("kept", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process with three unsent messages."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"kept\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_killed_process_left_is_taken_over_in_order_and_once(tmp_path, other):
    outbox, third = Outbox(tmp_path), Outbox(tmp_path)
    assert outbox.taken_over() == []  # it lives
    other.kill()
    other.wait()
    found = outbox.taken_over()
    assert [content["code"] for _, content in found] == ["code 0", "code 1", "code 2"]
    assert third.taken_over() == []
    for file, _ in found:
        outbox.done(file)
    outbox.close()
    third.close()
    assert list((tmp_path / "notices").iterdir()) == []


def test_a_damaged_message_does_not_keep_the_others_back(tmp_path):
    outbox = Outbox(tmp_path)
    outbox.keep({"code": "good"}).with_name("0.json").write_bytes(b"{")
    outbox.close()
    after = Outbox(tmp_path)
    assert [content for _, content in after.taken_over()] == [{"code": "good"}]
    after.close()


def test_nothing_is_made_where_nothing_was_to_be_told(tmp_path):
    outbox = Outbox(tmp_path)
    assert outbox.taken_over() == []
    outbox.close()
    assert list(tmp_path.iterdir()) == []
