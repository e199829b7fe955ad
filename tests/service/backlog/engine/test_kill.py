"""Killed processes lose nothing and run nothing twice at once; one bad CT does not bring the node down.

Real processes, real SIGKILL; each test takes some seconds.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import pytest

from service.backlog.engine.worker import RUNS_BEFORE_SET_ASIDE
from service.backlog.liveness import locks_of

RUNS = RUNS_BEFORE_SET_ASIDE["contour"]

pytestmark = pytest.mark.slow


def test_a_row_interrupted_by_a_kill_runs_again_when_its_process_returns(client, workers):
    client.submit_now("contour", "contour:a:1", "a;held")
    first = workers.start()
    workers.wait(lambda: workers.lines("start", "contour", "a"))
    workers.kill(first)
    workers.go()
    workers.start()
    workers.wait(lambda: workers.lines("end", "contour", "a"))
    assert len(workers.lines("start", "contour", "a")) == 2
    assert workers.lines("overlap") == []
    workers.wait(lambda: client.status("contour:a:1") == "SUCCESS")


def test_rows_of_a_dead_executor_that_never_returns_are_given_back(client, workers):
    client.submit_now("contour", "contour:a:1", "a;held")
    first = workers.start("host:old")
    workers.wait(lambda: workers.lines("start", "contour", "a"))
    workers.kill(first)
    at = time.time()
    workers.go()
    workers.start("host:new")
    workers.wait(lambda: workers.lines("end", "contour", "a"))
    assert workers.lines("overlap") == []
    assert time.time() - at < 30


def test_rows_of_a_living_executor_are_left_alone(client, workers, database_url):
    queues = "contour=1,deliver=4", "contour=1"  # on SQLite one process sends
    client.submit_now("contour", "contour:a:1", "a;held")
    workers.start("host:one", queues[0])
    workers.wait(lambda: workers.lines("start", "contour", "a"))
    workers.start("host:two", queues[1])
    workers.wait(lambda: workers.lines("up", "host:two"))
    time.sleep(3)  # three times what it takes to call an executor dead
    workers.go()
    workers.wait(lambda: workers.lines("end", "contour", "a"))
    assert len(workers.lines("start", "contour", "a")) == 1
    assert workers.lines("overlap") == []


def test_a_row_that_was_there_when_its_process_was_killed_four_times_is_not_to_blame(client, workers):
    """Somebody kills a process four times in a row, or the power fails: that is no poison yet."""
    client.submit_now("contour", "contour:a:1", "a;held")
    for count in range(1, 5):
        process = workers.start()
        workers.wait(lambda count=count: len(workers.lines("start", "contour", "a")) == count)
        workers.kill(process)
    workers.go()
    workers.start()
    workers.wait(lambda: workers.lines("end", "contour", "a"))
    assert workers.lines("dead") == []


def test_a_row_that_kills_its_process_each_time_is_set_aside_and_told_and_may_be_resumed(client, workers):
    client.submit_now("contour", "contour:poison:1", "poison;die", priority=1)
    client.submit_now("contour", "contour:good:1", "good", priority=2)
    for _ in range(RUNS):
        process = workers.start()
        process.wait(40)
        assert process.returncode == -signal.SIGKILL
    workers.start()
    workers.wait(lambda: workers.lines("dead", "contour", "poison"))
    workers.wait(lambda: workers.lines("end", "contour", "good"))
    assert len(workers.lines("start", "contour", "poison")) == RUNS
    assert client.status("contour:poison:1") == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
    assert client.counts()["contour"]["max_recovery_attempts_exceeded"] == 1
    time.sleep(2.5)
    assert len(workers.lines("dead", "contour", "poison")) == 1
    client.resume("contour:poison:1", "contour")  # by a person
    workers.wait(lambda: len(workers.lines("start", "contour", "poison")) == RUNS + 1)


def test_rows_that_ran_beside_one_that_kills_are_not_set_aside_with_it(client, workers):
    """Three at a time: the innocent began as often as the poison, and were never to blame."""
    for name in ("one", "two"):
        client.submit_now("contour", f"contour:{name}:1", f"{name};sleep=1", priority=1)
    client.submit_now("contour", "contour:poison:1", "poison;die=0.5", priority=2)
    for _ in range(2 * RUNS + 2):
        process = workers.start(queues="contour=3")
        workers.wait(lambda p=process: p.returncode is not None or workers.lines("dead", "contour", "poison"))
        if process.returncode is None:
            break
        assert process.returncode == -signal.SIGKILL
    assert workers.lines("dead", "contour", "poison")
    workers.wait(lambda: all(workers.lines("end", "contour", name) for name in ("one", "two")))
    workers.wait(lambda: client.under_way() == set())
    assert len(workers.lines("start", "contour", "poison")) == RUNS
    assert [line for line in workers.lines("dead") if "poison" not in line] == []
    assert workers.lines("overlap") == []


def test_a_retry_that_waits_survives_the_restart(client, workers):
    client.submit_now("deliver", "deliver:a:9", "a;again=2", partition="eclipse")
    first = workers.start()
    workers.wait(lambda: workers.lines("end", "deliver", "a"))
    workers.wait(lambda: client.status("deliver:a:1") == "DELAYED")
    workers.kill(first)
    begin = time.time()
    workers.start()
    workers.wait(lambda: len(workers.lines("end", "deliver", "a")) == 2)
    assert time.time() - begin < 20
    workers.wait(lambda: client.status("deliver:a:9") == "SUCCESS")
    assert len(workers.lines("start", "deliver", "a")) == 2  # what the first attempt said was kept


def test_a_cancelled_row_is_never_started(client, workers):
    client.submit_now("contour", "contour:long:1", "long;held", priority=1)
    client.submit_now("contour", "contour:b:1", "b", priority=2)
    client.submit_now("contour", "contour:c:1", "c", priority=3)
    workers.start()
    workers.wait(lambda: workers.lines("start", "contour", "long"))
    client.cancel("contour:b:1")
    client.cancel("contour:long:1")  # runs on, but nothing follows from it
    workers.go()
    workers.wait(lambda: workers.lines("end", "contour", "c"))
    assert workers.lines("start", "contour", "b") == [], workers.lines()
    assert workers.at("start", "contour", "c") >= workers.at("end", "contour", "long")
    client.resume("contour:b:1", "contour")
    workers.wait(lambda: workers.lines("end", "contour", "b"))


def test_a_worker_asked_to_end_ends_cleanly(client, workers):
    process = workers.start()
    workers.wait(lambda: workers.lines("up"))
    time.sleep(1.5)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(40)
    assert time.monotonic() - begin < 15
    assert process.returncode == 0
    assert workers.lines("down") == [["down", "host:work", "0"]]


def test_a_database_that_crashes_is_waited_for_and_nothing_is_reaped_by_mistake(client, workers, request):
    if workers.database_url.startswith("sqlite"):
        pytest.skip("SQLite has no server")
    server = request.getfixturevalue("postgresql")
    client.submit_now("contour", "contour:a:1", "a;held")
    client.submit_now("contour", "contour:b:1", "b", delay_seconds=4)
    processes = [workers.start(name, reap_after_seconds=10.0) for name in ("host:one", "host:two")]
    locks = locks_of(workers.database_url, workers.locks)
    for name in ("host:one", "host:two"):
        workers.wait(lambda name=name: _taken(locks, name))
    workers.wait(lambda: workers.lines("start", "contour", "a"))
    time.sleep(1.5)  # both have started what they start
    server.crash()
    time.sleep(2)
    server.start()
    workers.go()
    workers.wait(lambda: workers.lines("end", "contour", "b"))
    workers.wait(lambda: client.under_way() == set())
    assert len(workers.lines("start", "contour", "a")) == 1
    assert workers.lines("overlap") == []
    assert [process.returncode for process in processes] == [None, None]


def test_a_busy_worker_ends_within_seconds_and_that_is_no_crash_of_its_row(client, workers):
    client.submit_now("contour", "contour:a:1", "a;sleep=60")
    for number in range(4):  # more often than a row may crash
        process = workers.start()
        workers.wait(lambda number=number: len(workers.lines("start", "contour", "a")) > number)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(50)
        assert time.monotonic() - begin < 30  # the row has a minute to go
        assert process.returncode == 3
    assert workers.lines("down") == [["down", "host:work", "1"]] * 4
    assert workers.lines("overlap") == []
    assert workers.lines("dead") == []
    assert client.status("contour:a:1") == "PENDING"


def test_a_worker_whose_place_was_taken_meanwhile_ends(workers, request):
    if workers.database_url.startswith("sqlite"):
        pytest.skip("the kernel takes no lock away")
    server = request.getfixturevalue("postgresql")
    process = workers.start()
    workers.wait(lambda: workers.lines("up"))
    locks = locks_of(workers.database_url, workers.locks)
    workers.wait(lambda: _taken(locks, "host:work"))
    time.sleep(1.5)
    server.crash()
    server.start()
    lock = locks.take("executor host:work")
    assert lock is not None
    assert process.wait(60) == 1
    lock.release()
    locks.close()


def _taken(locks, executor_id) -> bool:
    lock = locks.take(f"executor {executor_id}")
    if lock is not None:
        lock.release()
    return lock is None


@pytest.mark.parametrize("returns", [True, False], ids=["same executor id", "always a new executor id"])
def test_twenty_jobs_through_random_kills_are_neither_lost_nor_run_twice_at_once(client, workers, returns):
    """Each job is contoured and then delivered in two attempts; the only worker is killed again and again."""
    chance = random.Random(20)
    for number in range(20):
        client.submit_now("contour", f"contour:{number}:1", f"{number};sleep=0.1")
        client.submit_now(
            "deliver", f"deliver:{number}:9", f"{number};again=2;sleep=0.1", partition=str(number % 5)
        )
    wanted = {
        (queue, str(number)): times
        for number in range(20)
        for queue, times in (("contour", 1), ("deliver", 2))
    }

    def ended() -> Counter[tuple[str, str]]:
        return Counter((queue, name) for _, queue, name in workers.lines("end"))

    kills = 0
    while kills < 8:
        up = len(workers.lines("up"))
        process = workers.start("host:work" if returns else f"host:{kills}")
        workers.wait(lambda up=up: len(workers.lines("up")) > up)
        before = len(workers.lines("end"))
        workers.wait(lambda before=before: len(workers.lines("end")) > before or client.under_way() == set())
        time.sleep(chance.uniform(0.1, 1.0))
        workers.kill(process)
        kills += 1
    workers.start("host:work" if returns else "host:last")
    workers.wait(lambda: client.under_way() == set())
    assert all(ended()[unit] >= times for unit, times in wanted.items())
    assert workers.lines("overlap") == []
    assert workers.lines("dead") == []
    repeated = sum(ended().values()) - sum(wanted.values())
    assert repeated <= kills * 5  # at most what was running at a kill, by any of the threads
