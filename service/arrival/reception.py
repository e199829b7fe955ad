"""Joins what arrives to when a series is complete, and to what the ledger then says of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from service.arrival.completeness import Tracker
from service.arrival.expected_count import ask_sender
from service.arrival.gathering import Rules
from service.arrival.recording import Recorder
from service.arrival.recovery import SeriesMemory
from service.backlog.engine import EngineClient
from service.backlog.ledger import Ledger
from service.backlog.pull_orders import PullOrders
from service.backlog.spool import Spool
from service.config.return_address import archives_of
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.arrival.completeness import Question
    from service.backlog.notify import Notifies
    from service.backlog.records import ReceivedInstance, ReceivedSeries
    from service.config.reader import LoadedSite

TICK_SECONDS: Final = 0.1
_LOOK_AROUND_SECONDS: Final = 10.0
_FIRST_RETRY_SECONDS: Final = 2.0
_LONGEST_RETRY_SECONDS: Final = 300.0
_FAILURES_TO_TELL: Final = 6  # after a minute
_NOT_RECORDED: Final = (
    "A series has arrived and cannot be written down; the node goes on trying. "
    "Look at the database, the disk and the log of the node."
)
_log = EventLog("arrival")


class Clock:
    """Seconds since the epoch that no adjustment of the computer's clock makes jump."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Now."""
        return self._offset + time.monotonic()


class Reception:
    """Joins the SCP, which tells what arrives, to the tracker, the ledger and the engine.

    Args:
        site: gives the configuration in force.
        spool, ledger, engine: of this node.
        notify: told of what people must know.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        site: Callable[[], LoadedSite],
        spool: Spool,
        ledger: Ledger,
        engine: EngineClient,
        notify: Notifies,
        clock: Callable[[], float],
    ) -> None:
        self._site = site
        self._spool = spool
        self._clock = clock
        self._memory = SeriesMemory(spool, ledger)
        self._tracker = Tracker(self._rules, self._memory.history, spool.series_folder)
        self._orders = PullOrders(spool.storage, clock)
        self._recorder = Recorder(ledger, engine, notify, clock)
        self._notify = notify
        self._askers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="find")
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="headers")
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._conflicts: Counter[str] = Counter()
        self._by_association: dict[int, Counter[str]] = {}
        self._to_report: list[tuple[str, int]] = []
        self._loaded = site()
        self._look_at = 0.0
        self.wake = threading.Event()

    def take_up(self) -> None:
        """Go on where the process before this one stopped."""
        count = self._memory.take_up(self._tracker, self._clock())
        if count:
            _log.info("arrival.taken-up", count=count)

    def look_around(self) -> None:
        """Now and then take up what came by another host that could not finish it."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AROUND_SECONDS
        try:
            count = self._memory.left_by_others(self._tracker, now)
        except (OSError, SQLAlchemyError) as error:  # the next look will find it
            _log.failure("arrival.look-failed", error)
            return
        if count:
            _log.warning("arrival.taken-up", count=count)

    def arrived(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        """See :class:`service.arrival.intake.Arrivals`."""
        self._tracker.arrived(association, instance, new=new)

    def conflicting(self, association: int, instance: ReceivedInstance) -> None:
        """See :class:`service.arrival.intake.Arrivals`."""
        with self._lock:
            self._conflicts[instance.series_instance_uid] += 1
            self._by_association.setdefault(association, Counter())[instance.series_instance_uid] += 1

    def ended(self, association: int, *, released: bool, at: float) -> None:
        """See :class:`service.arrival.intake.Arrivals`."""
        self._tracker.ended(association, released=released, at=at)
        with self._lock:
            self._to_report += self._by_association.pop(association, Counter()).items()
        self.wake.set()

    def step(self) -> None:
        """Do what is due: stop what was overtaken, ask senders, write down what is complete."""
        self._loaded, now = self._site(), self._clock()
        loaded = self._loaded
        self._stop_what_was_overtaken()
        for question in self._tracker.questions(now):
            self._askers.submit(self._ask, question, loaded)
        for unread in self._tracker.unread(now):
            self._readers.submit(self._recorder.read_ahead, unread, loaded)
        for series in self._tracker.tick(now):
            self._record(series, loaded)
        for series in self._tracker.lapsed():
            self._recorder.waiting(series, loaded)
        with self._lock:
            to_report, self._to_report = self._to_report, []
        for uid, count in to_report:
            self._recorder.report_conflict(uid, count)

    def close(self) -> None:
        """Ask no more."""
        for pool in (self._askers, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Until something may be due: an association ends, silence has lasted, or a moment has passed."""
        self.wake.wait(min(TICK_SECONDS, self._tracker.quiet_in(self._clock())))
        self.wake.clear()

    def _stop_what_was_overtaken(self) -> None:
        late = self._tracker.late()
        try:
            while late:
                self._recorder.stop_undelivered(next(iter(late)))
                late.pop()
        finally:
            self._tracker.still_late(late)

    def _record(self, series: ReceivedSeries, loaded: LoadedSite) -> None:
        uid = series.series_instance_uid
        with self._lock:
            conflicts = self._conflicts.get(uid, 0)
        notes = (
            [f"{conflicts} images came twice with different content; the first was used."]
            if conflicts
            else []
        )
        order = self._orders.find(uid, series.calling_ae_title)
        try:
            self._recorder.record(series, loaded, notes, order)
        except Exception as error:  # noqa: BLE001 - one series must not stop the others
            self._failures[uid] += 1
            wait = min(_FIRST_RETRY_SECONDS * 2 ** (self._failures[uid] - 1), _LONGEST_RETRY_SECONDS)
            _log.failure("series.not-recorded", error, attempt=self._failures[uid], seconds=wait)
            if self._failures[uid] == _FAILURES_TO_TELL:
                self._notify.tell("series.not-recorded", _NOT_RECORDED)
            self._tracker.put_back(uid, self._clock() + wait)
            return
        with self._lock:
            self._conflicts.pop(uid, None)
        self._failures.pop(uid, None)
        if order is not None:
            self._orders.fulfil(uid)
        self._tracker.settled(uid)

    def _ask(self, question: Question, loaded: LoadedSite) -> None:
        count = None
        order = self._orders.find(question.series_instance_uid, question.calling_ae_title)
        try:
            sender = loaded.sender(question.calling_ae_title)
            if order is not None:
                count = order.instances or None
            elif sender is not None and sender.find_count and sender.port is not None:
                host = sender.host or question.sender_address
                own = loaded.site.node.ae_title
                count = ask_sender(question, own_ae_title=own, host=host, port=sender.port, tls=sender.tls)
        except Exception as error:  # noqa: BLE001 - whatever a sender answers, the series must not wait for ever
            _log.failure("find.failed", error, ae_title=question.calling_ae_title)
        finally:
            self._tracker.answer(question, count, final=order is not None and count is not None)
            self.wake.set()

    def _rules(self, calling_ae_title: str) -> Rules:
        node, sender = self._loaded.site.node, self._loaded.sender(calling_ae_title)
        floor = sender.quiet_seconds if sender is not None else None
        ask = sender is not None and sender.find_count and sender.port is not None
        ask = ask or bool(archives_of(self._loaded.site, calling_ae_title))
        return Rules(floor or node.quiet_seconds, node.hard_timeout_seconds, node.minimum_slices, ask)
