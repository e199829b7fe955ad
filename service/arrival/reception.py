"""The arrival process: the Storage SCP, when series are complete, and what the ledger then says of them."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pydicom

from service.arrival.certificate_watch import CertificateWatch
from service.arrival.commitments import Commitments
from service.arrival.completeness import Tracker
from service.arrival.expected_count import ask_sender
from service.arrival.gathering import Rules
from service.arrival.recording import Recorder
from service.arrival.recovery import SeriesMemory
from service.arrival.storage_scp import StorageScp
from service.arrival.watchman import Watchman
from service.backlog.engine import EngineClient, migrate
from service.backlog.ledger import Ledger
from service.backlog.notify import Notifier
from service.backlog.spool import Spool, write_durably
from service.config.reader import WatchedSite
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.arrival.completeness import Question
    from service.backlog.notify import Notifies
    from service.backlog.records import ReceivedInstance, ReceivedSeries
    from service.config.reader import LoadedSite

TICK_SECONDS: Final = 0.1
GRACE_SECONDS: Final = 5.0
"""How long associations may go on after the process was told to stop."""

PORT_FILE: Final = "arrival.port"
"""Holds the port without TLS; that with TLS if it is the only one."""

TLS_PORT_FILE: Final = "arrival.tls-port"

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
        self.wake = threading.Event()

    def take_up(self) -> None:
        """Go on where the process before this one stopped."""
        count = self._memory.take_up(self._tracker, self._clock())
        if count:
            _log.info("arrival.taken-up", count=count)

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
        try:
            self._recorder.record(series, loaded, notes)
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
        self._tracker.settled(uid)

    def _ask(self, question: Question, loaded: LoadedSite) -> None:
        count = None
        try:
            sender = loaded.sender(question.calling_ae_title)
            if sender is not None and sender.port is not None:
                host = sender.host or question.sender_address
                own = loaded.site.node.ae_title
                count = ask_sender(question, own_ae_title=own, host=host, port=sender.port, tls=sender.tls)
        except Exception as error:  # noqa: BLE001 - whatever a sender answers, the series must not wait for ever
            _log.failure("find.failed", error, ae_title=question.calling_ae_title)
        finally:
            self._tracker.answer(question, count)
            self.wake.set()

    def _rules(self, calling_ae_title: str) -> Rules:
        node, sender = self._loaded.site.node, self._loaded.sender(calling_ae_title)
        floor = sender.quiet_seconds if sender is not None else None
        ask = sender is not None and sender.find_count and sender.port is not None
        return Rules(floor or node.quiet_seconds, node.hard_timeout_seconds, node.minimum_slices, ask)


def run(config_path: Path, stop: threading.Event) -> None:
    """Receive until ``stop`` is set; then let open associations finish for a moment.

    The ports stand in ``arrival.port`` and ``arrival.tls-port`` in the storage folder and in the log.

    Raises:
        ConfigInvalid: the configuration file has mistakes.
        NodeError: the port cannot be had.
    """
    warnings.simplefilter("ignore")  # pydicom's quote values of the data set
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    watched, clock = WatchedSite(config_path), Clock()
    loaded = watched.current()
    spool = Spool(loaded.storage)
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.migrate()
    migrate(loaded.database_url)
    engine, notify = EngineClient(loaded.database_url), Notifier(loaded)
    reception = Reception(watched.current, spool, ledger, engine, notify, clock)
    spool.open_landing()
    reception.take_up()
    commitments = Commitments(lambda: watched.current().site, spool, ledger, engine, notify)
    scp = StorageScp(lambda: watched.current().site, spool, reception, clock, commitments)
    port = scp.start(_port_before(loaded.storage))
    _announce(loaded, port, scp.tls_port)
    if not loaded.site.senders:
        _log.warning("arrival.no-senders")
    reserve_bytes = loaded.site.node.disk.reserve_gb * 1e9
    watchman = Watchman(lambda: watched.mistakes, spool.free_bytes, reserve_bytes, notify)
    certificates = CertificateWatch(lambda: watched.current().site, notify, clock)
    try:
        while not stop.is_set():
            reception.wait()
            _step(reception)
            certificates.look()
            with contextlib.suppress(OSError):  # a disk that does not answer, which every C-STORE says
                watchman.look()
    finally:
        scp.stop(GRACE_SECONDS)
        spool.close_landing()
        _step(reception)
        reception.close()
        notify.close()
        engine.close()
        ledger.close()
        for name in (PORT_FILE, TLS_PORT_FILE):
            (loaded.storage / name).unlink(missing_ok=True)
        _log.info("arrival.stopped")


def _announce(loaded: LoadedSite, port: int, tls_port: int | None) -> None:
    title = loaded.site.node.ae_title
    if tls_port is not None:
        write_durably(loaded.storage / TLS_PORT_FILE, f"{tls_port}\n".encode())
        _log.info("arrival.listening-tls", port=tls_port, ae_title=title)
    write_durably(loaded.storage / PORT_FILE, f"{port}\n".encode())
    _log.info("arrival.listening", port=port, ae_title=title)


def _port_before(storage: Path) -> int:
    """Where the process before this one listened, if it could not say good-bye."""
    try:
        return int((storage / PORT_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _step(reception: Reception) -> None:
    try:
        reception.step()
    except Exception as error:  # noqa: BLE001 - the loop goes on, the spool keeps what is not done
        _log.failure("arrival.step-failed", error)
