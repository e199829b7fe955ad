"""A candidate that hangs, and one that ends its process: the clinic's CT are contoured and sent as if there were none."""

from __future__ import annotations

from pathlib import Path

import pytest
from analytic_bundle import MODEL, STRUCTURES, small_ct, write_bundle
from databases import SQLITE_FIRST
from running_node import NoticeBoard, ReceivingTps, running_node, send_ct, wait_until

from service.backlog.ledger import Ledger
from service.backlog.records import Job, JobState
from service.dicom.ct_writer import uid_of

pytestmark = pytest.mark.slow

LONGEST_SECONDS = 120.0  # on a machine that is very busy
BEGINS, TAKES_TIME = "def segment(volume):\n", "def segment(volume):\n        import time; time.sleep(2)\n"
"""A real CT must last until the shadow has looked whether anybody waits, which it does twice a second."""
HANGS = """
    import time

    def segment(volume):
        time.sleep(3600)
"""
DIES = """
    import os, signal

    def segment(volume):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


def config_of(folder: Path, port: int, notices: str, candidate: str, database: str) -> dict[str, object]:
    write_bundle(folder / "bundles" / "analytic", MODEL.replace(BEGINS, TAKES_TIME))
    write_bundle(folder / "bundles" / "candidate", candidate)
    return {
        "node": {
            "quiet_seconds": 0.3,
            "hard_timeout_seconds": 30.0,
            "database": database,
            "bundles": [str(folder / "bundles")],
            "notify": {"webhook": notices},
        },
        "senders": {"CTSCANNER": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": port}},
        "protocols": {
            "analytic": {
                "model": "analytic@1.0",
                "shadow": "candidate@1.0",
                "structures": dict.fromkeys(STRUCTURES),
            }
        },
        "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps"], "mode": "send"}],
    }


def shadow_of(ledger: Ledger, seed: int) -> Job:
    job = ledger.latest_job(uid_of(seed, 2, "series"), "shadow:analytic")
    assert job is not None
    return job


@pytest.mark.parametrize("database", SQLITE_FIRST, indirect=True)
@pytest.mark.parametrize("candidate", [HANGS, DIES], ids=["hangs", "dies"])
def test_real_cts_are_sent_and_nobody_is_told(tmp_path: Path, candidate: str, database: str) -> None:
    hangs = candidate is HANGS
    tps, board = ReceivingTps(), NoticeBoard()

    def is_in_trouble(ledger: Ledger, seed: int) -> bool:
        job = shadow_of(ledger, seed)
        return job.state is JobState.CONTOURING if hangs else job.code == "model.crashed"

    try:
        config = config_of(tmp_path, tps.port, board.url, candidate, database)
        with running_node(tmp_path, config) as node, node.ledger() as ledger:
            for seed in (1, 2):
                assert set(send_ct(small_ct(tmp_path / f"ct-{seed}", seed), node.port)) == {0x0000}
                tps.wait_for(seed, LONGEST_SECONDS)
                wait_until(lambda of=seed: is_in_trouble(ledger, of), LONGEST_SECONDS)
            first = shadow_of(ledger, 1)
            if hangs:  # the second one is in hand, so that this one waits; a crashed one may be in hand again
                assert first.code == "shadow.gave-way"
            real = [job for job in ledger.find_jobs(limit=None) if job.protocol == "analytic"]
            wait_until(
                lambda: all(ledger.job(job.id).state is JobState.DONE for job in real), LONGEST_SECONDS
            )
            assert [job.run for job in real] == [1, 1], "none was begun twice"
            assert len(tps.deliveries) == 2
            assert board.notices == []
            assert "shadow:analytic" in node.command("show", first.id).stdout
    finally:
        tps.close()
        board.close()
