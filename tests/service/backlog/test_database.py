"""One transaction is all or nothing, on either database; the file is private, durable and may move."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.database import LedgerRefused, sqlite_file
from service.backlog.engine import migrate
from service.backlog.ledger import Ledger
from service.backlog.records import SeriesState


class Interrupted(Exception):
    pass


def test_what_is_interrupted_leaves_nothing(ledger, received, identity):
    def record_and_fail() -> None:
        with ledger.begin() as conn:
            ledger.record_series(conn, received(), identity, SeriesState.ROUTED)
            raise Interrupted

    with pytest.raises(Interrupted):
        record_and_fail()
    assert ledger.find_series("2.25.1") is None
    assert ledger.counts().series == {}


def test_migrating_again_and_from_many_threads_changes_nothing(database_url, storage):
    ledgers = [Ledger(database_url, storage) for _ in range(4)]
    threads = [threading.Thread(target=each.migrate) for each in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledgers[0].reading() as conn:
        assert conn.execute(sa.select(tables.ledger_version.c.version)).all() == [(tables.SCHEMA_VERSION,)]
    for each in ledgers:
        each.close()


def test_tables_of_a_newer_program_are_refused(ledger):
    with ledger.begin() as conn:
        conn.execute(sa.update(tables.ledger_version).values(version=tables.SCHEMA_VERSION + 1))
    with pytest.raises(LedgerRefused, match="newer program") as refused:
        ledger.migrate()
    assert refused.value.code == "ledger.newer"
    with pytest.raises(LedgerRefused, match="newer program") as refused:
        ledger.check()
    assert refused.value.code == "ledger.newer"


def test_two_writers_wait_for_one_another(ledger, new_job):
    job = new_job()

    def raise_priority() -> None:
        for _ in range(20):
            with ledger.begin() as conn:
                present = ledger.job(job.id, conn).priority
                if conn.dialect.name == "postgresql":  # SQLite's write lock is taken at the beginning
                    present = conn.execute(
                        sa.select(tables.job.c.priority).where(tables.job.c.id == job.id).with_for_update()
                    ).scalar_one()
                ledger.change_job(conn, job.id, priority=present + 1)

    threads = [threading.Thread(target=raise_priority) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.job(job.id).priority == 100 + 3 * 20


def test_a_reader_does_not_wait_for_a_writer(ledger, new_job):
    job = new_job()
    with ledger.begin() as conn:
        ledger.change_job(conn, job.id, priority=1)
        assert ledger.job(job.id).priority == 100
    assert ledger.job(job.id).priority == 1


def test_sqlite_keeps_a_log_that_reaches_the_disk(sqlite_url):
    ledger = Ledger(sqlite_url)
    with ledger.reading() as conn:
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    ledger.close()


def test_a_new_file_may_be_read_by_its_owner_only(tmp_path):
    url = f"sqlite:///{tmp_path / 'new' / 'delineate.sqlite'}"
    ledger = Ledger(url)
    ledger.migrate()
    for file in (tmp_path / "new").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
    ledger.close()


def test_a_database_that_was_never_made_is_not_made_by_looking(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'delineate.sqlite'}")
    with pytest.raises(LedgerRefused, match="delineate migrate"):
        ledger.check()
    assert list(tmp_path.iterdir()) == []


def test_the_storage_folder_may_move(ledger, new_job, database_url, tmp_path):
    job = new_job()
    elsewhere = Ledger(database_url, tmp_path / "mounted-elsewhere")
    moved = elsewhere.job(job.id)
    assert moved.folder == tmp_path / "mounted-elsewhere" / "spool" / "incoming" / job.folder.name
    assert [file.name for file in moved.files] == [file.name for file in job.files]
    elsewhere.close()


def test_on_a_server_paths_need_the_storage_folder(ledger, new_job, database_url):
    job = new_job()
    if sqlite_file(database_url) is not None:
        pytest.skip("on SQLite it is the folder of the file")
    without = Ledger(database_url)
    with pytest.raises(LedgerRefused, match="storage folder"):
        without.job(job.id)
    without.close()


def test_an_error_says_nothing_of_the_values_it_was_about(sqlite_url):
    ledger = Ledger(sqlite_url)
    statement = sa.insert(tables.series).values(series_instance_uid="2.25.1", patient_name="Canary^Patient")
    with pytest.raises(sa.exc.IntegrityError) as caught, ledger.begin() as conn:
        conn.execute(statement)
    ledger.close()
    assert "Canary" not in str(caught.value)


def test_migrating_takes_no_lock_from_our_own_connections(tmp_path):
    """Else another process that closes its last connection deletes the log that we go on writing to."""
    file = tmp_path / "delineate.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    with ledger.reading() as conn:  # a connection is open and holds its lock
        conn.execute(sa.select(tables.config.c.version))
    migrate(ledger.database_url)  # as the arrival process does
    assert in_another_process(file, "select count(*) from config") == "0"
    with ledger.begin() as conn:
        ledger.save_config(conn, "v1", "text")
    assert in_another_process(file, "select count(*) from config") == "1"
    ledger.close()


def in_another_process(file: Path, statement: str) -> str:
    """What a statement returns to a process that opens the database, closes it and ends."""
    program = (
        f"import sqlite3; c = sqlite3.connect({str(file)!r}); print(c.execute({statement!r}).fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; c.close()"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
