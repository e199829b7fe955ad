"""A lock is held by one, by name, and is free when its process dies, on either database."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from service.backlog.liveness import locks_of


@pytest.fixture
def locks(database_url, tmp_path):
    made = locks_of(database_url, tmp_path / "locks")
    yield made
    made.close()


def test_one_name_is_taken_once(locks):
    first = locks.take("executor host:work")
    assert first is not None
    assert first.held()
    assert locks.take("executor host:work") is None
    other = locks.take("executor host:other")
    first.release()
    again = locks.take("executor host:work")
    assert again is not None
    again.release()
    other.release()


def test_releasing_twice_is_nothing(locks):
    lock = locks.take("a")
    lock.release()
    lock.release()
    again = locks.take("a")
    assert again is not None
    again.release()


def test_any_name_may_be_used(locks):
    for name in ("../../etc/passwd", "Ü b", "x" * 500, ""):
        lock = locks.take(name)
        assert lock is not None
        assert locks.take(name) is None
        lock.release()


def test_a_killed_process_holds_nothing_and_its_children_do_not_hold_it_either(locks, database_url, tmp_path):
    program = textwrap.dedent(
        """
        import pathlib, subprocess, sys, time
        from service.backlog.liveness import locks_of
        lock = locks_of(sys.argv[1], pathlib.Path(sys.argv[2])).take("a")
        assert lock is not None
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
        print(child.pid, flush=True)
        time.sleep(60)
        """
    )
    arguments = [sys.executable, "-c", program, database_url, str(tmp_path / "locks")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert locks.take("a") is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    try:
        deadline = time.monotonic() + 40
        while (lock := locks.take("a")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        lock.release()
    finally:
        import os

        os.kill(child, signal.SIGKILL)


def test_a_server_that_was_restarted_has_forgotten_its_locks(database_url, locks, request):
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no server")
    server = request.getfixturevalue("postgresql")
    lock = locks.take("a")
    server.crash()
    assert not lock.held()
    server.start()
    assert not lock.held()
    lock.release()
    again = locks.take("a")
    assert again.held()
    again.release()


HOLDER = textwrap.dedent(
    """
    import pathlib, sys, time
    from service.backlog.liveness import locks_of
    lock = locks_of(sys.argv[1], pathlib.Path(sys.argv[2])).take("a")
    print("taken", flush=True)
    while lock.held():
        time.sleep(0.2)
    print("lost", flush=True)
    """
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_holder_that_is_frozen_loses_its_lock_and_finds_out(database_url, tmp_path):
    impatient = locks_of(database_url, tmp_path, silent_seconds=3)
    arguments = [sys.executable, "-c", HOLDER, database_url, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "taken\n"
            began = time.monotonic()
            while time.monotonic() < began + 3.5:  # longer than it may be silent: it is not
                assert impatient.take("a") is None
                time.sleep(0.3)
            holder.send_signal(signal.SIGSTOP)
            frozen_at = time.monotonic()
            while (lock := impatient.take("a")) is None:
                assert time.monotonic() < frozen_at + 30
                time.sleep(0.1)
            assert time.monotonic() > frozen_at + 2
            assert lock.held()
            holder.send_signal(signal.SIGCONT)
            assert holder.stdout.readline() == "lost\n"
        finally:
            holder.kill()
    lock.release()
    impatient.close()
