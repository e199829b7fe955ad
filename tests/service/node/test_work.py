"""A worker process that delivers: killed, started again, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from delivery_desk import Desk
from postgresql import Unavailable, cluster
from running_node import ReceivingTps

from service.backlog import engine

RETRY = "{first_seconds: 0.2, factor: 1.5, longest_seconds: 1.0, give_up_hours: 0.1}"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    engine.migrate(desk.loaded.database_url)
    yield desk
    desk.ledger.close()


@pytest.fixture
def worker(desk: Desk) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    running = []

    def start(role: str = "work", **environment: str) -> subprocess.Popen[bytes]:
        words = ["work", "--queues", "deliver", "--role", role, "--config", str(desk.config_file)]
        with (desk.folder / "work.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "service", *words],
                stdout=log,
                stderr=log,
                env=os.environ | environment,
            )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def submit(desk: Desk, count: int = 1) -> list[int]:
    client = engine.EngineClient(desk.loaded.database_url)
    ids = []
    for _ in range(count):
        delivery = desk.delivery()
        client.submit_now(engine.DELIVER, f"deliver:{delivery.id}:1", str(delivery.id), partition="tps")
        ids.append(delivery.id)
    client.close()
    return ids


def wait_until(true: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.slow
def test_retries_go_on_after_the_worker_was_killed(desk: Desk, worker: Callable[..., object]) -> None:
    desk.configure(free_port(), retry=RETRY)
    (number,) = submit(desk)
    process = worker()
    wait_until(lambda: desk.ledger.delivery(number).attempts >= 2)
    process.kill()
    process.wait()
    before = desk.ledger.delivery(number).attempts
    worker()
    wait_until(lambda: desk.ledger.delivery(number).attempts >= before + 2)
    tps = ReceivingTps()
    desk.configure(tps.port, retry=RETRY)  # the administrator corrects the port while it waits
    wait_until(lambda: desk.states(desk.ledger.delivery(number)) == ("delivered", "done"))
    tps.close()
    assert tps.deliveries == ["2.25.1234567890"]
    attempts = desk.attempts(desk.ledger.delivery(number))
    assert [attempt.n for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert {attempt.code for attempt in attempts[:-1]} <= {"delivery.no-connection", "delivery.interrupted"}


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", ["deliver.before-send", "deliver.sending", "deliver.after-success"])
def test_a_worker_killed_in_the_middle_of_a_delivery_loses_nothing(
    failpoint: str, desk: Desk, worker: Callable[..., object]
) -> None:
    tps = ReceivingTps()
    desk.configure(tps.port, retry=RETRY)
    numbers = submit(desk, 5)
    assert worker(DELINEATE_FAILPOINTS=f"{failpoint}:3").wait(30) == -signal.SIGKILL
    worker()
    wait_until(
        lambda: {desk.states(desk.ledger.delivery(each)) for each in numbers} == {("delivered", "done")}
    )
    tps.close()
    again = 1 if failpoint == "deliver.after-success" else 0
    assert len(tps.deliveries) == 5 + again


@pytest.mark.slow
def test_sigterm_lets_the_transfer_under_way_end(desk: Desk, worker: Callable[..., object]) -> None:
    tps = ReceivingTps(answer=lambda _count: time.sleep(1.5) or 0x0000)
    desk.configure(tps.port, retry=RETRY)
    (number,) = submit(desk)
    process = worker()
    wait_until(lambda: desk.ledger.delivery(number).state.value == "sending")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    tps.close()
    assert desk.states(desk.ledger.delivery(number)) == ("delivered", "done")


@pytest.mark.slow
@pytest.mark.peer
def test_on_postgresql_another_worker_takes_over_what_a_dead_one_was_sending(tmp_path: Path) -> None:
    try:
        with cluster() as server:
            url = server.new_database().replace("+psycopg", "")
            desk = Desk(tmp_path, url)
            engine.migrate(desk.loaded.database_url)
            _two_workers_one_killed(desk)
            desk.ledger.close()
    except Unavailable as reason:
        pytest.skip(str(reason))


def _two_workers_one_killed(desk: Desk) -> None:
    tps = ReceivingTps(answer=lambda _count: time.sleep(0.2) or 0x0000)
    desk.configure(tps.port, retry=RETRY)
    numbers = submit(desk, 12)
    command = [sys.executable, "-P", "-m", "service", "work", "--queues", "deliver"]
    with (desk.folder / "work.log").open("ab") as log:
        first, second = (
            subprocess.Popen([*command, "--config", desk.config_file, "--role", role], stdout=log, stderr=log)
            for role in ("one", "two")
        )
    try:
        wait_until(lambda: len(tps.deliveries) >= 3)
        first.kill()
        first.wait()
        done = {("delivered", "done")}
        wait_until(lambda: {desk.states(desk.ledger.delivery(each)) for each in numbers} == done)
        second.terminate()
        assert second.wait(20) == 0
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
        tps.close()
    assert 12 <= len(tps.deliveries) <= 13
