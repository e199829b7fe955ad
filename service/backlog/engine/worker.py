"""Running the engine's rows: one process, its handlers in threads, and the reaper for processes that died."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from service.backlog.database import connect, now, server_url, sqlite_file
from service.backlog.engine.bell import Bell
from service.backlog.engine.client import (
    APPLICATION,
    COMMIT,
    CONTOUR,
    DELIVER,
    REVIEW,
    SHADOW,
    VERSION,
    Again,
    EngineClient,
    status_table,
)
from service.backlog.engine.notices import of_file, of_server
from service.backlog.engine.places import SENDER, Places, WorkerRefused, executor_place
from service.backlog.engine.reaper import Reaper
from service.backlog.engine.room import Room, Stopped
from service.backlog.engine.wall_clock import WallClock
from service.backlog.liveness import Locks, locks_of
from service.log import EventLog

Handler = Callable[[str], Again | None]
Told = Callable[[str, str], None]

RUNS_BEFORE_SET_ASIDE: Final = {"contour": 6, SHADOW: 6, DELIVER: 1000, COMMIT: 1000, REVIEW: 6}
"""A poison ends its process each time, six times in all; kills from outside hardly meet one row so often."""
RUN_ALONE_AGAIN: Final = frozenset({"contour"})
"""Queues whose rows, begun before and not ended, run with no other beside them."""
_TICK_SECONDS: Final = 1.0
_URGENT: Final = (CONTOUR, DELIVER)
_NOT_URGENT_SECONDS: Final = 4.0
_TICKS_BETWEEN_LOOKS: Final = 3
FORGOTTEN_SECONDS = 180.0  # longer than the engine waits between two tries to write a row's end
_THREADS: Final = 32
_log = EventLog("engine")


class HandlerFailed(Exception):
    """A handler raised what it should not; only the type of it is kept, never its text."""


class EngineWorker:
    """Takes rows from queues and runs them until told to stop. One in a process.

    Args:
        database_url: the ledger's and the engine's database, migrated.
        executor_id: stable and unique, e.g. ``hostname:work``; locked while this runs.
        lock_folder: folder on a local disk for the locks that go with SQLite.
        poll_seconds: how often each queue is looked at besides, for rows that were put off and for what no
            bell rings for; those that nobody waits for are looked at less often.
        on_dead: told (queue, payload) of a row that was given up: its process died each time that it ran,
            or its handler raised. May be told twice.
        silent_seconds: on PostgreSQL, a process that has asked the server nothing for so long counts as dead.
        reap_after_seconds: how long the lock of a dead process must be free before its rows are given back;
            on PostgreSQL longer than a process needs to take its lock again after a restart of the server.
        patience_seconds: how long to wait at the start for locks, and at the end for handlers.
    """

    def __init__(  # noqa: PLR0913 set once
        self,
        database_url: str,
        executor_id: str,
        lock_folder: Path,
        poll_seconds: float = 2.0,
        *,
        on_dead: Told | None = None,
        silent_seconds: float = 30.0,
        reap_after_seconds: float | None = None,
        patience_seconds: int = 4,
    ) -> None:
        on_server = sqlite_file(database_url) is None
        self.executor_id = executor_id
        self.on_dead = on_dead
        self._url = database_url
        self._poll_seconds = poll_seconds
        self._locks: Locks = locks_of(database_url, lock_folder, silent_seconds)
        self._on_server = on_server
        self._reap_after_seconds = (
            (10.0 if on_server else 1.0) if reap_after_seconds is None else reap_after_seconds
        )
        self._patience_seconds = patience_seconds
        self._stop = threading.Event()
        self._rows: set[str] = set()  # keys of those that run here now

    def run(
        self,
        handlers: Mapping[str, Handler],
        stop: threading.Event,
        concurrency: Mapping[str, int] | None = None,
    ) -> int:
        """Run rows of the queues that have a handler until ``stop``; how many handlers then still run.

        A handler that outlives the end by more than some seconds is left to its thread, and the executor id
        stays locked: end the process. The row is run again by the next one and that is no crash.

        Raises:
            WorkerRefused: a living process has this executor id, or on SQLite already sends.
        """
        at_once = {queue: (concurrency or {}).get(queue, 1) for queue in handlers}
        self._stop = stop
        sender = [SENDER] if DELIVER in handlers and not self._on_server else []
        places = Places(self._locks, [executor_place(self.executor_id), *sender])
        places.take(self._patience_seconds, stop)
        client = EngineClient(self._url, patient=False)
        submitter = EngineClient(self._url)  # what a handler asked for is submitted, however long that takes
        left = 0
        try:
            for queue, number in at_once.items():
                least = 0.0 if queue in _URGENT else _NOT_URGENT_SECONDS
                client.configure(queue, at_once=number, poll_seconds=max(self._poll_seconds, least))
            self._launch(handlers, at_once, submitter)
            _log.info("engine.started", role=self.executor_id, queue=",".join(sorted(handlers)))
            self._watch(client, places)
        finally:
            left = self._end()
            client.close()
            if not left:
                submitter.close()
                places.release()
            self._locks.close()
            _log.info("engine.stopped", role=self.executor_id, count=left)
        return left

    def _launch(
        self, handlers: Mapping[str, Handler], at_once: Mapping[str, int], submitter: EngineClient
    ) -> None:
        DBOS.destroy(destroy_registry=True)
        config = DBOSConfig(
            name=APPLICATION,
            system_database_url=server_url(self._url),
            executor_id=self.executor_id,
            application_version=VERSION,
            serializer=DBOSPortableJSONSerializer(),
            max_executor_threads=_THREADS,
            sys_db_pool_size=10,
            log_level="WARNING",
            enable_otlp=False,
            run_migrations=False,
        )
        DBOS(config=config)
        file = sqlite_file(self._url)
        notices = partial(of_server, self._url) if file is None else partial(of_file, file)
        bell = Bell(notices, list(handlers), self._stop)
        for queue, handler in handlers.items():
            self._register(queue, handler, Room(at_once[queue], self._stop.is_set), submitter, bell)
        DBOS.listen_queues(list(handlers))
        with bell.hung():
            DBOS.launch()
        threading.Thread(target=bell.listen, name="bell", daemon=True).start()

    def _register(self, queue: str, handler: Handler, room: Room, client: EngineClient, bell: Bell) -> None:
        @DBOS.step(name=f"{queue}.handle")  # what it returns is kept: a crash after it does not repeat it
        def handle(payload: str) -> dict[str, Any]:
            return self._handle(queue, handler, payload)

        @DBOS.workflow(name=queue, max_recovery_attempts=RUNS_BEFORE_SET_ASIDE[queue] - 1)
        def run_row(payload: str) -> str:
            own_key = str(DBOS.workflow_id)
            self._rows.add(own_key)
            try:
                with room.place(  # limits of a queue are shared by all processes; this one is ours
                    alone=queue in RUN_ALONE_AGAIN and room.size > 1 and client.runs(own_key) > 1,
                    waits=lambda: self._count_run(own_key, -1),  # its process may end while it does nothing
                    waited=lambda: self._count_run(own_key, 1),
                ):
                    outcome = handle(payload)  # not begun if the row was cancelled while it waited
                if "failed" in outcome:
                    raise HandlerFailed(outcome["failed"])
                if "key" in outcome:
                    key, payload = outcome.pop("key"), outcome.pop("payload")
                    client.submit_now(queue, key, payload, **outcome)
                return "done"
            finally:
                self._rows.discard(own_key)
                bell.ring_soon(queue)

    def _handle(self, queue: str, handler: Handler, payload: str) -> dict[str, Any]:
        try:
            again = self._insist(queue, handler, payload)
        except Exception as error:  # noqa: BLE001 the loop body of this process
            _log.failure("engine.handler-failed", error, queue=queue)
            self._tell(queue, payload)
            return {"failed": type(error).__name__}
        if again is None:
            return {}
        return {
            "key": again.key,
            "payload": again.payload,
            "delay_seconds": again.delay_seconds,
            "partition": again.partition,
            "priority": again.priority,
        }

    def _insist(self, queue: str, handler: Handler, payload: str) -> Again | None:
        """Call a handler anew while the database is away: that is nobody's mistake and ends by itself."""
        wait = 0.5
        while True:
            try:
                return handler(payload)
            except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
                _log.failure("engine.database-away", error, queue=queue)
                if self._stop.wait(wait):
                    raise Stopped from None
                wait = min(2 * wait, 10.0)

    def _tell(self, queue: str, payload: str) -> bool:
        if self.on_dead is None:
            return True
        try:
            self.on_dead(queue, payload)
        except Exception as error:  # noqa: BLE001 the loop body of this process
            _log.failure("engine.telling-failed", error, queue=queue)
            return False
        return True

    def _watch(self, client: EngineClient, places: Places) -> None:
        reaper = Reaper(client, self._locks, self.executor_id, self._reap_after_seconds)
        ticks, clock = itertools.count(), WallClock()
        while not self._stop.wait(_TICK_SECONDS):
            try:
                if back := clock.set_back_by():
                    _log.warning(
                        "engine.clock-set-back", seconds=round(back), count=client.bring_forward(back)
                    )
                if not places.keep(time.monotonic()):
                    continue
                reaper.tick(time.monotonic())
                if next(ticks) % _TICKS_BETWEEN_LOOKS == 0:
                    self._tell_of_set_aside(client)
                    self._resume_forgotten(client)
            except WorkerRefused:
                raise
            except Exception as error:  # noqa: BLE001 the loop body of this process
                _log.failure("engine.watch-failed", error)

    def _tell_of_set_aside(self, client: EngineClient) -> None:
        for key, queue, payload in client.untold_set_aside():
            _log.error("engine.set-aside", queue=queue)
            if self._tell(queue, payload):
                client.mark_told(key)

    def _resume_forgotten(self, client: EngineClient) -> None:
        """Rows that the engine has given us and then did not run, since the database went away in between."""
        for key, queue in client.taken(self.executor_id, now() - FORGOTTEN_SECONDS):
            if key not in self._rows:
                _log.warning("engine.resumed-forgotten", queue=queue)
                client.resume(key, queue)

    def _end(self) -> int:
        ending = threading.Thread(target=self._destroy, daemon=True)
        ending.start()
        ending.join(self._patience_seconds + 8.0)  # a database that is away would keep us for minutes
        left = len(self._rows)
        self._forgive()
        return left

    def _destroy(self) -> None:
        patience = self._patience_seconds if self._rows else 0
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience)

    def _forgive(self) -> None:
        """Being stopped is not a crash: do not let it count towards setting a row aside."""
        self._change_runs(-1, "status = 'PENDING' and executor_id = :me", {"me": self.executor_id})

    def _count_run(self, key: str, change: int) -> None:
        """Let one run of a row count, or not: what happens while it waits for its place is not its doing."""
        self._change_runs(change, "workflow_uuid = :key", {"key": key})

    def _change_runs(self, change: int, which: str, values: Mapping[str, str]) -> None:
        engine = connect(self._url, pooled=False)
        try:
            with engine.begin() as conn:
                runs = "recovery_attempts"
                assignment = f"set {runs} = {runs} + :change where {which} and {runs} + :change >= 0"
                statement = f"update {status_table(conn)} {assignment}"
                conn.execute(sa.text(statement), {"change": change, **values})
        except sa.exc.SQLAlchemyError as error:
            _log.failure("engine.forgiving-failed", error)
        finally:
            engine.dispose()
