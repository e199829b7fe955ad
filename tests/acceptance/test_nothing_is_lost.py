"""``kill -9`` of every process, at every place where it hurts, while 20 CTs are under way: all 20 sets arrive.

Senders do what real ones do: what was not acknowledged they send again, what was acknowledged never.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from persistent_sender import Sender
from running_node import ReceivingTps, RunningNode, free_port, series_of, wait_until

from service.backlog.records import DeliveryState, JobState
from service.backlog.spool import Spool
from service.dicom.ct_writer import uid_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

SERIES, SLICES = 20, 10
SENDERS = {"SCANNER1": 100, "SCANNER2": 100, "ARCHIVE": 4, "TPS1": 6, "EACHIMAGE": 1}
"""By AE title: how many images it sends in one association."""
UNDER_WAY = 12
"""Series that are sent before the first set is back; further ones follow as sets come back."""

ALL_PLACES = {
    "arrival.receiving", "arrival.between-file-and-ledger", "arrival.after-ledger",
    "contour.queued", "contour.inferring", "contour.after-file", "contour.before-commit",
    "deliver.before-send", "deliver.sending", "deliver.after-success",
}  # fmt: skip


@dataclass
class House:
    """A node, five senders with four CTs each, and a TPS."""

    node: RunningNode
    tps: ReceivingTps
    senders: list[Sender]
    once: Path
    killed: set[str] = field(default_factory=set)

    def start(self, *failpoints: str) -> None:
        """Start the node; it dies once at each of these places."""
        words = ",".join(failpoints)
        self.node.start(120, DELINEATE_FAILPOINTS=words, DELINEATE_FAILPOINTS_ONCE=str(self.once))

    def reached(self) -> set[str]:
        return {event["failpoint"] for event in self.node.events("failpoint.reached")}

    def wait_for_sets(self, count: int) -> None:
        wait_until(lambda: len(self.tps.received) >= min(count, SERIES))

    def wait_for_places(self, prefix: str) -> None:
        wanted = {place for place in ALL_PLACES if place.startswith(prefix)}
        wait_until(lambda: wanted <= self.reached())

    def kill(self, role: str) -> None:
        self.node.kill(role)
        self.killed.add(role)

    def kill_supervisor(self) -> None:
        """Its children must end by themselves, at once, whatever they were doing."""
        self.kill("serve")
        wait_until(lambda: not self.node.processes(), 15)


def make_house(folder: Path, database: str) -> House:
    write_bundle(folder / "bundles" / "analytic")
    tps, port = ReceivingTps(), free_port()
    once = folder / "once"
    once.mkdir()
    config = {
        "node": {
            "port": port, "quiet_seconds": 3, "hard_timeout_seconds": 12,
            "database": database, "bundles": [str(folder / "bundles")],
        },
        "senders": dict.fromkeys(SENDERS),
        "destinations": {
            "tps": {
                "ae_title": "TPS", "host": "127.0.0.1", "port": tps.port,
                "retry": {"first_seconds": 1, "factor": 1, "longest_seconds": 1},
            }
        },
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps"], "mode": "send"}],
    }  # fmt: skip
    senders = []
    for number, (title, at_once) in enumerate(SENDERS.items()):
        seeds = range(100 + number, 100 + SERIES, len(SENDERS))
        series = [small_ct(folder / f"ct-{seed}", seed, slices=slices_of(seed)) for seed in seeds]
        senders.append(
            Sender(
                title,
                port,
                series,
                at_once,
                may=lambda nth: nth * len(SENDERS) < UNDER_WAY + len(tps.received),
            )
        )
    return House(RunningNode(folder, config), tps, senders, once)


@pytest.fixture
def house(tmp_path: Path, database: str) -> Iterator[House]:
    made = make_house(tmp_path, database)
    yield made
    made.node.kill_all()
    made.tps.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_killed_at_every_place_where_it_hurts(house: House) -> None:
    house.start(
        "arrival.receiving:25", "arrival.between-file-and-ledger:2", "arrival.after-ledger:2",
        "contour.queued:1", "contour.inferring:3",
    )  # fmt: skip
    for sender in house.senders:
        sender.start()
    house.wait_for_places("arrival.")
    house.wait_for_sets(3)
    house.kill_supervisor()
    house.start("contour.inferring:2", "contour.after-file:2", "contour.before-commit:2")
    house.wait_for_places("contour.")
    house.wait_for_sets(len(house.tps.received) + 2)
    house.node.kill_all()
    house.start("deliver.before-send:2", "deliver.sending:3", "deliver.after-success:3")
    house.wait_for_places("deliver.")
    assert house.reached() == ALL_PLACES
    everything_arrives(house)
    assert len(house.tps.deliveries) > SERIES  # killed after the peer's 0x0000: the same instance came twice


@pytest.mark.peer
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_each_process_killed_and_then_all_of_them(house: House) -> None:
    kept_back = house.senders[0].keep_back()
    house.start()
    for sender in house.senders:
        sender.start()
    for count, role in enumerate(("arrival", "model-process", "work"), 1):
        house.wait_for_sets(2 * count)
        house.kill(role)
    house.wait_for_sets(8)
    before = set(house.node.processes())
    house.kill("serve")
    house.start()  # at once: neither the port nor a lock of the dead may stand in the way
    assert not before & set(house.node.processes())
    house.wait_for_sets(10)
    transfer = house.senders[0].begin(kept_back)
    assert transfer is not None
    assert kept_back == []
    house.node.kill_all()  # all of it is acknowledged, and nobody has said that it was all
    transfer.abort()
    house.start()
    assert house.killed == {"arrival", "model-process", "work", "serve"}
    assert everything_arrives(house) >= 1


def everything_arrives(house: House) -> int:
    """Twenty CTs, twenty structure sets; nothing sent twice that was acknowledged; nothing left under way.

    Returns how many a person had to release, since the node was killed before their sender could end.
    """
    node, tps = house.node, house.tps
    for sender in house.senders:
        sender.join(200)
        assert not sender.is_alive()
    released = release_what_nobody_ended(node)
    tps.wait_for(SERIES)
    with node.ledger() as ledger:
        wait_until(lambda: len(ledger.find_jobs(JobState.DONE)) == SERIES)
        jobs = ledger.find_jobs(limit=None)
        deliveries = [each for job in jobs for each in ledger.deliveries(job.id)]
    assert len(jobs) == SERIES
    assert [each.state for each in deliveries] == [DeliveryState.DELIVERED] * SERIES

    expected = {uid_of(seed, 2, "series"): slices_of(seed) for seed in range(100, 100 + SERIES)}
    found = {series_of(ds): images_of(ds) for ds in tps.structure_sets()}
    assert found == expected
    assert tps.changed == []
    assert {each.sop_instance_uid for each in deliveries} == set(tps.deliveries)
    assert len(tps.received) == SERIES

    spool = Spool(node.storage)
    for sender in house.senders:
        assert sender.needless == 0
        for uid, file in sender.acknowledged.items():
            sent = pydicom.dcmread(file)
            kept = spool.instance_file(str(sent.SeriesInstanceUID), uid)
            assert pydicom.dcmread(kept).PixelData == sent.PixelData
    engine = json.loads(node.command("status", "--json").stdout)["engine"]
    assert {number for counts in engine.values() for number in counts.values()} == {0}
    assert node.stop() == 0
    assert node.processes() == {}
    return released


def images_of(structure_set: pydicom.Dataset) -> int:
    """How many images of the CT a structure set refers to."""
    frame = structure_set.ReferencedFrameOfReferenceSequence[0]
    return len(frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence)


def slices_of(seed: int) -> int:
    """CTs of three lengths."""
    return SLICES + seed % 3


def release_what_nobody_ended(node: RunningNode) -> int:
    """Let go on what was acknowledged whole but not ended, because the node was killed in between; how many."""
    with node.ledger() as ledger:
        wait_until(lambda: len(ledger.find_jobs(limit=None)) == SERIES)
        held = ledger.find_jobs(JobState.HELD)
    for job in held:
        assert job.code == "series.end-unknown"
        node.command("release", job.id)
    return len(held)
