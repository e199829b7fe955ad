"""A whole node, a TPS that edits and approves, and its set sent back or found by night: measured once, and graded.

Whatever dies meanwhile, and on either database; nothing is sent.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from archives import DCMQRSCP, dcmqrscp
from edited_sets import EditedSet
from pydicom.filewriter import dcmwrite
from running_node import ReceivingTps, RunningNode, free_port, running_node, send_ct, wait_until

from service.backlog.records import JobState
from service.backlog.review_records import ReviewedStructure

STORESCU = Path("/usr/bin/storescu")
LONGEST_SECONDS = 300.0  # on a machine that is very busy
PLACES = ("review.taken", "review.before-commit", "review.after-commit")
pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1500)]


@contextmanager
def counted_calls(port: int) -> Iterator[list[str]]:
    """Listens in a peer's place and takes every call down."""
    calls: list[str] = []
    server = socket.create_server(("127.0.0.1", port))

    def listen() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            calls.append(address[0])
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield calls
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def storescu(node: RunningNode, file: Path) -> None:
    words = [str(STORESCU), "-aet", "TPS", "-aec", "DELINEATE", "127.0.0.1", str(node.port), str(file)]
    subprocess.run(words, check=True, timeout=120, capture_output=True)


def reviewed(node: RunningNode) -> list[ReviewedStructure]:
    with node.ledger() as ledger:
        return ledger.find_reviewed_structures(with_superseded=True)


@pytest.mark.skipif(not STORESCU.exists(), reason="DCMTK (apt: dcmtk) is not installed")
def test_an_edited_set_sent_back_is_measured_once_though_the_worker_is_killed_at_every_step(
    tmp_path: Path, database: str
) -> None:
    write_bundle(tmp_path / "bundles" / "analytic")
    tps, once = ReceivingTps(), tmp_path / "once"
    once.mkdir()
    config = {
        "node": {
            "quiet_seconds": 1,
            "database": database,
            "timezone": "UTC",
            "bundles": [str(tmp_path / "bundles")],
            "port": free_port(),
        },
        "senders": {"CTSCANNER": None, "TPS": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": tps.port}},
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps"], "mode": "send"}],
    }
    failpoints = {"DELINEATE_FAILPOINTS": ",".join(PLACES), "DELINEATE_FAILPOINTS_ONCE": str(once)}
    with running_node(tmp_path, config, **failpoints) as node:
        ct = small_ct(tmp_path / "ct", 7)
        assert set(send_ct(ct, node.port)) == {0}
        [ours] = tps.wait_for(1, LONGEST_SECONDS)
        series_uid = str(
            ours.ReferencedFrameOfReferenceSequence[0]
            .RTReferencedStudySequence[0]
            .RTReferencedSeriesSequence[0]
            .SeriesInstanceUID
        )
        job = node.wait_for_job(series_uid, JobState.DONE, seconds=LONGEST_SECONDS)
        tps.close()
        made = (node.storage / "jobs" / job.id).glob("rtstruct-*.dcm")
        edited = EditedSet(next(made).read_bytes())
        first, *rest = STRUCTURES
        edited.trim(first, superior=1)
        back = tmp_path / "back.dcm"
        dcmwrite(back, edited.ds, enforce_file_format=True)
        with counted_calls(tps.port) as calls:
            storescu(node, back)
            wait_until(lambda: len(reviewed(node)) == len(STRUCTURES), LONGEST_SECONDS)
            wait_until(
                lambda: {place for place in PLACES if (once / place).exists()} == set(PLACES), LONGEST_SECONDS
            )
            storescu(node, back)  # once more: it is known
            own = tmp_path / "own.dcm"
            own.write_bytes(next((node.storage / "jobs" / job.id).glob("rtstruct-*.dcm")).read_bytes())
            storescu(node, own)  # and our own set, as it was
            with node.ledger() as ledger:
                wait_until(lambda: len(ledger.reviewed_sets()) == 2, LONGEST_SECONDS)
                assert {each.code for each in ledger.reviewed_sets()} == {None, "review.own-set"}
                assert ledger.job(job.id).state is JobState.DONE
                assert len(ledger.deliveries(job.id)) == 1
        assert calls == []
        rows = {row.structure: row for row in reviewed(node)}
        assert len(reviewed(node)) == len(STRUCTURES)
        assert rows[first].measures["slices_removed_superior"] == 1.0
        assert {rows[name].measures["contours_untouched"] for name in rest} == {1.0}
        assert {event["failpoint"] for event in node.events("failpoint.reached")} == set(PLACES)
        node.command("reviews", "grade", str(rows[first].id), "major", "--by", "a reader")
        [graded] = [row for row in reviewed(node) if row.structure == first]
        assert graded.reader_grade == "major"
        assert graded.estimated_grade is not None
        if DCMQRSCP.exists():
            edited = EditedSet(own.read_bytes())
            edited.trim(first, superior=2)
            is_found_by_night(node, edited, tmp_path)
            [found] = [each for each in reviewed(node) if each.structure == first and not each.superseded]
            assert found.measures["slices_removed_superior"] == 2.0
        assert "Berg" not in node.log()


def is_found_by_night(node: RunningNode, edited: EditedSet, folder: Path) -> None:
    """A set in an archive that the node is told, while it runs, to ask at this time of the day."""
    file = folder / "by-night.dcm"
    dcmwrite(file, edited.ds, enforce_file_format=True)
    with dcmqrscp(folder / "archive", node.port) as archive:
        words = [str(STORESCU), "-aet", "TPS", "-aec", "QR", "127.0.0.1", str(archive.port), str(file)]
        subprocess.run(words, check=True, timeout=120, capture_output=True)
        config = yaml.safe_load(node.config_file.read_text())
        config["destinations"]["archive"] = {"ae_title": "QR", "host": "127.0.0.1", "port": archive.port}
        now = datetime.now(UTC).strftime("%H:%M")
        config["evaluation"] = {"query": {"destinations": ["archive"], "at": now}}
        node.config_file.write_text(yaml.safe_dump(config, sort_keys=False))
        with node.ledger() as ledger:
            wait_until(
                lambda: [each for each in ledger.reviewed_sets() if each.found_by == "query"], LONGEST_SECONDS
            )
            [found] = [each for each in ledger.reviewed_sets() if each.found_by == "query"]
    assert (found.sender, found.code) == ("QR", None)
