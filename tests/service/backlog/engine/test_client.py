"""Rows commit with the caller's or not at all, once for each key; what people may ask of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import sqlalchemy as sa

from service.backlog.engine import QUEUES
from service.backlog.records import JobState


class Interrupted(Exception):
    pass


def test_a_row_commits_with_the_callers_rows(ledger, client, new_job):
    job = new_job()
    with ledger.begin() as conn:
        ledger.change_job(conn, job.id, priority=5)
        client.submit(conn, "contour", f"contour:{job.id}:1", job.id, priority=5)
    assert client.status(f"contour:{job.id}:1") == "ENQUEUED"
    assert ledger.job(job.id).priority == 5


def test_a_row_is_gone_with_the_callers_rows(ledger, client, new_job):
    job = new_job()

    def submit_and_fail() -> None:
        with ledger.begin() as conn:
            ledger.change_job(conn, job.id, priority=5)
            client.submit(conn, "contour", f"contour:{job.id}:1", job.id)
            raise Interrupted

    with pytest.raises(Interrupted):
        submit_and_fail()
    assert client.status(f"contour:{job.id}:1") is None
    assert ledger.job(job.id).priority == 100


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_killed_around_the_commit_there_are_both_rows_or_neither(
    ledger, client, new_job, database_url, storage, moment
):
    job = new_job()
    program = textwrap.dedent(
        """
        import os, pathlib, signal, sys
        from service.backlog.engine import EngineClient
        from service.backlog.ledger import Ledger
        url, storage, job, moment = sys.argv[1:]
        ledger, client = Ledger(url, pathlib.Path(storage)), EngineClient(url)
        with ledger.begin() as conn:
            ledger.change_job(conn, job, priority=5)
            client.submit(conn, "contour", "contour:a:1", job)
            if moment == "before commit":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    arguments = [database_url, storage, job.id, moment]
    ended = subprocess.run([sys.executable, "-c", program, *arguments], check=False)
    assert ended.returncode == -signal.SIGKILL
    there = moment == "after commit"
    assert client.status("contour:a:1") == ("ENQUEUED" if there else None)
    assert ledger.job(job.id).priority == (5 if there else 100)


def test_a_key_is_taken_once(ledger, client):
    client.submit_now("contour", "contour:a:1", "first")
    client.submit_now("contour", "contour:a:1", "second")
    with ledger.begin() as conn:
        client.submit(conn, "contour", "contour:a:1", "third")
    assert client.counts()["contour"]["enqueued"] == 1


def test_rows_are_json_that_anyone_can_read(ledger, client, database_url):
    client.submit_now("contour", "contour:a:1", "a")
    table = "workflow_input" if database_url.startswith("sqlite") else "dbos.workflow_input"
    with ledger.reading() as conn:
        kept = conn.execute(sa.text(f"select inputs from {table}")).scalar_one()
    assert json.loads(kept)["positionalArgs"] == ["a"]


def test_rows_are_counted_by_queue_and_state(client):
    client.submit_now("contour", "contour:a:1", "a")
    client.submit_now("deliver", "deliver:1:1", "1", partition="eclipse")
    client.submit_now("deliver", "deliver:2:1", "2", delay_seconds=60)
    assert client.counts() == {
        "contour": {"enqueued": 1, "delayed": 0, "pending": 0, "max_recovery_attempts_exceeded": 0},
        "deliver": {"enqueued": 1, "delayed": 1, "pending": 0, "max_recovery_attempts_exceeded": 0},
        "commit": {"enqueued": 0, "delayed": 0, "pending": 0, "max_recovery_attempts_exceeded": 0},
        "review": {"enqueued": 0, "delayed": 0, "pending": 0, "max_recovery_attempts_exceeded": 0},
        "shadow": {"enqueued": 0, "delayed": 0, "pending": 0, "max_recovery_attempts_exceeded": 0},
    }
    assert set(client.counts()) == set(QUEUES)
    assert client.under_way() == {"contour:a:1", "deliver:1:1", "deliver:2:1"}


def test_a_cancelled_row_may_be_resumed_on_its_queue(client):
    client.submit_now("deliver", "deliver:1:1", "1")
    client.cancel("deliver:1:1")
    assert client.status("deliver:1:1") == "CANCELLED"
    client.resume("deliver:1:1", "deliver")
    assert client.status("deliver:1:1") == "ENQUEUED"
    assert client.counts()["deliver"]["enqueued"] == 1


def test_cancelling_what_is_not_there_is_nothing(client):
    client.cancel("deliver:404:1")
    client.cancel_all("deliver:404:")


def test_all_rows_of_a_job_are_cancelled_and_no_others(client):
    for key in ("deliver:1:1", "deliver:1:2", "deliver:11:1"):
        client.submit_now("deliver", key, "x", delay_seconds=60)
    client.cancel_all("deliver:1:")
    assert client.under_way() == {"deliver:11:1"}


def test_priority_changes_with_the_callers_rows_while_a_row_waits(ledger, client):
    client.submit_now("contour", "contour:a:1", "a")
    with ledger.begin() as conn:
        assert client.set_priority(conn, "contour:a:1", 1)
        assert not client.set_priority(conn, "contour:b:1", 1)
    client.cancel("contour:a:1")
    with ledger.begin() as conn:
        assert not client.set_priority(conn, "contour:a:1", 2)


def test_rows_that_do_not_move_are_reported(client):
    client.submit_now("contour", "contour:a:1", "a")
    client.submit_now("deliver", "deliver:1:1", "1", delay_seconds=600)
    time.sleep(1.1)
    (stuck,) = client.stuck(0.05)
    assert (stuck.key, stuck.queue, stuck.status) == ("contour:a:1", "contour", "ENQUEUED")
    assert 0.05 < stuck.seconds < 60
    assert client.stuck(600) == []


def test_only_finished_rows_of_before_are_deleted(client):
    for key in ("contour:a:1", "contour:b:1", "contour:c:1"):
        client.submit_now("contour", key, "x")
    client.cancel("contour:a:1")
    client.cancel("contour:b:1")
    assert client.delete_finished(time.time() - 60) == 0
    assert client.delete_finished(time.time() + 60) == 2
    assert client.under_way() == {"contour:c:1"}
    assert client.status("contour:a:1") is None


def test_a_job_created_and_submitted_in_one_transaction_survives_together(ledger, client, new_job):
    job = new_job()
    with ledger.begin() as conn:
        client.submit(conn, "contour", f"contour:{job.id}:1", job.id)
    assert ledger.job(job.id).state is JobState.QUEUED
    assert client.under_way() == {f"contour:{job.id}:1"}


def test_what_is_delayed_can_become_due_earlier(client):
    client.submit_now("contour", "contour:soon:1", "soon", delay_seconds=3600)
    client.submit_now("contour", "contour:now:1", "now")
    assert client.bring_forward(3000) == 1
    (waiting,) = [each for each in client.stuck(-4000) if each.key == "contour:soon:1"]
    assert -601 < waiting.seconds < -590
    assert client.status("contour:now:1") == "ENQUEUED"
