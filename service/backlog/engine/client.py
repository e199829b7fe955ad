"""Putting rows into the engine and looking after them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

from service.backlog.database import now, server_url, sqlite_file, use_write_ahead_log
from service.backlog.engine.notices import tell_at_commit

CONTOUR: Final = "contour"
DELIVER: Final = "deliver"
COMMIT: Final = "commit"
REVIEW: Final = "review"
SHADOW: Final = "shadow"
QUEUES: Final = (CONTOUR, DELIVER, COMMIT, REVIEW, SHADOW)

APPLICATION: Final = "delineate"
VERSION: Final = "1"  # constant for ever; a change of meaning gets another queue's name instead
UNDER_WAY: Final = ("ENQUEUED", "DELAYED", "PENDING")
SET_ASIDE: Final = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
_FINISHED: Final = ["SUCCESS", "ERROR", "CANCELLED", SET_ASIDE]
_NO_PARTITION: Final = "-"  # rows of a partitioned queue without a key would never be taken
_BATCH: Final = 500

_dbos_log = logging.getLogger("dbos")
_dbos_log.addHandler(logging.NullHandler())  # else it prints its own texts to the console
_dbos_log.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Again:
    """What a handler returns to be run later: another key of the same queue, in ``delay_seconds``."""

    key: str
    payload: str
    delay_seconds: float
    partition: str | None = None
    priority: int = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that has not moved for a while; ``seconds`` since it could have started or was started."""

    key: str
    queue: str
    status: str
    seconds: float


def migrate(database_url: str) -> None:
    """Create the engine's tables and queues, or bring them up to date; safe to repeat."""
    file = sqlite_file(database_url)
    if file is not None:
        use_write_ahead_log(file)
    DBOS.migrate(database_url)
    client = EngineClient(database_url)
    try:
        for queue in QUEUES:
            client.configure(queue, at_once=1, poll_seconds=2.0, only_if_new=True)
    finally:
        client.close()


class EngineClient:
    """Puts rows into the engine and looks after them; starts no thread and runs nothing.

    ``patient`` calls wait and try again while the database is away; otherwise they raise at once.
    """

    def __init__(self, database_url: str, *, patient: bool = True) -> None:
        self._client = DBOSClient(
            system_database_url=server_url(database_url),
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=patient,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()

    def submit(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        queue: str,
        key: str,
        payload: str,
        *,
        priority: int = 100,
        partition: str | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        """Put a row into a queue in the caller's transaction; a key that was ever there changes nothing.

        Priority 1 runs first. ``partition`` is the destination: of each, one row of ``deliver`` runs at a
        time.
        """
        options = _options(queue, key, priority, partition, delay_seconds)
        self._client.enqueue_in_transaction(conn, options, payload)
        if not delay_seconds:
            tell_at_commit(conn, queue)

    def submit_now(
        self,
        queue: str,
        key: str,
        payload: str,
        *,
        priority: int = 100,
        partition: str | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        """The same as :meth:`submit` in a transaction of its own."""
        self._client.enqueue(_options(queue, key, priority, partition, delay_seconds), payload)

    def cancel(self, key: str) -> None:
        """Never start a row, or let nothing follow it if it runs; unknown or finished keys are left alone."""
        self._client.cancel_workflow(key)

    def cancel_all(self, prefix: str) -> None:
        """The same for every row whose key begins so and that has not ended."""
        rows = self._client.list_workflows(
            workflow_id_prefix=prefix, status=list(UNDER_WAY), load_input=False, load_output=False
        )
        self._client.cancel_workflows([row.workflow_id for row in rows])

    def cancel_these(self, keys: Iterable[str]) -> None:
        """The same for each of the keys."""
        self._client.cancel_workflows(list(keys))

    def resume(self, key: str, queue: str) -> None:
        """Let a cancelled row, or one set aside, run again on its queue."""
        self._client.resume_workflow(key, queue_name=queue)

    def set_priority(self, conn: sa.Connection, key: str, priority: int) -> bool:
        """Change the priority of a row that has not started, in the caller's transaction; False if it has."""
        where = f"where workflow_uuid = :key and status in ('{UNDER_WAY[0]}', '{UNDER_WAY[1]}')"
        statement = sa.text(f"update {status_table(conn)} set priority = :priority {where}")  # noqa: S608 no input in it
        return conn.execute(statement, {"key": key, "priority": priority}).rowcount > 0

    def configure(self, queue: str, *, at_once: int, poll_seconds: float, only_if_new: bool = False) -> None:
        """How many rows of a queue one process runs at a time and how often it looks for more."""
        self._client.register_queue(
            queue,
            worker_concurrency=at_once,
            partition_concurrency=1 if queue == DELIVER else None,
            polling_interval_sec=poll_seconds,
            on_conflict="never_update" if only_if_new else "always_update",
        )

    def status(self, key: str) -> str | None:
        """The engine's word for where a row is, None if there is no such row."""
        found = self._client.list_workflows(workflow_ids=[key], load_input=False, load_output=False)
        return found[0].status if found else None

    def runs(self, key: str) -> int:
        """How often a row was begun; 0 if there is no such row."""
        found = self._client.list_workflows(workflow_ids=[key], load_input=False, load_output=False)
        return (found[0].recovery_attempts or 0) if found else 0

    def under_way(self) -> set[str]:
        """Keys of all rows that wait, are delayed or run."""
        rows = self._client.list_workflows(status=list(UNDER_WAY), load_input=False, load_output=False)
        return {row.workflow_id for row in rows}

    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows of each queue wait, are delayed, run, or were set aside."""
        rows = self._client.list_workflows(
            status=[*UNDER_WAY, SET_ASIDE], load_input=False, load_output=False
        )
        counted = Counter((row.name, row.status) for row in rows)
        return {
            queue: {status.lower(): counted[queue, status] for status in (*UNDER_WAY, SET_ASIDE)}
            for queue in QUEUES
        }

    def stuck(self, older_than_seconds: float) -> list[Waiting]:
        """Rows that could have started, or were started, longer ago than that: for the health page.

        Those of the shadow are not among them: they wait until nobody waits for anything else.
        """
        at = now()
        rows = self._client.list_workflows(status=list(UNDER_WAY), load_input=False, load_output=False)
        waiting = []
        for row in rows:
            since_ms = max(row.created_at or 0, row.dequeued_at or 0, row.delay_until_epoch_ms or 0)
            waiting.append(Waiting(row.workflow_id, row.name, row.status, at - since_ms / 1000))
        return [each for each in waiting if each.seconds > older_than_seconds and each.queue != SHADOW]

    def pending_executors(self) -> set[str]:
        """Ids of the processes that have taken rows and not finished them."""
        rows = self._client.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {row.executor_id for row in rows if row.executor_id}

    def taken(self, executor_id: str, before: float) -> list[tuple[str, str]]:
        """(key, queue) of rows that an executor took before then (epoch seconds) and has not ended."""
        rows = self._client.list_workflows(
            status="PENDING", executor_id=executor_id, load_input=False, load_output=False
        )
        return [(row.workflow_id, row.name) for row in rows if (row.dequeued_at or 0) / 1000 < before]

    def untold_set_aside(self) -> list[tuple[str, str, str]]:
        """(key, queue, payload) of rows that were set aside and of which nobody has been told."""
        rows = self._client.list_workflows(status=SET_ASIDE, load_output=False, limit=_BATCH)
        untold = [row for row in rows if not (row.attributes or {}).get("told")]
        return [(row.workflow_id, row.name, str(row.input["args"][0])) for row in untold if row.input]

    def mark_told(self, key: str) -> None:
        """People have been told that a row was set aside."""
        self._client.update_workflow_attributes(key, {"told": True})

    def bring_forward(self, seconds: float) -> int:
        """Let rows that are delayed become due that much earlier; how many there are."""
        rows = self._client.list_workflows(status="DELAYED", load_input=False, load_output=False)
        for row in rows:
            due_ms = (row.delay_until_epoch_ms or 0) - round(1000 * seconds)
            self._client.set_workflow_delay(row.workflow_id, delay_until_epoch_ms=max(0, due_ms))
        return len(rows)

    def delete_finished(self, before: float) -> int:
        """Delete rows that ended before then (seconds since the epoch); how many."""
        moment = datetime.fromtimestamp(before, UTC).isoformat()
        deleted = 0
        while True:
            rows = self._client.list_workflows(
                status=_FINISHED, completed_before=moment, load_input=False, load_output=False, limit=_BATCH
            )
            if not rows:
                return deleted
            self._client.delete_workflows([row.workflow_id for row in rows])
            deleted += len(rows)


def status_table(conn: sa.Connection) -> str:
    """The engine's table of rows, as this database names it."""
    return "workflow_status" if conn.dialect.name == "sqlite" else "dbos.workflow_status"


def _options(
    queue: str, key: str, priority: int, partition: str | None, delay_seconds: float
) -> EnqueueOptions:
    options = EnqueueOptions(
        workflow_name=queue,
        queue_name=queue,
        workflow_id=key,
        app_version=VERSION,
        application_name=APPLICATION,
        priority=max(1, priority),
    )
    if queue == DELIVER:
        options["queue_partition_key"] = partition or _NO_PARTITION
    if delay_seconds > 0:  # a delay of 0 would still cost up to a second
        options["delay_seconds"] = delay_seconds
    return options
