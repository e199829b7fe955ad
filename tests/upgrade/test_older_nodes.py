"""What an older version left, killed at its work: all of it is read, and what waited is finished.

``first-node`` was made by ``fill_a_node.py`` with the first version of the node (schema 1), on both databases.
"""

from __future__ import annotations

import json
import lzma
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from analytic_bundle import STRUCTURES, write_bundle
from postgresql import Unavailable, cluster
from running_node import ReceivingTps, RunningNode, wait_until

from service.backlog import ledger_tables as tables
from service.backlog.engine import EngineClient, migrate
from service.backlog.ledger import Ledger
from service.backlog.operations import Operations
from service.backlog.records import JobState
from service.config.site import Retention

pytestmark = pytest.mark.slow

LEFT = Path(__file__).parent / "first-node"
JOBS = {
    "queued": 5, "contouring": 1, "held": 3, "delivering": 2, "done": 2, "refused": 1, "failed": 2,
    "cancelled": 2, "superseded": 1,
}  # fmt: skip
"""As the older version counted them before it was killed."""

SERIES = {"routed": 18, "refused": 1, "unrouted": 1, "ignored": 1}
WAITING = {"queued", "contouring", "delivering"}
YEARS = {name: 36500 for name in Retention.model_fields}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Which, and its URL or the word ``sqlite``; a server's holds what the older version left."""
    if request.param == "sqlite":
        yield "sqlite", "sqlite"
        return
    try:
        with cluster() as server:
            url = server.new_database()
            dump = lzma.decompress((LEFT / "postgresql-database.sql.xz").read_bytes())
            plain = url.replace("+psycopg", "")
            subprocess.run(
                ["psql", "-q", "-v", "ON_ERROR_STOP=1", plain],
                input=dump,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield "postgresql", url
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def tps() -> Iterator[ReceivingTps]:
    made = ReceivingTps()
    yield made
    made.close()


@pytest.fixture
def node(tmp_path: Path, database: tuple[str, str], tps: ReceivingTps) -> Iterator[RunningNode]:
    """Not started; its destinations are there again and its models work."""
    with tarfile.open(LEFT / f"{database[0]}-storage.tar.xz") as archive:
        archive.extractall(tmp_path / "var", filter="tar")
    models = ("analytic", "slow", "raises")
    for name in models:
        write_bundle(tmp_path / "bundles" / name)
    again = {"first_seconds": 1, "factor": 1, "longest_seconds": 1, "give_up_hours": 10000}
    destination = {"host": "127.0.0.1", "port": tps.port, "retry": again}
    made = RunningNode(
        tmp_path,
        {
            "node": {
                "quiet_seconds": 1, "hard_timeout_seconds": 4, "poll_seconds": 0.1, "database": database[1],
                "bundles": [str(tmp_path / "bundles")], "retention": YEARS,
            },
            "senders": dict.fromkeys(["GOOD", "SHADOW", "HOLD", "GONE", "STALLS", "REFUSES", "RAISES", "SLOW"]),
            "destinations": {
                name: {"ae_title": name.upper(), **destination} for name in ("tps", "gone", "stalls", "refuses")
            },
            "protocols": {
                name: {"model": f"{name}@1.0", "structures": dict.fromkeys(STRUCTURES)} for name in models
            },
            "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps"], "mode": "send"}],
        },
    )  # fmt: skip
    yield made
    made.kill_all()


def states(node: RunningNode) -> Counter[str]:
    with node.ledger() as ledger:
        return Counter({state: count for state, count in ledger.counts().jobs.items() if count})


def test_what_an_older_version_left_is_read_and_finished(node: RunningNode, tps: ReceivingTps) -> None:
    with node.ledger() as ledger:
        ledger.migrate()
        migrate(ledger.database_url)
    assert states(node) == JOBS
    with node.ledger() as ledger:
        assert {state: count for state, count in ledger.counts().series.items() if count} == SERIES
        with ledger.reading() as conn:
            assert conn.execute(sa.select(tables.ledger_version.c.version)).scalar() == tables.SCHEMA_VERSION
            jobs = {row.id: row.state for row in conn.execute(sa.select(tables.job.c.id, tables.job.c.state))}
        everything_is_readable(ledger, jobs)
    listed = json.loads(node.command("jobs", "--json").stdout)
    assert {line["job"]: line["state"] for line in listed["jobs"]} == jobs
    assert len(listed["series_without_jobs"]) == 3
    node.start(120)
    held = next(job for job, state in jobs.items() if state == "held")
    failed = [job for job, state in jobs.items() if state == "failed"]
    with node.ledger() as ledger, closing(EngineClient(ledger.database_url)) as engine:
        people = Operations(ledger, engine, "physicist")
        people.release(held)
        for job in failed:
            people.retry(job)
    unfinished = {job for job, state in jobs.items() if state in WAITING} | {held, *failed}

    def finished() -> bool:
        with node.ledger() as ledger:
            return all(ledger.job(job).state is JobState.DONE for job in unfinished)

    wait_until(finished, 240)
    with node.ledger() as ledger:
        others = {job: ledger.job(job).state.value for job in jobs.keys() - unfinished}
    assert others == {job: jobs[job] for job in others}, "what had ended or was held stays so"
    assert not tps.changed
    assert len(tps.received) == len(unfinished), "one structure set for each job that was finished"


def everything_is_readable(ledger: Ledger, jobs: dict[str, str]) -> None:
    for job, state in jobs.items():
        story = ledger.story(job)
        assert story.job.state.value == state
        assert story.series.identity.patient_id == "SYN001"
        assert story.events
        assert all(file.is_file() for file in story.job.files)
        for delivery, attempts in story.deliveries:
            assert delivery.file.is_file()
            assert len(attempts) == delivery.attempts
