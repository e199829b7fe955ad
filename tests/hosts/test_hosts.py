"""Three hosts share one node; one is cut off, one frozen, one stopped, the database killed: count what came.

`make hosts` does the same for longer and at random moments.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.namespaces import unavailable
from hosts.site import NOTHING_WRONG, Site, site
from postgresql import Unavailable
from running_node import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(400)]

EVERYTHING = "arrival,contour,deliver"


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Site]:
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    try:
        # Two seconds a CT, so that each of two hosts is in the middle of one at some moment.
        with site(tmp_path, dict.fromkeys(("one", "two", "three"), EVERYTHING), model_seconds=2.0) as made:
            yield made
    except Unavailable as missing:
        pytest.skip(str(missing))


def test_cut_off_frozen_stopped_and_without_database_nothing_is_lost_or_doubled(three: Site) -> None:
    for host in three.hosts.values():
        host.start()
    wait_until(lambda: all(host.events("engine.started") for host in three.hosts.values()), 120)
    wait_until(lambda: sum(bool(host.events("arrival.standing-by")) for host in three.hosts.values()) == 2)
    receiver = next(host for host in three.hosts.values() if host.receives())
    cut, frozen = (host for host in three.hosts.values() if host is not receiver)
    three.send(range(100, 109))
    wait_until(lambda: three.tps.count() >= 2)
    assert (
        max(three.tps.most_at_once.values()) == 1
    )  # three hosts, and one transfer to a destination at a time

    wait_until(lambda: all(_begun_and_not_ended(host) for host in (cut, frozen)))
    frozen.signal(signal.SIGSTOP)
    three.network.unplug(cut.name)
    wait_until(lambda: _reaped_by(receiver) >= {f"{cut.name}:work", f"{frozen.name}:work"})
    wait_until(lambda: three.tps.count() == 9, 120)
    frozen.signal(signal.SIGCONT)
    three.network.plug_in(cut.name)

    three.send(range(109, 111))
    three.restart_database(1)
    assert receiver.stop() == 0
    three.send(range(111, 113))  # to one that stood by
    assert cut.receives() or frozen.receives()
    three.wait_for_all()
    assert three.count() == {"series": 13, **NOTHING_WRONG}


def _begun_and_not_ended(host) -> bool:
    return len(host.events("contour.started")) > len(host.events("contour.done"))


def _reaped_by(host) -> set[str]:
    return {event["role"] for event in host.events("engine.reaped")}
