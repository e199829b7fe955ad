"""The arrival process: stands by until no other host receives, then receives until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from typing import TYPE_CHECKING, Final

import pydicom

from service.arrival.certificate_watch import CertificateWatch
from service.arrival.commitments import Commitments
from service.arrival.port_file import PortFile
from service.arrival.receiver_place import ReceiverPlace
from service.arrival.reception import Clock, Reception
from service.arrival.storage_scp import StorageScp
from service.arrival.watchman import Watchman
from service.backlog.engine import EngineClient, migrate
from service.backlog.ledger import Ledger
from service.backlog.notify import Notifier
from service.backlog.refusals import RefusalKeeper, Refusals
from service.backlog.spool import Spool
from service.config.reader import WatchedSite
from service.log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    from service.config.site import Site

GRACE_SECONDS: Final = 5.0
"""How long associations may go on after the process was told to stop."""

REPLACED: Final = 3
"""Exit code of a receiver in whose place another host receives."""

_log = EventLog("arrival")


def run(config_path: Path, stop: threading.Event) -> None:
    """Receive until ``stop`` is set; then let open associations finish for a moment.

    On a database that several hosts share it first stands by until no other receives. The port stands in
    ``arrival.port`` in the storage folder and in the event ``arrival.listening``.

    Raises:
        ConfigInvalid: the configuration file has mistakes.
        NodeError: the port cannot be had.
    """
    warnings.simplefilter("ignore")  # pydicom's quote values of the data set
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    watched = WatchedSite(config_path)
    loaded = watched.current()
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.migrate()
    migrate(loaded.database_url)
    port_file = PortFile(loaded)
    port_before = port_file.port_before()
    silent_seconds = loaded.site.node.takeover_seconds
    place = ReceiverPlace(loaded.database_url, loaded.storage / "locks", silent_seconds, port_file.stand_by)
    if place.wait(stop):
        _receive(watched, ledger, place, port_file, port_before, stop)
    port_file.remove_own()
    place.leave()
    ledger.close()
    _log.info("arrival.stopped")


def _receive(
    watched: WatchedSite,
    ledger: Ledger,
    place: ReceiverPlace,
    port_file: PortFile,
    port_before: int,
    stop: threading.Event,
) -> None:
    loaded, clock = watched.current(), Clock()
    spool = Spool(loaded.storage)
    engine, notify = EngineClient(loaded.database_url), Notifier(loaded)
    reception = Reception(watched.current, spool, ledger, engine, notify, clock)
    spool.open_landing()
    reception.take_up()
    commitments = Commitments(lambda: watched.current().site, spool, ledger, engine, notify)
    refusals = Refusals()
    keeper = RefusalKeeper(refusals, ledger, loaded.storage)
    scp = StorageScp(lambda: watched.current().site, spool, reception, clock, commitments, refusals)
    port = scp.start(port_before)
    port_file.listen(port, scp.tls_port)
    _say_where(loaded.site, port, scp.tls_port)
    reserve_bytes = loaded.site.node.disk.reserve_gb * 1e9
    watchman = Watchman(lambda: watched.mistakes, spool.free_bytes, reserve_bytes, notify)
    certificates = CertificateWatch(lambda: watched.current().site, notify, clock)
    try:
        while not stop.is_set():
            reception.wait()
            if not place.is_ours():  # we were frozen or cut off: another knows better now what has arrived
                _log.error("arrival.replaced")
                os._exit(REPLACED)  # who sends to us just now hears no success and sends again
            _step(reception)
            certificates.look()
            keeper.keep(clock())
            with contextlib.suppress(OSError):  # a disk that does not answer, which every C-STORE says
                watchman.look()
            if place.is_shared:
                reception.look_around()
    finally:
        scp.stop(GRACE_SECONDS)
        spool.close_landing()
        _step(reception)
        keeper.keep(clock(), ending=True)
        reception.close()
        notify.close()
        engine.close()
        port_file.remove()


def _say_where(site: Site, port: int, tls_port: int | None) -> None:
    title = site.node.ae_title
    if tls_port is not None:
        _log.info("arrival.listening-tls", port=tls_port, ae_title=title)
    _log.info("arrival.listening", port=port, ae_title=title)
    if not site.senders:
        _log.warning("arrival.no-senders")


def _step(reception: Reception) -> None:
    try:
        reception.step()
    except Exception as error:  # noqa: BLE001 - the loop goes on, the spool keeps what is not done
        _log.failure("arrival.step-failed", error)
