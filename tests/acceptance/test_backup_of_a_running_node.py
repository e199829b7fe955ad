"""A node is copied while CT arrive, are contoured and sent; another one is made of the copy and goes on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pydicom
import pytest
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from running_node import ReceivingTps, RunningNode, send_ct, series_of

from service.backlog.records import JobState
from service.backlog.spool import Spool

pytestmark = pytest.mark.slow

SERIES = 5
BEFORE = 2
"""So many are in the node for certain when the copy begins."""


def node_in(folder: Path, tps: ReceivingTps) -> RunningNode:
    folder.mkdir()
    write_bundle(folder / "bundles" / "analytic")
    config = {
        "node": {
            "quiet_seconds": 1, "hard_timeout_seconds": 60,
            "bundles": [str(folder / "bundles")],
        },
        "senders": {"CTSCANNER": None},
        "destinations": {
            "tps": {
                "ae_title": "TPS", "host": "127.0.0.1", "port": tps.port,
                "retry": {"first_seconds": 1, "factor": 1, "longest_seconds": 1},
            }
        },
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps"], "mode": "send"}],
    }  # fmt: skip
    return RunningNode(folder, config)


def test_nothing_that_was_there_when_the_copy_began_is_lost(tmp_path: Path) -> None:
    first_tps, second_tps = ReceivingTps(), ReceivingTps()
    series = [small_ct(tmp_path / f"ct-{seed}", seed) for seed in range(SERIES)]
    uids = [str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID) for files in series]
    sent = threading.Semaphore(0)
    node = node_in(tmp_path / "first", first_tps)

    def send_all() -> None:
        for files in series:
            assert set(send_ct(files, node.port)) == {0}
            sent.release()

    try:
        node.start()
        sender = threading.Thread(target=send_all)
        sender.start()
        for _ in range(BEFORE):
            assert sent.acquire(timeout=120)
        said = node.command("backup", str(tmp_path / "copy")).stdout
        assert said.startswith("Copied the database and ")
        sender.join(120)
        again = node.command("backup", str(tmp_path / "copy")).stdout  # brought up to date
        assert again.startswith("Copied the database and ")
    finally:
        node.kill_all()
        first_tps.close()
    restored = node_in(tmp_path / "second", second_tps)
    try:
        assert "Restored the database" in restored.command("restore", str(tmp_path / "copy")).stdout
        spool = Spool(restored.storage)
        for uid, files in zip(uids, series, strict=True):
            assert len(list(spool.series_folder(uid).glob("*.dcm"))) == len(files)
        restored.start()
        for (
            uid
        ) in uids:  # what was done stays done, what was under way is finished, what was unknown is begun
            restored.wait_for_job(uid, JobState.DONE, seconds=180)
        assert len(json.loads(restored.command("jobs", "--json").stdout)["jobs"]) == SERIES
        again = [series_of(ds) for ds in second_tps.structure_sets()]
        assert len(again) == len(set(again)), "no series twice from the node that was restored"
        assert {series_of(ds) for ds in first_tps.structure_sets()} | set(again) == set(uids)
    finally:
        restored.kill_all()
        second_tps.close()
