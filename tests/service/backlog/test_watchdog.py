"""What waits too long is raised once in a while, however many watch; on either database."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.records import DeliveryState, JobState, SeriesState
from service.backlog.watchdog import Watchdog, keep_watching
from service.config.site import Disk, Node, Notify

HOUR = 3600.0


@dataclass
class Told:
    notices: list[tuple] = field(default_factory=list)

    def tell(self, code, sentence, job_id=None):
        self.notices.append((code, sentence, job_id))

    @property
    def codes(self):
        return [code for code, _, _ in self.notices]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def watchdog(ledger, storage, told):
    def make(ages=None, reserve_gb=0.000001, again_minutes=60.0):
        notify = Notify(waiting_minutes=15.0, again_minutes=again_minutes)
        node = Node(disk=Disk(reserve_gb=reserve_gb), notify=notify)
        return Watchdog(ledger, node, storage, lambda: ages or {}, told)

    return make


def age(ledger, table: sa.Table, seconds: float) -> None:
    """Let everything in a table be older."""
    columns = {c.name: c - seconds for c in table.c if c.name in ("created_at", "updated_at", "last_at")}
    with ledger.begin() as conn:
        conn.execute(sa.update(table).values(**columns))


def test_nothing_is_said_while_all_is_well(watchdog, new_job, told):
    new_job()
    assert watchdog({"work": 3.0}).look() == []
    assert told.notices == []


def test_jobs_that_wait_for_contouring_are_one_notice(watchdog, new_job, told, ledger):
    first, second = new_job(), new_job("2.25.2")
    age(ledger, tables.job, HOUR)
    with ledger.begin() as conn:
        ledger.move_job(conn, second.id, JobState.HELD)  # a person wants it so
    watchdog().look()
    ((code, sentence, job),) = told.notices
    assert (code, job) == ("watchdog.jobs-waiting", first.id)
    assert sentence.startswith("1 CT waits for contouring for more than 15 min;")


def test_deliveries_are_one_notice_for_each_destination(watchdog, new_job, told, ledger, storage):
    job = new_job(destinations=("eclipse", "archive"))
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        ledger.move_job(conn, job.id, JobState.DELIVERING)
        for name, state in (("eclipse", DeliveryState.MAKING), ("archive", DeliveryState.WAITING)):
            file = storage / "x"
            made = ledger.create_delivery(
                conn, job_id=job.id, destination=name, file=file, sop_instance_uid="2.25.7", state=state
            )
    n = ledger.start_attempt(made.id)
    ledger.finish_attempt(
        made.id, n, status=None, code="delivery.no-connection", sentence="-", state=DeliveryState.RETRYING
    )
    age(ledger, tables.delivery, HOUR)
    watchdog().look()
    assert told.codes == ["watchdog.deliveries-waiting"] * 2
    sentences = " ".join(sentence for _, sentence, _ in told.notices)
    assert "1 structure set waits for eclipse for more than 15 min; the first is" in sentences
    assert "for archive for more than 15 min (delivery.no-connection);" in sentences


def test_a_series_that_arrival_forgot(watchdog, told, ledger, received, identity):
    with ledger.begin() as conn:
        ledger.record_series(conn, received(at=0.0), identity, SeriesState.COLLECTING)
    watchdog().look()
    assert told.codes == ["watchdog.series-incomplete"]


def test_a_silent_process_and_a_disk_that_fills(watchdog, told):
    watchdog({"work": 120.0, "arrival": 59.0}, reserve_gb=1e6).look()
    assert told.codes == ["watchdog.disk-low", "watchdog.process-silent"]
    assert (
        f"The work process on {socket.gethostname()} has given no sign of life for 2 min."
        == told.notices[1][1]
    )


def test_a_reason_is_told_once_in_a_while_by_all_who_watch_together(watchdog, told, new_job, ledger):
    new_job()
    age(ledger, tables.job, HOUR)
    watchers = [watchdog() for _ in range(4)]
    start = threading.Barrier(4)

    def look(each):
        start.wait()
        each.look()
        each.look()

    threads = [threading.Thread(target=look, args=(each,)) for each in watchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.codes == ["watchdog.jobs-waiting"]
    assert watchdog().look() == [], "nor after a restart"
    assert len(watchdog(again_minutes=1e-9).look()) == 1, "but again later"


def test_a_database_that_is_away_is_a_reason_of_its_own(watchdog, told, ledger, monkeypatch):
    def away():
        raise sa.exc.OperationalError("select", {}, Exception())

    dog = watchdog()
    monkeypatch.setattr(ledger, "reading", away)
    monkeypatch.setattr(ledger, "begin", away)
    dog.look()
    dog.look()
    assert told.codes == ["watchdog.database"]


def test_it_goes_on_after_something_unforeseen():
    stop, looks = threading.Event(), []

    class Broken:
        def look(self):
            looks.append(1)
            if len(looks) == 3:
                stop.set()
            raise ValueError("unforeseen")

    keep_watching(Broken(), stop, every_seconds=0.001)
    assert len(looks) == 3
