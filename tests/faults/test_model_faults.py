"""A model that hangs, runs out of memory, crashes as one does that lost its GPU, or answers with NaN: in a whole node."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.recording_bundle import records_of, series_uid_of
from faults.site import Site
from running_node import wait_until

from service.backlog.records import JobState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HANGS, NO_MEMORY, GPU_LOST, NOT_A_NUMBER, GOOD = range(1, 6)

PROGRAM = """
    def fault_of(number):
        import resource, signal
        if os.path.exists(f"{FOLDER}/{number}.done-once"):
            return
        open(f"{FOLDER}/{number}.done-once", "w").close()
        if number == 1:
            time.sleep(600)
        if number == 2:
            now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), now + (64 << 20)))
            np.ones((1 << 30,), np.uint8)
        if number == 3:
            os.kill(os.getpid(), signal.SIGABRT)

    right_answer_of = answer_of

    def answer_of(volume):
        out = right_answer_of(volume)
        if int(volume.hu.flat[0]) == 4:
            out["Bladder"][5] = np.nan
        return out
"""


def test_what_goes_wrong_once_is_tried_again_and_what_must_not_be_used_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path, program=PROGRAM, model_timeout_seconds=15)
    try:
        site.node.start(120)
        for number in (HANGS, NO_MEMORY, GPU_LOST, NOT_A_NUMBER, GOOD):
            assert set(site.send(number)) == {0x0000}
        for number in (HANGS, NO_MEMORY, GPU_LOST, GOOD):
            site.wait_for_sets(number, 200)
            site.node.wait_for_job(series_uid_of(number), JobState.DONE)
        refused = site.node.wait_for_job(series_uid_of(NOT_A_NUMBER), JobState.REFUSED)
        assert refused.code == "model.not-finite"
        wait_until(lambda: site.is_told(refused))
        again = [event["code"] for event in site.node.events("contour.again")]
        assert {"model.timed-out", "model.out-of-memory", "model.crashed"} <= set(again)
        assert records_of(site.records, "overlap") == []
        assert len(site.board.notices) == 1
        assert all(
            series_uid_of(NOT_A_NUMBER) not in there.sets_of_series() for there in site.destinations.values()
        )
    finally:
        site.close()
