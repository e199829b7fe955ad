"""One structure set to fifteen destinations that do something wrong, and to one that does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pydicom
import pytest
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from benchmarks.processes import pss_mib
from peer_faults.destinations import WRONG, Destination
from running_node import ReceivingTps, RunningNode, free_port, send_ct, wait_until

pytestmark = pytest.mark.slow

DEADLINE_SECONDS = 8.0  # of those that fall silent; the others have the time that any destination has
LATE_SECONDS = 10.0  # a machine with much else to do
GROWTH_MIB = 60.0
ATTEMPTS = 3


@pytest.fixture(scope="module")
def neighbours() -> Iterator[dict[str, int]]:
    """Ports by name."""
    with ExitStack() as stack:
        ports = {}
        for wrong in WRONG:
            if wrong.behave is None:
                ports[wrong.name] = free_port()
                continue
            made = (
                ReceivingTps(answer=lambda _count, status=wrong.behave: status)
                if isinstance(wrong.behave, int)
                else Destination(wrong.behave)
            )
            stack.callback(made.close)
            ports[wrong.name] = made.port
        yield ports


@pytest.fixture(scope="module")
def good() -> Iterator[ReceivingTps]:
    made = ReceivingTps()
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, neighbours: dict[str, int], good: ReceivingTps
) -> Iterator[RunningNode]:
    folder: Path = tmp_path_factory.mktemp("destinations")
    write_bundle(folder / "bundles" / "analytic")
    often = {"first_seconds": 1, "factor": 1, "longest_seconds": 1}
    made = RunningNode(
        folder,
        {
            "node": {"quiet_seconds": 0.5, "bundles": [str(folder / "bundles")]},
            "senders": {"CTSCANNER": None, "OTHER": None},
            "destinations": {
                wrong.name: {
                    "ae_title": wrong.name.upper()[:16], "host": "127.0.0.1", "port": neighbours[wrong.name], "retry": often,
                } | ({"timeout_seconds": DEADLINE_SECONDS} if wrong.silent else {})
                for wrong in WRONG
            } | {"good": {"ae_title": "GOOD", "host": "127.0.0.1", "port": good.port}},
            "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
            "routes": [
                {"name": "all", "when": {"calling_ae": "CTSCANNER"}, "contour": "analytic", "send_to": [*neighbours, "good"], "mode": "send"},
                {"name": "good", "when": {"calling_ae": "OTHER"}, "contour": "analytic", "send_to": ["good"], "mode": "send"},
            ],
        },
    )  # fmt: skip
    try:
        yield made.start()
    finally:
        made.kill_all()


def attempts(node: RunningNode) -> list[dict]:
    return [event for event in node.events("delivery.attempted") if event["destination"] != "good"]


@pytest.fixture(scope="module")
def tried(node: RunningNode, good: ReceivingTps, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Every one of them tried as often as it will be; how much the sending process has grown meanwhile (MiB)."""
    files = small_ct(tmp_path_factory.mktemp("ct"), 1)
    assert set(send_ct(files, node.port)) == {0}
    wait_until(lambda: {event["destination"] for event in attempts(node)} == {wrong.name for wrong in WRONG})
    (work,) = (pid for pid, role in node.processes().items() if role == "work")
    before = pss_mib(work)

    def often_enough() -> bool:
        counts = Counter(event["destination"] for event in attempts(node))
        return all(counts[wrong.name] >= (ATTEMPTS if wrong.again else 1) for wrong in WRONG)

    wait_until(often_enough)
    assert len(good.received) == 1
    return pss_mib(work) - before


def test_each_ends_with_its_code_in_its_time_and_in_one_line(node: RunningNode, tried: float) -> None:
    for wrong in WRONG:
        found = [event for event in attempts(node) if event["destination"] == wrong.name]
        assert {event["code"] for event in found} <= wrong.codes, wrong.name
        assert max(event["ms"] for event in found) < 1000 * (DEADLINE_SECONDS + LATE_SECONDS), wrong.name
        numbers = [event["attempt"] for event in found]
        assert numbers == list(range(1, len(found) + 1)), "one line an attempt, and none left out"
        assert len(found) == 1 or wrong.again, wrong.name


def test_the_process_that_sends_does_not_grow(tried: float) -> None:
    assert tried < GROWTH_MIB


def test_others_are_served_while_they_are_tried(
    node: RunningNode, good: ReceivingTps, tried: float, tmp_path: Path
) -> None:
    files = small_ct(tmp_path / "ct", 2)
    uid = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    begun = time.monotonic()
    assert set(send_ct(files, node.port, calling="OTHER")) == {0}
    assert time.monotonic() - begun < LATE_SECONDS
    good.wait_for_series(uid)
    job = node.jobs_of(uid)[0].id

    def stored() -> list[dict]:
        return [one for one in node.events("delivery.attempted") if one["job"] == job]

    wait_until(stored)
    assert [(one["destination"], one["attempt"], one["code"]) for one in stored()] == [
        ("good", 1, "delivery.stored")
    ]
