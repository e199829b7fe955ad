"""A new row is taken at once although the engine looks only now and then; without changes nobody is woken."""

from __future__ import annotations

import sqlite3
import threading
import time
from functools import partial

import pytest
import sqlalchemy as sa
from running_node import LONGEST_SECONDS

from service.backlog.database import sqlite_file
from service.backlog.engine import EngineWorker, notices
from service.backlog.engine.bell import Bell
from service.backlog.engine.notices import of_file, of_server


@pytest.fixture
def file(database_url):
    found = sqlite_file(database_url)
    if found is None:
        pytest.skip("a server has no file")
    return found


@pytest.fixture
def listening(database_url):
    """Makes bells of the database that listen until the test ends."""
    stop, threads = threading.Event(), []
    found = sqlite_file(database_url)
    source = partial(of_server, database_url) if found is None else partial(of_file, found)

    def bell_for(*queues: str) -> Bell:
        bell = Bell(source, queues, stop)
        threads.append(threading.Thread(target=bell.listen, daemon=True))
        threads[-1].start()
        return bell

    yield bell_for
    stop.set()
    for thread in threads:
        thread.join(LONGEST_SECONDS)
        assert not thread.is_alive()


def until(met):
    deadline = time.monotonic() + LONGEST_SECONDS
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Ears:
    """A thread of the engine's name that counts how often it was woken."""

    def __init__(self, bell: Bell, queue: str) -> None:
        self.woken = 0
        engines_stop = threading.Event()

        def listen() -> None:
            while not bell.wait(engines_stop, 60):
                self.woken += 1

        threading.Thread(target=listen, name=f"queue-worker-{queue}", daemon=True).start()


def settled(ears: Ears, more_than: int) -> int:
    """How often it was woken once it is woken no more; more often than that."""
    until(lambda: ears.woken > more_than)
    before = -1
    while before != ears.woken:
        before = ears.woken
        time.sleep(1.0)  # ten times as long as an echo takes
    return before


def submit(client, database_url, queue, number):
    with sa.create_engine(database_url).begin() as conn:
        client.submit(conn, queue, f"{queue}:{number}:1", str(number))


def submit_until(client, database_url, ears):
    """Rows, one after the other, until one is heard of: whoever listens anew misses what came before."""
    deadline = time.monotonic() + LONGEST_SECONDS
    number, before = 100, ears.woken
    while ears.woken == before:
        assert time.monotonic() < deadline, "nobody listens"
        submit(client, database_url, "contour", number := number + 1)
        time.sleep(0.2)


def commit_something_else(file, number):
    with sqlite3.connect(file) as other:
        other.execute(f"create table ring{number} (x)")
    other.close()


@pytest.fixture
def running(database_url, tmp_path):
    """Runs rows of ``contour`` by a handler, one at a time; the engine itself looks every 10 seconds."""
    stop, threads = threading.Event(), []

    def run(handler) -> None:
        worker = EngineWorker(database_url, "host:work", tmp_path / "locks", 10.0, patience_seconds=1)
        threads.append(threading.Thread(target=worker.run, args=({"contour": handler}, stop)))
        threads[-1].start()
        time.sleep(2.5)  # its threads look for the first time, and wait

    yield run
    stop.set()
    for thread in threads:
        thread.join(30)


def test_a_row_is_begun_long_before_the_next_look(client, database_url, running):
    """A row submitted by another process's connection begins within a second or so."""
    begun, waited = threading.Event(), []
    running(lambda _payload: begun.set())
    for number in range(3):
        begun.clear()
        started = time.monotonic()
        submit(client, database_url, "contour", number)
        assert begun.wait(9)
        waited.append(time.monotonic() - started)
    assert sorted(waited)[1] < 5  # two looks of three would have taken longer


def test_a_row_that_waits_for_room_is_begun_when_the_one_before_has_ended(client, database_url, running):
    done = []

    def contour(payload):
        time.sleep(0.5)  # meanwhile all the others have been submitted
        done.append((payload, time.monotonic()))

    running(contour)
    for number in range(5):
        submit(client, database_url, "contour", number)
    until(lambda: len(done) == 5)
    assert [payload for payload, _ in done] == ["0", "1", "2", "3", "4"]
    assert done[-1][1] - done[0][1] < 20  # four looks take 40 seconds


def test_it_rings_for_the_queue_whose_row_is_committed_and_for_no_other(client, database_url, listening):
    bell = listening("contour", "deliver")
    contour, deliver, strange = (Ears(bell, queue) for queue in ("contour", "deliver", "strange"))
    submit_until(client, database_url, contour)
    heard = settled(contour, 0)
    with sa.create_engine(database_url).connect() as conn:
        client.submit(conn, "contour", "contour:7:1", "7")
        conn.rollback()
    time.sleep(0.3)
    assert (contour.woken, deliver.woken, strange.woken) == (heard, 0, 0)
    submit(client, database_url, "deliver", 1)
    until(lambda: deliver.woken > 0)
    assert strange.woken == 0


def test_of_a_file_it_rings_where_rows_wait_for_any_commit_of_another(client, database_url, file, listening):
    bell = listening("contour", "deliver")
    contour, deliver = Ears(bell, "contour"), Ears(bell, "deliver")
    commit_something_else(file, 1)
    time.sleep(0.3)
    assert (contour.woken, deliver.woken) == (0, 0)  # nothing waits
    submit(client, database_url, "contour", 1)
    heard = settled(contour, 0)
    assert heard <= 2  # the row, and its echo
    commit_something_else(file, 2)
    heard = settled(contour, heard)  # it waits still: perhaps there is room for it now
    with sqlite3.connect(file) as other:
        other.execute("select * from ring1").fetchall()
    other.close()
    time.sleep(0.3)
    assert (contour.woken, deliver.woken) == (heard, 0)


def test_who_is_busy_when_it_rings_looks_afterwards(client, database_url, listening):
    bell = listening("contour", "deliver")
    other, busy, stop, looks = Ears(bell, "deliver"), threading.Event(), threading.Event(), []

    def listen() -> None:
        busy.wait(LONGEST_SECONDS)
        while not bell.wait(stop, 60):
            looks.append(1)

    threading.Thread(target=listen, name="queue-worker-contour", daemon=True).start()
    number = 0
    while not other.woken:  # so that it is known to listen
        submit(client, database_url, "deliver", number := number + 1)
        time.sleep(0.2)
    submit(client, database_url, "contour", 1)
    time.sleep(0.5)  # the ring and its echo are over
    busy.set()
    until(lambda: looks)
    stop.set()


def test_it_is_heard_after_a_long_silence_too(client, database_url, file, listening, monkeypatch):
    monkeypatch.setattr(notices, "_AT_REST_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(notices, "_LISTEN_AT_REST_SECONDS", 0.4)
    ears = Ears(listening("contour"), "contour")
    time.sleep(0.6)  # at rest
    submit(client, database_url, "contour", 1)
    assert settled(ears, 0) <= 2


def test_a_file_that_is_away_is_listened_to_again(client, database_url, file, listening, monkeypatch):
    submit(client, database_url, "contour", 1)
    connect, tries = sqlite3.connect, []

    def first_time_away(*given, **more):
        tries.append(given)
        if len(tries) == 1:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(*given, **more)

    monkeypatch.setattr(sqlite3, "connect", first_time_away)
    ears = Ears(listening("contour"), "contour")
    until(lambda: ears.woken >= 1)
    assert len(tries) == 2


def test_a_server_that_has_ended_the_connection_is_listened_to_again(client, database_url, listening):
    if sqlite_file(database_url) is not None:
        pytest.skip("SQLite has no server")
    ears = Ears(listening("contour"), "contour")
    submit_until(client, database_url, ears)
    settled(ears, 0)
    end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'listen %'"
    with sa.create_engine(database_url).begin() as conn:
        assert conn.execute(sa.text(end)).scalar() == 1
    submit_until(client, database_url, ears)
