"""Peers that misbehave towards a running node: others are served, memory stays, one line says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from peer_faults.senders import (
    BROKEN_OFF,
    CUT_OFF,
    FAULTS,
    MANY,
    Fault,
    Scene,
    ending,
    many_at_once,
    other_client,
)
from peer_faults.servers import Server, server
from running_node import wait_until

pytestmark = pytest.mark.slow

DEADLINE_SECONDS = 1.5
LATE_SECONDS = 20.0  # a machine with much else to do
GROWTH_MIB = 100.0
RELEASED = "association.released"
HOW_MANY = {f"{MANY} associations at once": MANY, "40 connections that say nothing": 40}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("faults") / "node"
    settings = {"network_timeout_seconds": DEADLINE_SECONDS, "max_associations": 300}
    with server("delineate", folder, **settings) as running:
        assert other_client(running.port) is not None
        yield running


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if not fault.takes_long], ids=lambda fault: fault.name
)
def test_a_peer_that_misbehaves_costs_nobody_else_anything(node: Server, fault: Fault) -> None:
    before, known = node.memory_mib(), len(node.events())
    with closing(Scene(node.port, 10.0)) as scene:
        fault.begin(scene)
        assert other_client(node.port, LATE_SECONDS) is not None, "somebody else was not served"
        if fault.ends:
            how, seconds = ending(scene.peers[0], LATE_SECONDS)
            assert how in (fault.ends, "closed")  # an abort is lost where what we have not read resets all
            assert seconds < LATE_SECONDS
        elif not fault.waits:
            scene.close()
        wanted = HOW_MANY.get(fault.name, 1)

        def said() -> list[str]:
            events = [event["event"] for event in node.events()[known:]]
            return [event for event in events if event.startswith("association.") and event != RELEASED]

        if fault.event == RELEASED:
            assert said() == []
        else:
            wait_until(lambda: said().count(fault.event) >= wanted, LATE_SECONDS)
            assert said().count(fault.event) == wanted
            assert set(said()) <= {fault.event, BROKEN_OFF} | (
                {CUT_OFF} if fault.begin is many_at_once else set()
            )
        assert node.memory_mib() - before < GROWTH_MIB
    assert node.is_alive()


def test_what_was_said_is_what_was_to_be_said(node: Server) -> None:
    """Turned away with the right reason, and 128 contexts are no fault."""
    said = {}
    for fault in FAULTS[-4:]:
        with closing(Scene(node.port, 10.0)) as scene:
            fault.begin(scene)
            said[fault.name] = scene.said
    assert said == {
        "128 presentation contexts": "stored with 0000",
        "unknown calling AE title": "rejected 1/1/3",
        "unknown called AE title": "rejected 1/1/7",
        "right AE title, wrong address": "rejected 1/1/1",
    }
