"""What the health check finds wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_desk import Desk
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from service.node.health import problems
from service.node.heartbeat import Heartbeat, ages_seconds


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


@pytest.fixture
def listening(desk: Desk) -> Iterator[AE]:
    ae = AE("DELINEATE")
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    (desk.loaded.storage / "arrival.port").write_text(str(server.socket.getsockname()[1]))
    yield ae
    server.shutdown()


def wait_for(desk: Desk, *roles: str) -> None:
    deadline = time.monotonic() + 30
    while ages_seconds(desk.loaded.storage).keys() != set(roles):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_running_is_a_problem(desk: Desk) -> None:
    assert problems(desk.loaded) == ["No process of the node runs on this machine."]


def test_living_processes_and_an_answering_scp_are_none(desk: Desk, listening: AE) -> None:
    with Heartbeat(desk.loaded.storage, "arrival"), Heartbeat(desk.loaded.storage, "work"):
        wait_for(desk, "arrival", "work")
        assert problems(desk.loaded) == []
    assert ages_seconds(desk.loaded.storage) == {}


def test_an_scp_that_turns_this_caller_away_is_alive(desk: Desk, listening: AE) -> None:
    listening.require_calling_aet = ["SCANNER"]
    with Heartbeat(desk.loaded.storage, "arrival"):
        wait_for(desk, "arrival")
        assert problems(desk.loaded) == []


def test_an_scp_that_does_not_listen_is_a_problem(desk: Desk) -> None:
    with Heartbeat(desk.loaded.storage, "arrival"):
        wait_for(desk, "arrival")
        assert problems(desk.loaded) == ["The Storage SCP does not listen."]
        (desk.loaded.storage / "arrival.port").write_text("1")
        assert problems(desk.loaded) == ["The Storage SCP does not answer C-ECHO."]


def test_a_process_that_died_is_missed(desk: Desk) -> None:
    with Heartbeat(desk.loaded.storage, "work"):
        wait_for(desk, "work")
        (beat,) = (desk.loaded.storage / "alive").iterdir()
    beat.touch()  # what kill -9 leaves behind
    os.utime(beat, (time.time() - 60, time.time() - 60))
    assert problems(desk.loaded) == ["The work process has given no sign of life for 60 s."]


def test_a_process_without_its_database_gives_no_sign_of_life(desk: Desk) -> None:
    def away() -> None:
        raise ConnectionError

    with Heartbeat(desk.loaded.storage, "work", away):
        time.sleep(0.2)
        assert ages_seconds(desk.loaded.storage) == {}
