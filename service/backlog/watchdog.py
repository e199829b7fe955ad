"""Raises what has been waiting too long: nobody looks at a page all day, and silence is taken for success.

Each reason is told at most once in ``node.notify.again_minutes``, and some only once at all, however many
processes and machines watch: the database knows when it was told last.
"""

from __future__ import annotations

import math
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from service.backlog import account_tables as people
from service.backlog import ledger_tables as tables
from service.backlog.database import now
from service.backlog.ledger_series import insert_if_new
from service.backlog.records import DeliveryState, JobState, SeriesState
from service.backlog.trial_names import no_shadow
from service.log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies
    from service.config.site import Node

_log = EventLog("watchdog")
EVERY_SECONDS: Final = 30.0
_SILENT_SECONDS: Final = 60.0
_LOW_DISK: Final = 2.0  # times the reserve, under which no image is taken any more
_WANT_CONTOURING: Final = (JobState.QUEUED.value, JobState.CONTOURING.value)
_WANT_SENDING: Final = (
    DeliveryState.MAKING.value,
    DeliveryState.WAITING.value,
    DeliveryState.SENDING.value,
    DeliveryState.RETRYING.value,
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that people must know; told for its ``reason`` at most once in a while, or ``once``."""

    reason: str
    code: str
    sentence: str
    job_id: str | None = None
    once: bool = False


class Watchdog:
    """Looks at the ledger, the disk and the processes.

    Args:
        ledger: what waits.
        node: the limits.
        storage: the folder whose disk may be full.
        ages_seconds: since the last sign of life of each process of this machine.
        notify: who is told.
        further: alarms of those who know more than this does.
    """

    def __init__(
        self,
        ledger: Ledger,
        node: Node,
        storage: Path,
        ages_seconds: Callable[[], Mapping[str, float]],
        notify: Notifies,
        further: Callable[[], Iterable[Alarm]] = tuple,
    ) -> None:
        self._ledger = ledger
        self._node = node
        self._storage = storage
        self._ages_seconds = ages_seconds
        self._notify = notify
        self._further = further
        self._told: dict[str, float] = {}

    def look(self) -> list[Alarm]:
        """Look once, and tell what has not been told just now; what was told."""
        try:
            alarms = [*self._machine(), *self._waiting(), *self._further()]
        except sa.exc.SQLAlchemyError as error:
            _log.failure("watchdog.database-unavailable", error)
            sentence = "The database does not answer: nothing is contoured or sent, images may be refused."
            alarms = [*self._machine(), Alarm("database", "watchdog.database", sentence)]
        told = [alarm for alarm in alarms if self._is_due(alarm)]
        for alarm in told:
            _log.warning(alarm.code, job=alarm.job_id)
            self._notify.tell(alarm.code, alarm.sentence, alarm.job_id)
        return told

    def _machine(self) -> Iterator[Alarm]:
        free, reserve = shutil.disk_usage(self._storage).free, self._node.disk.reserve_gb * 1e9
        if free < _LOW_DISK * reserve:
            sentence = (
                f"{free / 1e9:.1f} GB are free on the node's disk; below {reserve / 1e9:.1f} GB it takes no "
                "image. `delineate purge --dry-run` says what can go."
            )
            yield Alarm("disk", "watchdog.disk-low", sentence)
        for role, age in self._ages_seconds().items():
            if age > _SILENT_SECONDS:
                host = socket.gethostname()
                sentence = f"The {role} process on {host} has given no sign of life for {age / 60:.0f} min."
                yield Alarm(f"process:{host}:{role}", "watchdog.process-silent", sentence)

    def _waiting(self) -> Iterator[Alarm]:
        minutes = self._node.notify.waiting_minutes
        before = now() - minutes * 60
        with self._ledger.reading() as conn:
            found = [
                *_jobs(conn, before, minutes),
                *_deliveries(conn, before, minutes),
                *_series(conn, before - self._node.hard_timeout_seconds),
            ]
        yield from found

    def _is_due(self, alarm: Alarm) -> bool:
        reason, again = alarm.reason, math.inf if alarm.once else self._node.notify.again_minutes * 60
        last = self._told.get(reason)
        if last is not None and time.monotonic() - last < again:
            return False
        self._told[reason] = time.monotonic()
        t, at = people.alarm, now()
        try:
            with self._ledger.begin() as conn:
                conn.execute(insert_if_new(conn, t).values(reason=reason, told_at=0.0))
                ours = (t.c.reason == reason) & (t.c.told_at <= (0.0 if alarm.once else at - again))
                return conn.execute(sa.update(t).where(ours).values(told_at=at)).rowcount == 1
        except sa.exc.SQLAlchemyError:  # then this process alone knows
            return True


def keep_watching(watchdog: Watchdog, stop: threading.Event, every_seconds: float = EVERY_SECONDS) -> None:
    """Look every now and then until ``stop``; the body of a thread."""
    while not stop.wait(every_seconds):
        try:
            watchdog.look()
        except Exception as error:  # noqa: BLE001 the loop body of this thread
            _log.failure("watchdog.failed", error)


def _jobs(conn: sa.Connection, before: float, minutes: float) -> Iterator[Alarm]:
    j = tables.job
    waiting = (j.c.state.in_(_WANT_CONTOURING), j.c.updated_at < before, no_shadow(j.c.protocol))
    query = sa.select(j.c.id).where(*waiting)
    jobs = list(conn.execute(query.order_by(j.c.updated_at)).scalars())
    if jobs:
        sentence = (
            f"{_counted(len(jobs), 'CT waits', 'CT wait')} for contouring for more than {minutes:g} min; "
            f"the first of them is job {jobs[0]}. `delineate status` and `delineate health` say more."
        )
        yield Alarm("jobs", "watchdog.jobs-waiting", sentence, jobs[0])


def _deliveries(conn: sa.Connection, before: float, minutes: float) -> Iterator[Alarm]:
    """One for each destination: two that are away are two reasons."""
    d = tables.delivery
    query = sa.select(d.c.destination, d.c.job_id, d.c.reason)
    query = query.where(d.c.state.in_(_WANT_SENDING), d.c.created_at < before).order_by(d.c.created_at)
    waiting: dict[str, list[Any]] = {}
    for row in conn.execute(query):
        waiting.setdefault(row.destination, []).append(row)
    for destination, rows in waiting.items():
        why = f" ({rows[0].reason})" if rows[0].reason else ""
        sentence = (
            f"{_counted(len(rows), 'structure set waits', 'structure sets wait')} for {destination} for more "
            f"than {minutes:g} min{why}; the first is that of job {rows[0].job_id}. "
            f"`delineate echo {destination}` asks whether it is there."
        )
        yield Alarm(f"deliveries:{destination}", "watchdog.deliveries-waiting", sentence, rows[0].job_id)


def _series(conn: sa.Connection, before: float) -> Iterator[Alarm]:
    """Arrival itself ends what waits for slices; if it has not, something is wrong with arrival."""
    s = tables.series
    unfinished = (s.c.state == SeriesState.COLLECTING.value) & (s.c.last_at < before)
    count = conn.execute(sa.select(sa.func.count()).where(unfinished)).scalar_one()
    if count:
        sentence = (
            f"{_counted(count, 'series is', 'series are')} neither complete nor refused long after the last "
            "image. `delineate health` says whether the arrival process works."
        )
        yield Alarm("series", "watchdog.series-incomplete", sentence)


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
