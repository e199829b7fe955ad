"""The worker process: contours and delivers what the engine hands it, and keeps the house clean."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from service.backlog.audit import AuditTrail
from service.backlog.database import sqlite_file
from service.backlog.engine import COMMIT, CONTOUR, DELIVER, REVIEW, SHADOW, EngineClient, EngineWorker
from service.backlog.ledger import Ledger
from service.backlog.notify import Notifier
from service.backlog.operations import Operations
from service.backlog.retention import Retention, keep_purging
from service.backlog.spool import Spool
from service.backlog.watchdog import Watchdog, keep_watching
from service.config.reader import WatchedSite
from service.delivery.committer import Committer
from service.delivery.sender import Sender
from service.evaluation.drift import DriftWatch
from service.evaluation.quality import plan_of
from service.log import EventLog
from service.node.heartbeat import Heartbeat, ages_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from service.backlog.engine import Again
    from service.contouring.segment import ModelClient
    from service.contouring.shadow import ShadowWorker
    from service.contouring.worker import ContourWorker
    from service.node.reviewing import Reviewing

_DELIVERIES_AT_ONCE: Final = 8  # to different destinations; one at a time to each
_COMMITMENTS_AT_ONCE: Final = 4
_RECONCILE_SECONDS: Final = 900.0

_log = EventLog("work")


class Work:
    """Everything a worker process holds.

    Args:
        config: the configuration file; the tables exist already.
        queues: ``contour``, ``deliver`` or both.
        role: unique on this machine; the engine's executor id is made of it.
    """

    def __init__(self, config: Path, queues: Collection[str], role: str = "work") -> None:
        self._site = WatchedSite(config)
        self._loaded = self._site.current()
        self._queues = queues
        self._role = role
        loaded = self._loaded
        self._ledger = Ledger(loaded.database_url, loaded.storage)
        self._engine = EngineClient(loaded.database_url)
        self._spool = Spool(loaded.storage)
        self._notifier = Notifier(loaded)
        self._operations = Operations(self._ledger, self._engine)
        self._contouring: ContourWorker | None = None
        self._shadow: ShadowWorker | None = None
        self._reviewing: Reviewing | None = None

    def run(self, stop: threading.Event) -> int:
        """Work until ``stop``; how many handlers had to be left in the middle (they are run again later)."""
        node = self._loaded.site.node
        worker = EngineWorker(
            self._loaded.database_url,
            self._executor_id(),
            self._loaded.storage / "locks",
            node.poll_seconds,
            on_dead=self._gave_up,
            silent_seconds=node.takeover_seconds,
            reap_after_seconds=self._reap_after_seconds(),
        )
        with ExitStack() as open_things:
            handlers = self._handlers(open_things, stop)
            open_things.enter_context(Heartbeat(self._loaded.storage, self._role, self._database_answers))
            self._start_housekeeping(stop)
            if self._contouring is not None:
                threading.Thread(target=self._contouring.warm, name="warm", daemon=True).start()
            if self._reviewing is not None:
                self._reviewing.start(stop)
            contoured_at_once = self._contouring.jobs_at_once if self._contouring is not None else 1
            at_once = {CONTOUR: contoured_at_once, DELIVER: _DELIVERIES_AT_ONCE, COMMIT: _COMMITMENTS_AT_ONCE}
            left = worker.run(handlers, stop, at_once)
            self._notifier.close()
        return left

    def _executor_id(self) -> str:
        # SQLite means one machine, whatever its container is called today: its rows come back at once.
        alone = sqlite_file(self._loaded.database_url) is not None
        return f"{'local' if alone else socket.gethostname()}:{self._role}"

    def _reap_after_seconds(self) -> float | None:
        """None leaves it to the engine; a server's restart, too, takes everybody's lock for a moment."""
        alone = sqlite_file(self._loaded.database_url) is not None
        return None if alone else self._loaded.site.node.takeover_seconds / 3

    def _handlers(
        self, open_things: ExitStack, stop: threading.Event
    ) -> dict[str, Callable[[str], Again | None]]:
        handlers: dict[str, Callable[[str], Again | None]] = {}
        if CONTOUR in self._queues:
            from service.contouring.worker import ContourWorker

            models = tuple(open_things.enter_context(client) for client in self._models())
            self._contouring = ContourWorker(
                self._site.current, self._ledger, self._engine, self._spool, models, self._notifier
            )
            handlers[CONTOUR] = self._contouring.contour
            handlers[SHADOW] = self._shadow_worker(open_things, stop).contour
            handlers[REVIEW] = self._review_handler()
        if DELIVER in self._queues:
            committer = Committer(self._ledger, self._engine, self._spool, self._site.current, self._notifier)
            sender = Sender(self._ledger, self._site.current, self._notifier, committer.want)
            handlers |= {DELIVER: sender.deliver, COMMIT: committer.handle}
        return handlers

    def _shadow_worker(self, open_things: ExitStack, stop: threading.Event) -> ShadowWorker:
        from service.contouring.shadow import BackgroundModels, ShadowWorker

        last_gpu = self._loaded.site.node.gpus - 1
        background = BackgroundModels(self._loaded, last_gpu, self._ledger.awaits_contouring)
        models = open_things.enter_context(background)
        site = self._site.current
        self._shadow = ShadowWorker(site, self._ledger, self._engine, self._spool, models, stop)
        return self._shadow

    def _review_handler(self) -> Callable[[str], Again | None]:
        from service.node.reviewing import Reviewing

        self._reviewing = Reviewing(self._site, self._ledger, self._engine, self._spool)
        return self._reviewing.worker.review

    def _models(self) -> list[ModelClient]:
        """One for each GPU; each starts its own process when it is first used."""
        from service.contouring.segment import ModelClient

        return [ModelClient(self._loaded, gpu) for gpu in range(self._loaded.site.node.gpus)]

    def _database_answers(self) -> None:
        with self._ledger.reading() as conn:
            conn.execute(sa.text("select 1"))

    def _gave_up(self, queue: str, payload: str) -> None:
        """The engine set a row aside: the ledger says so, and people hear of it."""
        if queue == CONTOUR and self._contouring is not None:
            self._contouring.gave_up(payload)
            return
        if queue == SHADOW and self._shadow is not None:
            self._shadow.gave_up(payload)
            return
        if queue == REVIEW:
            if self._reviewing is not None:
                self._reviewing.worker.gave_up(payload)
            return
        if queue == COMMIT:
            self._operations.end_commitment(payload)
            self._notifier.tell(
                "commitment.set-aside", "Storage commitment failed in an unforeseen way; look at the log."
            )
            return
        self._operations.set_aside(queue, payload.partition("#")[0])
        job_id = self._ledger.delivery(int(payload)).job_id if queue == DELIVER else payload.partition("#")[0]
        sentence = f"This was set aside after it had failed in an unforeseen way; `delineate retry {job_id}`."
        self._notifier.tell("job.set-aside", sentence, job_id)

    def _start_housekeeping(self, stop: threading.Event) -> None:
        loaded = self._loaded
        retention = Retention(
            self._ledger,
            self._spool,
            loaded.site.node,
            self._engine.delete_finished,
            review_days=loaded.site.evaluation.keep_days,
        )
        watchdog = Watchdog(
            self._ledger,
            loaded.site.node,
            loaded.storage,
            lambda: ages_seconds(loaded.storage),
            self._notifier,
            DriftWatch(self._ledger, AuditTrail(self._ledger), lambda: plan_of(self._site.current().site)),
        )
        chores: tuple[tuple[Callable[..., None], tuple[object, ...]], ...] = (
            (keep_purging, (retention, stop)),
            (keep_watching, (watchdog, stop)),
            (self._keep_reconciling, (stop,)),
        )
        for body, arguments in chores:
            threading.Thread(target=body, args=arguments, name="housekeeping", daemon=True).start()

    def _keep_reconciling(self, stop: threading.Event) -> None:
        """Submit now and then what the ledger has waiting and the engine does not know."""
        while True:
            try:
                found = self._operations.reconcile()
                if found:
                    _log.warning("work.reconciled", count=found)
            except Exception as error:  # noqa: BLE001 the loop body of this thread
                _log.failure("work.reconciling-failed", error)
            if stop.wait(_RECONCILE_SECONDS):
                return
