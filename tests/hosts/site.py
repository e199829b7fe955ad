"""A site of several hosts: a database, a TPS, a scanner, and hosts that each run ``delineate serve``.

The storage folder is one folder that all of them see, as it is where machines share it by a network. A host that
is cut off here still reaches it; on a network file system it would not, so that its late results are met more often
here than there.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pydicom
import yaml
from analytic_bundle import MODEL, STRUCTURES, small_ct, write_bundle
from hosts.namespaces import Network
from postgresql import Cluster
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, RTStructureSetStorage
from running_node import series_of, wait_until

from service.backlog.ledger import Ledger
from service.backlog.records import DeliveryState, JobState
from service.delivery.answers import answers_kept
from service.dicom.ct_writer import uid_of

PORT = 11112
TAKEOVER_SECONDS = 6
DESTINATIONS = ("planning", "archive")
_MARK = "DELINEATE_HOST_UNDER_TEST"


class Destinations:
    """Two Storage SCPs on the host ``tps``: what came, how often, and how many transfers there were at a time."""

    def __init__(self, network: Network, seconds: float = 0.1) -> None:
        self.sets: dict[str, dict[str, bytes]] = {name: {} for name in DESTINATIONS}
        self.changed: list[str] = []
        self.repeats = 0
        self.most_at_once: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._servers = []
        with network.inside("tps"):
            for number, name in enumerate(DESTINATIONS):
                ae = AE(name.upper())
                ae.add_supported_context(RTStructureSetStorage)
                ae.maximum_associations = 50
                ae.network_timeout = 20
                handlers = [(evt.EVT_C_STORE, self._store, [name])]
                address = (network.addresses["tps"], PORT + number)
                self._servers.append(ae.start_server(address, block=False, evt_handlers=handlers))

    def _store(self, event: evt.Event, name: str) -> int:
        with self._lock:
            self._now[name] += 1
            self.most_at_once[name] = max(self.most_at_once[name], self._now[name])
        time.sleep(self._seconds)
        uid, data = str(event.request.AffectedSOPInstanceUID), event.encoded_dataset()
        with self._lock:
            self._now[name] -= 1
            self.repeats += uid in self.sets[name]
            if self.sets[name].setdefault(uid, data) != data:
                self.changed.append(uid)
        return 0x0000

    def count(self) -> int:
        """Different structure sets at the destination that has fewest."""
        return min(len(sets) for sets in self.sets.values())

    def by_series(self, name: str) -> Counter[str]:
        """How many different structure sets of each series one destination has."""
        files = [pydicom.filebase.DicomBytesIO(data) for data in self.sets[name].values()]
        return Counter(series_of(pydicom.dcmread(file)) for file in files)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()


@dataclass
class Host:
    """One host of the node."""

    name: str
    network: Network
    folder: Path
    roles: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """``delineate serve`` under the host's own name and on its own network."""
        words = [sys.executable, "-P", "-m", "service", "serve", "--config", str(self.folder / "config.yaml")]
        words += ["--roles", self.roles]
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name, *words]
        mark = {_MARK: str(self.folder), "OMP_NUM_THREADS": "1"}
        with self.network.inside(self.name), self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                named, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **mark}
            )

    def pids(self) -> list[int]:
        """All processes of the host, found by a word of their environment."""
        mark, found = f"{_MARK}={self.folder}".encode(), []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, seconds: float = 40) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """``kill -9`` of all there is."""
        while self.pids():
            self.signal(signal.SIGKILL)
            if self.process is not None:
                self.process.wait()

    def events(self, name: str) -> list[dict]:
        """Events of that name in its log."""
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if event.get("event") == name]

    def receives(self) -> bool:
        """Whether it says that it does."""
        file = self.folder.parent / "storage" / "hosts" / self.name / "arrival.port"
        with suppress(OSError):
            return file.read_text().strip() == str(PORT)
        return False


@dataclass
class Site:
    """Everything, and what was sent to it."""

    network: Network
    server: Cluster
    url: str
    tps: Destinations
    hosts: dict[str, Host]
    folder: Path
    sent: dict[str, int] = field(default_factory=dict)
    """Series that were acknowledged: how many slices."""

    def ledger(self) -> Ledger:
        """To be used inside the host ``scanner``."""
        return Ledger(self.url, self.folder / "storage")

    def send(self, seeds: Sequence[int], seconds: float = 120) -> None:
        """Send series until each is acknowledged whole, to whichever host takes them."""
        for seed in seeds:
            files = small_ct(self.folder / f"ct-{seed}", seed, slices=8 + seed % 3)
            deadline = time.monotonic() + seconds
            while not any(self._send(files, host) for host in self.hosts.values()):
                assert time.monotonic() < deadline, "nobody takes the series"
                time.sleep(0.2)
            self.sent[uid_of(seed, 2, "series")] = len(files)

    def _listens(self, host: Host) -> bool:
        """Asked first, since pynetdicom leaves a socket behind where nobody listens."""
        with self.network.inside("scanner"), suppress(OSError):
            socket.create_connection((self.network.addresses[host.name], PORT), timeout=1).close()
            return True
        return False

    def _send(self, files: Sequence[Path], host: Host) -> bool:
        if not self._listens(host):
            return False
        ae = AE("CTSCANNER")
        ae.connection_timeout, ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = 1, 5, 10, 10
        ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        with self.network.inside("scanner"):
            association = ae.associate(self.network.addresses[host.name], PORT, ae_title="DELINEATE")
        if not association.is_established:
            return False
        with answers_kept(association):
            for file in files:
                try:
                    answer = association.send_c_store(pydicom.dcmread(file))
                except RuntimeError:  # it is gone
                    return False
                if answer.get("Status") != 0x0000:
                    association.abort()
                    return False
        association.release()
        return True

    def restart_database(self, down_seconds: float = 2) -> None:
        """Kill the server with all its processes, and start it again after a while."""
        self.server.crash()
        time.sleep(down_seconds)
        with self.network.inside("database"):
            self.server.start()

    def wait_for_all(self, seconds: float = 120) -> None:
        """Until everything that was acknowledged is at both destinations and the ledger says so."""

        def done() -> bool:
            if self.tps.count() < len(self.sent):
                return False
            with suppress(psycopg.OperationalError):
                ledger = self.ledger()
                try:
                    return len(ledger.find_jobs(JobState.DONE, limit=None)) >= len(self.sent)
                finally:
                    ledger.close()
            return False

        with self.network.inside("scanner"):
            wait_until(done, seconds)

    def count(self) -> dict[str, int]:
        """What was lost and what came or was done twice."""
        with self.network.inside("scanner"):
            ledger = self.ledger()
            jobs = ledger.find_jobs(limit=None)
            deliveries = [each for job in jobs for each in ledger.deliveries(job.id)]
            ledger.close()
        came = [self.tps.by_series(name) for name in DESTINATIONS]
        return {
            "series": len(self.sent),
            "lost": sum(len(self.sent.keys() - each.keys()) for each in came),
            "duplicated": sum(sum(each.values()) - len(each) for each in came),
            "unasked": sum(len(each.keys() - self.sent.keys()) for each in came),
            "changed": len(self.tps.changed),
            "further jobs": len(jobs) - len(self.sent),
            "further deliveries": len(deliveries) - len(DESTINATIONS) * len(self.sent),
            "not delivered": sum(each.state is not DeliveryState.DELIVERED for each in deliveries),
        }


NOTHING_WRONG = dict.fromkeys(
    ("lost", "duplicated", "unasked", "changed", "further jobs", "further deliveries", "not delivered"), 0
)


@contextmanager
def site(folder: Path, roles: dict[str, str], model_seconds: float = 0.4) -> Iterator[Site]:
    """A site whose hosts have these roles; none is started yet."""
    program = MODEL.replace(
        "def segment(volume):", f"def segment(volume):\n        import time; time.sleep({model_seconds})"
    )
    write_bundle(folder / "bundles" / "analytic", program)
    (folder / "storage").mkdir()
    network = Network(["database", "tps", "scanner", *roles])
    try:
        with network.inside("database"):
            server = Cluster(network.addresses["database"])
        tps = Destinations(network)
        with network.inside("database"):
            url = server.new_database()
        hosts = {name: Host(name, network, folder / name, role) for name, role in roles.items()}
        for host in hosts.values():
            host.folder.mkdir()
            (host.folder / "config.yaml").write_text(yaml.safe_dump(_config(folder, network, url)))
        made = Site(network, server, url, tps, hosts, folder)
        try:
            yield made
        finally:
            for host in hosts.values():
                host.kill()
            tps.close()
            server.close()
    finally:
        network.close()


def _config(folder: Path, network: Network, url: str) -> dict:
    retry = {"first_seconds": 1, "factor": 1, "longest_seconds": 1}
    return {
        "node": {
            "port": PORT, "bind": "0.0.0.0", "quiet_seconds": 1, "hard_timeout_seconds": 60,
            "takeover_seconds": TAKEOVER_SECONDS, "storage": str(folder / "storage"),
            "database": url.replace("+psycopg", ""), "bundles": [str(folder / "bundles")],
            "sets_per_study_and_day": 1000,
        },
        "senders": {"CTSCANNER": None},
        "destinations": {
            name: {
                "ae_title": name.upper(), "host": network.addresses["tps"], "port": PORT + number,
                "timeout_seconds": 5, "retry": retry,
            }
            for number, name in enumerate(DESTINATIONS)
        },
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [{"name": "all", "contour": "analytic", "send_to": list(DESTINATIONS), "mode": "send"}],
    }  # fmt: skip
