"""A new row is taken at once although the engine looks only now and then; without changes nobody is woken."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest
import sqlalchemy as sa

from service.backlog.database import sqlite_file
from service.backlog.engine import EngineWorker
from service.backlog.engine.bell import Bell


@pytest.fixture
def file(database_url):
    found = sqlite_file(database_url)
    if found is None:
        pytest.skip("a server has no file")
    return found


def until(met, seconds=180.0):
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_row_is_begun_long_before_the_next_look(client, database_url, file, tmp_path):
    """The engine looks every 10 seconds; a row submitted by another process's connection begins within one."""
    stop, begun, waited = threading.Event(), threading.Event(), []

    def contour(_payload):
        begun.set()

    worker = EngineWorker(database_url, "host:work", tmp_path / "locks", 10.0, patience_seconds=1)
    thread = threading.Thread(target=worker.run, args=({"contour": contour}, stop))
    thread.start()
    try:
        time.sleep(2.5)  # its threads look for the first time, and wait
        for number in range(3):
            begun.clear()
            started = time.monotonic()
            with sa.create_engine(database_url).begin() as conn:
                client.submit(conn, "contour", f"contour:{number}:1", str(number))
            assert begun.wait(9)
            waited.append(time.monotonic() - started)
    finally:
        stop.set()
        thread.join(30)
    assert sorted(waited)[1] < 5  # two looks of three would have taken longer


class Ears:
    """A thread of the engine's name that counts how often it was woken."""

    def __init__(self, bell: Bell, name: str) -> None:
        self.woken = 0
        self.engines_stop = threading.Event()

        def listen() -> None:
            while not bell.wait(self.engines_stop, 60):
                self.woken += 1

        threading.Thread(target=listen, name=name, daemon=True).start()


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


def commit_something_else(file, number):
    with sqlite3.connect(file) as other:
        other.execute(f"create table ring{number} (x)")
    other.close()


def test_it_rings_for_commits_of_others_where_rows_wait_and_for_nothing_else(client, database_url, file):
    stop = threading.Event()
    bell = Bell(file, ["contour", "deliver"], stop)
    contour, deliver = Ears(bell, "queue-worker-contour"), Ears(bell, "queue-worker-deliver")
    strange = Ears(bell, "queue-worker-strange")
    listening = threading.Thread(target=bell.listen, daemon=True)
    listening.start()
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
    submit(client, database_url, "deliver", 1)
    until(lambda: deliver.woken > 0)
    assert strange.woken == 0
    for each in (contour, deliver, strange):
        each.engines_stop.set()
    stop.set()
    listening.join(5)
    assert not listening.is_alive()


def test_who_is_busy_when_it_rings_looks_afterwards(client, database_url, file):
    stop, busy, looks = threading.Event(), threading.Event(), []
    bell = Bell(file, ["contour"], stop)

    def listen() -> None:
        busy.wait(60)
        while not bell.wait(stop, 60):
            looks.append(1)

    threading.Thread(target=listen, name="queue-worker-contour", daemon=True).start()
    threading.Thread(target=bell.listen, daemon=True).start()
    submit(client, database_url, "contour", 1)
    time.sleep(0.5)  # the ring and its echo are over
    busy.set()
    until(lambda: looks == [1])
    stop.set()


def test_it_is_heard_after_a_long_silence_too(client, database_url, file, monkeypatch):
    monkeypatch.setattr("service.backlog.engine.bell._AT_REST_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("service.backlog.engine.bell._LISTEN_AT_REST_SECONDS", 0.4)
    stop = threading.Event()
    bell = Bell(file, ["contour"], stop)
    ears = Ears(bell, "queue-worker-contour")
    listening = threading.Thread(target=bell.listen, daemon=True)
    listening.start()
    time.sleep(0.6)  # at rest
    submit(client, database_url, "contour", 1)
    assert settled(ears, 0) <= 2
    ears.engines_stop.set()
    stop.set()
    listening.join(5)
    assert not listening.is_alive()


def test_a_database_that_is_away_is_listened_to_again(client, database_url, file, monkeypatch):
    submit(client, database_url, "contour", 1)
    stop = threading.Event()
    bell = Bell(file, ["contour"], stop)
    ears = Ears(bell, "queue-worker-contour")
    connect, tries = sqlite3.connect, []

    def first_time_away(*given, **more):
        tries.append(given)
        if len(tries) == 1:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(*given, **more)

    monkeypatch.setattr(sqlite3, "connect", first_time_away)
    threading.Thread(target=bell.listen, daemon=True).start()
    until(lambda: ears.woken >= 1)
    assert len(tries) == 2
    stop.set()
    ears.engines_stop.set()
