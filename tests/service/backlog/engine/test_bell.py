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


def test_it_rings_for_commits_of_others_and_for_nothing_else(file):
    stop = threading.Event()
    bell = Bell(file, ["contour"], stop)
    ears, others = Ears(bell, "queue-worker-contour"), Ears(bell, "queue-worker-deliver")
    listening = threading.Thread(target=bell.listen, daemon=True)
    listening.start()
    until(lambda: ears.woken == 2)  # the first look of all, and its echo
    with sqlite3.connect(file) as other:
        other.execute("create table ring (x)")
    other.close()
    until(lambda: ears.woken == 4)
    with sqlite3.connect(file) as other:
        other.execute("select * from ring").fetchall()
    other.close()
    time.sleep(0.3)
    assert (ears.woken, others.woken) == (4, 0)
    for each in (ears, others):
        each.engines_stop.set()
    stop.set()
    listening.join(5)
    assert not listening.is_alive()


def test_it_is_heard_after_a_long_silence_too(file, monkeypatch):
    monkeypatch.setattr("service.backlog.engine.bell._AT_REST_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("service.backlog.engine.bell._LISTEN_AT_REST_SECONDS", 0.4)
    stop = threading.Event()
    bell = Bell(file, ["contour"], stop)
    ears = Ears(bell, "queue-worker-contour")
    listening = threading.Thread(target=bell.listen, daemon=True)
    listening.start()
    until(lambda: ears.woken == 2)
    with sqlite3.connect(file) as other:
        other.execute("create table ring (x)")
    other.close()
    until(lambda: ears.woken == 4)
    ears.engines_stop.set()
    stop.set()
    listening.join(5)
    assert not listening.is_alive()


def test_a_database_that_is_away_is_listened_to_again(file, monkeypatch):
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
