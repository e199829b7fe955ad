"""The clock of the node jumps by hours, forward and back, while CTs are under way. The machine's own is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.recording_bundle import numbered_ct, series_uid_of
from faults.site import Site
from running_node import send_ct, wait_until

from service.backlog.records import DeliveryState, JobState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FORWARD, BACK = 5 * 3600, -7 * 3600
LONGEST_SECONDS = 240.0  # on a machine that is very busy


_WRONG_CLOCK = """
import time

_right, _right_ns = time.time, time.time_ns

def _wrong_by():
    try:
        with open({file!r}) as said:
            return float(said.read() or 0)
    except OSError:
        return 0.0

time.time = lambda: _right() + _wrong_by()
time.time_ns = lambda: _right_ns() + int(_wrong_by() * 1e9)
"""
"""Python runs it at its start. libfaketime would make ``time.sleep`` fail: it knows no absolute monotonic sleep."""


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file that says by how many seconds the time of day of the node's processes is wrong."""
    folder = tmp_path / "wrong-clock"
    folder.mkdir()
    file = folder / "seconds"
    file.write_text("0")
    (folder / "sitecustomize.py").write_text(_WRONG_CLOCK.format(file=str(file)))
    return file


@pytest.mark.parametrize("jump", [FORWARD, BACK])
def test_a_clock_that_jumps_holds_nothing_up_and_ends_nothing_early(
    tmp_path: Path, clock: Path, jump: str
) -> None:
    site = Site(tmp_path)
    archive = site.destinations["archive"]
    try:
        site.node.start(120, PYTHONPATH=str(clock.parent))
        archive.close()
        assert set(site.send(1)) == {0x0000}
        site.destinations["tps"].wait_for_series(series_uid_of(1), 1, LONGEST_SECONDS)
        wait_until(lambda: is_retried(site, 1), LONGEST_SECONDS)
        half, rest = halves(numbered_ct(tmp_path / "ct-2", 2))
        assert set(send_ct(half, site.node.port, calling="EACHIMAGE")) == {0x0000}
        clock.write_text(str(jump))
        assert set(send_ct(rest, site.node.port, calling="EACHIMAGE")) == {0x0000}
        archive.open()
        site.wait_for_sets(1)
        site.wait_for_sets(2)
        for number in (1, 2):
            site.node.wait_for_job(series_uid_of(number), JobState.DONE)
            assert len(site.node.jobs_of(series_uid_of(number))) == 1
    finally:
        site.close()


def is_retried(site: Site, number: int) -> bool:
    """Whether a delivery waits for its next attempt."""
    (job,) = site.node.jobs_of(series_uid_of(number))
    with site.node.ledger() as ledger:
        return DeliveryState.RETRYING in [each.state for each in ledger.deliveries(job.id)]


def halves(files: list[Path]) -> tuple[list[Path], list[Path]]:
    return files[::2], files[1::2]
