"""``kill -9`` between the structure set and each of the objects that follow it: all arrive, each under one UID."""

from __future__ import annotations

from pathlib import Path

import pytest
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from pynetdicom.sop_class import SegmentationStorage
from running_node import ReceivingTps, RunningNode, free_port, send_ct, wait_until

from service.backlog.file_sets import instance_uid_of
from service.backlog.records import DeliveryState, JobState
from service.dicom.ct_writer import uid_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PLACES = ("objects.begin", "objects.after-file", "objects.after-commit")
LONGEST_SECONDS = 900.0  # on a machine that is very busy


def test_the_set_leaves_and_all_that_follows_arrives_whenever_the_worker_is_killed(
    tmp_path: Path, database: str
) -> None:
    write_bundle(tmp_path / "bundles" / "analytic")
    once, export = tmp_path / "once", tmp_path / "export"
    once.mkdir()
    export.mkdir()
    tps = ReceivingTps(classes=[SegmentationStorage])
    config = {
        "node": {
            "port": free_port(), "quiet_seconds": 1, "database": database,
            "bundles": [str(tmp_path / "bundles")],
        },
        "senders": {"CTSCANNER": None},
        "destinations": {
            "tps": {
                "ae_title": "TPS", "host": "127.0.0.1", "port": tps.port, "objects": ["rtstruct", "segmentation"],
            },
            "export": {"folder": str(export), "objects": ["nifti"]},
        },
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps", "export"], "mode": "send"}],
    }  # fmt: skip
    node = RunningNode(tmp_path, config)
    node.start(120, DELINEATE_FAILPOINTS=",".join(PLACES), DELINEATE_FAILPOINTS_ONCE=str(once))
    try:
        assert set(send_ct(small_ct(tmp_path / "ct", 7), node.port)) == {0}
        job = node.wait_for_job(uid_of(7, 2, "series"), JobState.DONE, seconds=LONGEST_SECONDS)
        wait_until(lambda: {file.name for file in once.iterdir()} == set(PLACES), LONGEST_SECONDS)
        with node.ledger() as ledger:
            story = ledger.story(job.id)
        by_kind = {each.kind.value: each for each, _ in story.deliveries}
        assert set(by_kind) == {"rtstruct", "segmentation", "nifti"}
        assert len(story.deliveries) == 3, "no delivery was made twice"
        assert {each.state for each in by_kind.values()} == {DeliveryState.DELIVERED}
        assert story.job.run == 1, "its set was handed over once"
        waits = [event for event in story.events if event.code == "delivery.waiting"]
        assert [(event.facts or {}).get("kind") for event in waits] == ["rtstruct", None, None]
        assert tps.changed == []
        assert set(tps.received) == {by_kind[kind].sop_instance_uid for kind in ("rtstruct", "segmentation")}
        assert tps.deliveries[0] == by_kind["rtstruct"].sop_instance_uid
        [brought] = export.glob("*/structures.json")
        assert instance_uid_of(brought) == by_kind["nifti"].sop_instance_uid
    finally:
        node.kill_all()
        tps.close()
