"""A worker runs each row once, in order of priority, tries again later when asked, and ends when told."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
import sqlalchemy as sa

from service.backlog.engine import Again, EngineWorker, WorkerRefused


class Running:
    """A worker in a thread of this process."""

    def __init__(self, url, locks, handlers, concurrency=None, **more):
        self.stop = threading.Event()
        self.dead = []
        self.left = None
        self.worker = EngineWorker(
            url,
            "host:work",
            locks,
            0.05,
            on_dead=lambda *row: self.dead.append(row),
            patience_seconds=1,
            **more,
        )

        def run():
            self.left = self.worker.run(handlers, self.stop, concurrency or {})

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def end(self):
        begin = time.monotonic()
        self.stop.set()
        self._thread.join(30)
        return time.monotonic() - begin


@pytest.fixture
def running(database_url, tmp_path):
    made = []

    def start(handlers, concurrency=None, **more):
        made.append(Running(database_url, tmp_path / "locks", handlers, concurrency, **more))
        return made[-1]

    yield start
    for each in made:
        each.end()


def until(met, seconds=180.0):
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_waiting_rows_run_one_at_a_time_in_order_of_priority(client, running):
    for priority in (5, 1, 9, 3):
        client.submit_now("contour", f"contour:p{priority}:1", f"p{priority}", priority=priority)
    done, at_once, most = [], threading.Semaphore(0), []

    def contour(payload):
        at_once.release()
        most.append(at_once._value)
        time.sleep(0.05)
        done.append(payload)
        at_once.acquire()

    running({"contour": contour})
    until(lambda: len(done) == 4)
    assert done == ["p1", "p3", "p5", "p9"]
    assert max(most) == 1


def test_one_destination_gets_one_at_a_time_and_does_not_keep_another_waiting(client, running):
    for number in range(3):
        client.submit_now("deliver", f"deliver:slow{number}:1", f"slow{number}", partition="slow")
    client.submit_now("deliver", "deliver:fast:1", "fast", partition="fast")
    ended, slow_now, most = [], [], []

    def deliver(payload):
        if payload.startswith("slow"):
            slow_now.append(payload)
            most.append(len(slow_now))
            time.sleep(0.5)
            slow_now.remove(payload)
        ended.append(payload)

    running({"deliver": deliver}, {"deliver": 4})
    until(lambda: len(ended) == 4)
    assert ended[0] == "fast"
    assert max(most) == 1


def test_again_runs_later_under_another_key(client, running):
    times = []

    def deliver(payload):
        times.append(time.time())
        if len(times) < 3:
            return Again(f"deliver:1:{len(times) + 1}", payload, 0.5, "eclipse")
        return None

    client.submit_now("deliver", "deliver:1:1", "1", partition="eclipse")
    running({"deliver": deliver})
    until(lambda: len(times) == 3)
    assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(times))
    until(lambda: client.status("deliver:1:3") == "SUCCESS")


def test_a_handler_that_raises_ends_its_row_visibly_and_without_its_text(
    client, running, ledger, database_url
):
    def contour(payload):
        message = "Lindqvist^Åsa 4711"
        raise KeyError(message)

    client.submit_now("contour", "contour:a:1", "a")
    started = running({"contour": contour})
    until(lambda: client.status("contour:a:1") == "ERROR")
    assert started.dead == [("contour", "a")]
    with ledger.reading() as conn:
        schema = None if database_url.startswith("sqlite") else "dbos"
        for table in sa.inspect(conn).get_table_names(schema=schema):
            name = f"{schema}.{table}" if schema else table
            assert "Lindqvist" not in str(conn.execute(sa.text(f"select * from {name}")).all())


def test_a_handler_is_called_again_when_the_database_was_away(client, running):
    calls = []

    def contour(payload):
        calls.append(payload)
        if len(calls) < 3:
            raise sa.exc.OperationalError("select", {}, Exception("gone"))

    client.submit_now("contour", "contour:a:1", "a")
    started = running({"contour": contour})
    until(lambda: client.status("contour:a:1") == "SUCCESS")
    assert len(calls) == 3
    assert started.dead == []


def test_an_idle_worker_ends_at_once(client, running):
    begun = []
    client.submit_now("contour", "contour:a:1", "a")
    started = running({"contour": begun.append, "deliver": begun.append})
    until(lambda: begun)
    until(lambda: client.status("contour:a:1") == "SUCCESS")
    assert started.end() < 3
    assert started.left == 0


def test_a_second_process_of_the_same_executor_id_is_refused(client, running, database_url, tmp_path):
    begun = []
    client.submit_now("contour", "contour:a:1", "a")
    running({"contour": begun.append})
    until(lambda: begun)
    second = EngineWorker(database_url, "host:work", tmp_path / "locks", patience_seconds=1)
    with pytest.raises(WorkerRefused, match="executor id is running") as refused:
        second.run({"contour": begun.append}, threading.Event())
    assert refused.value.code == "engine.executor-taken"


def test_a_second_sender_is_refused_on_sqlite_only(client, running, database_url, tmp_path):
    begun = []
    client.submit_now("deliver", "deliver:a:1", "a")
    running({"deliver": begun.append})
    until(lambda: begun)
    second = EngineWorker(database_url, "host:other", tmp_path / "locks", patience_seconds=1)
    stop = threading.Event()
    if not database_url.startswith("sqlite"):
        stop.set()
        assert second.run({"deliver": begun.append}, stop) == 0
        return
    with pytest.raises(WorkerRefused, match="already sends") as refused:
        second.run({"deliver": begun.append}, stop)
    assert refused.value.code == "engine.sender-taken"


def test_each_process_keeps_to_its_own_number_at_once(client, running, database_url):
    from service.backlog.engine import EngineClient

    running_now, most = [], []

    def contour(payload):
        running_now.append(payload)
        most.append(len(running_now))
        time.sleep(0.2)
        running_now.remove(payload)

    running({"contour": contour}, {"contour": 1})
    client.submit_now("contour", "contour:0:1", "0")
    until(lambda: most)  # the worker has set its number
    other = EngineClient(database_url)
    other.configure("contour", at_once=3, poll_seconds=0.05)  # as a process with three GPUs does
    for number in range(1, 4):
        client.submit_now("contour", f"contour:{number}:1", str(number))
    until(lambda: len(most) == 4)
    assert max(most) == 1
    other.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_row_cancelled_while_it_waits_for_its_place_is_not_begun(client, running, database_url):
    from service.backlog.engine import EngineClient

    begun, go_on = [], threading.Event()

    def contour(payload):
        begun.append(payload)
        go_on.wait(60)

    running({"contour": contour}, {"contour": 1})
    for name in ("a", "b"):
        client.submit_now("contour", f"contour:{name}:1", name)
    until(lambda: begun)
    other = EngineClient(database_url)
    # Only now, or the worker would set its own number after this one: so that this process takes both.
    other.configure("contour", at_once=3, poll_seconds=0.05)
    until(lambda: client.counts()["contour"]["pending"] == 2)
    (waiting,) = {"a", "b"} - set(begun)
    client.cancel(f"contour:{waiting}:1")
    client.submit_now("contour", "contour:c:1", "c")
    go_on.set()
    until(lambda: "c" in begun)
    until(lambda: client.under_way() == set())
    assert waiting not in begun
    client.resume(f"contour:{waiting}:1", "contour")
    until(lambda: waiting in begun)
    other.close()


def test_a_row_that_was_taken_and_then_not_run_is_resumed(client, running, monkeypatch):
    """The database goes away between the claim of a row and the reading of it."""
    from dbos._sys_db import SystemDatabase

    from service.backlog.engine import worker

    calls = []

    def away(self, *_):
        calls.append(self)
        raise sa.exc.OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(worker, "FORGOTTEN_SECONDS", 1.0)
    begun = []
    client.submit_now("contour", "contour:a:1", "a")
    with monkeypatch.context() as broken:
        broken.setattr(SystemDatabase, "get_workflow_statuses", away)
        broken.setattr(SystemDatabase, "get_workflow_status", away)
        running({"contour": begun.append})
        until(lambda: calls)
        until(lambda: client.counts()["contour"]["pending"] == 1)
    until(lambda: begun == ["a"])
    until(lambda: client.status("contour:a:1") == "SUCCESS")


def test_a_row_that_runs_for_long_is_not_resumed(client, running, monkeypatch):
    from service.backlog.engine import worker

    monkeypatch.setattr(worker, "FORGOTTEN_SECONDS", 0.5)
    begun = []

    def contour(payload):
        begun.append(payload)
        time.sleep(3.5)

    client.submit_now("contour", "contour:a:1", "a")
    running({"contour": contour}, {"contour": 2})
    until(lambda: client.status("contour:a:1") == "SUCCESS")
    assert begun == ["a"]
