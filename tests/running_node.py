"""A whole node for tests: its processes, a TPS that sends to it and a TPS that receives from it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import yaml
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, RTStructureSetStorage, Verification

from service.backlog.ledger import Ledger
from service.backlog.records import Job, JobState
from service.delivery.answers import answers_kept

_MARK = "DELINEATE_NODE_UNDER_TEST"

LONGEST_SECONDS = 180.0
"""Until a test gives up; a machine with much else to do may need it."""


class ReceivingTps:
    """A Storage SCP that keeps every RTSTRUCT it is sent, and what is of further ``classes``, by SOP Instance UID."""

    def __init__(
        self,
        ae_title: str = "TPS",
        answer: Callable[[int], int] | None = None,
        *,
        port: int = 0,
        classes: Sequence[str] = (),
    ) -> None:
        self.classes = (RTStructureSetStorage, *classes)
        self.ae_title = ae_title
        self.received: dict[str, bytes] = {}
        self.deliveries: list[str] = []
        self.changed: list[str] = []
        """UIDs under which something else came than before."""
        self.answer = answer or (lambda _count: 0x0000)
        self._lock = threading.Lock()
        self.port = port
        self.open()

    def open(self) -> None:
        """Listen, at first or again after :meth:`close`, then on the same port."""
        ae = AE(self.ae_title)
        for each in (*self.classes, Verification):
            ae.add_supported_context(each)
        ae.maximum_associations = 50
        self._server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        assert self._server is not None
        self.port = int(self._server.socket.getsockname()[1])

    def _store(self, event: evt.Event) -> int:
        with self._lock:
            status = self.answer(len(self.deliveries))
            if status in (0x0000, 0xB000, 0xB006, 0xB007):
                uid = str(event.request.AffectedSOPInstanceUID)
                self.deliveries.append(uid)
                data = event.encoded_dataset()
                if self.received.setdefault(uid, data) != data:
                    self.changed.append(uid)
            return status

    def structure_sets(self) -> list[pydicom.Dataset]:
        """What arrived, in order of arrival, one for each SOP Instance UID."""
        with self._lock:
            return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(data)) for data in self.received.values()]

    def wait_for(self, count: int, seconds: float = LONGEST_SECONDS) -> list[pydicom.Dataset]:
        """Wait until ``count`` different structure sets are here."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            if time.monotonic() > deadline:
                message = f"{len(self.received)} of {count} structure sets after {seconds} s"
                raise TimeoutError(message)
            time.sleep(0.05)
        return self.structure_sets()

    def of_series(self, series_instance_uid: str) -> list[pydicom.Dataset]:
        """The structure sets that refer to a series, in order of arrival."""
        return [ds for ds in self.structure_sets() if series_of(ds) == series_instance_uid]

    def wait_for_series(
        self, series_instance_uid: str, count: int = 1, seconds: float = LONGEST_SECONDS
    ) -> list[pydicom.Dataset]:
        """Wait until ``count`` different structure sets of a series are here."""
        wait_until(lambda: len(self.of_series(series_instance_uid)) >= count, seconds)
        return self.of_series(series_instance_uid)

    def close(self) -> None:
        """Listen no more; nothing happens if it does not."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None


class NoticeBoard:
    """A web server that keeps what a node posts to it."""

    def __init__(self) -> None:
        self.notices: list[dict] = []
        self.out_of_order = False
        board = self

        class _Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                board.notices.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(500 if board.out_of_order else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/notices"

    def of(self, code: str) -> list[dict]:
        """Notices with that code."""
        return [notice for notice in self.notices if notice["code"] == code]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def series_of(structure_set: pydicom.Dataset) -> str:
    """SeriesInstanceUID of the CT that a structure set refers to."""
    frame = structure_set.ReferencedFrameOfReferenceSequence[0]
    return str(frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID)


def wait_until(true: Callable[[], object], seconds: float = LONGEST_SECONDS) -> None:
    """Wait until ``true()`` is so."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            message = f"not so after {seconds} s"
            raise TimeoutError(message)
        time.sleep(0.05)


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send_ct(
    files: Sequence[Path], port: int, *, calling: str = "CTSCANNER", called: str = "DELINEATE"
) -> list[int]:
    """C-STORE files over one association; the status of each."""
    ae = AE(calling)
    ae.dimse_timeout = ae.network_timeout = 120  # a disk that is busy just after an installation answers late
    datasets = [pydicom.dcmread(file) for file in files]
    for syntax in {ds.file_meta.TransferSyntaxUID for ds in datasets}:
        ae.add_requested_context(CTImageStorage, syntax)
    association = ae.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established, "the node did not take the association"
    try:
        with answers_kept(association):
            return [int(association.send_c_store(ds).Status) for ds in datasets]
    finally:
        association.release()


class RunningNode:
    """``delineate serve`` in a folder of its own, started, killed and started again at will."""

    def __init__(
        self,
        folder: Path,
        config: dict,
        environment: dict[str, str] | None = None,
        *,
        storage: Path | None = None,
    ) -> None:
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self.storage = storage or folder / "var"
        config.setdefault("node", {}).update(port=config["node"].get("port", 0), storage=str(self.storage))
        config.setdefault("console", {"enabled": False})  # its port is one for all nodes of a machine
        self.config_file.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        self.environment = environment or {}
        self.log_file = folder / "node.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = LONGEST_SECONDS, **environment: str) -> RunningNode:
        """Start it and wait until the SCP listens."""
        port_file = self.storage / "arrival.port"
        port_file.unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "service", "serve", "--config", str(self.config_file)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", _MARK: str(self.folder)}
                | self.environment
                | environment,
            )
        deadline = time.monotonic() + seconds
        while not port_file.exists():
            if self.process.poll() is not None:
                message = f"the node ended with {self.process.returncode}:\n{self.log()[-4000:]}"
                raise RuntimeError(message)
            if time.monotonic() > deadline:
                message = f"the node did not listen:\n{self.log()[-4000:]}"
                raise TimeoutError(message)
            time.sleep(0.05)
        return self

    @property
    def port(self) -> int:
        return int((self.storage / "arrival.port").read_text())

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, name: str | None = None) -> list[dict]:
        """Log events of that name, or all."""
        found = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [event for event in found if name in (None, event.get("event"))]

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``delineate COMMAND --config ...`` and return what it printed."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "service", *arguments, "--config", str(self.config_file)],
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
            cwd=self.folder,
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """What the node says of its work."""
        database = yaml.safe_load(self.config_file.read_text())["node"].get("database", "sqlite")
        url = f"sqlite:///{self.storage / 'delineate.sqlite'}" if database == "sqlite" else database
        ledger = Ledger(url, self.storage)
        try:
            yield ledger
        finally:
            ledger.close()

    def jobs_of(self, series_instance_uid: str) -> list[Job]:
        """Jobs of a series, oldest first."""
        with self.ledger() as ledger:
            return ledger.jobs_of_series(series_instance_uid)[::-1]

    def wait_for_job(
        self, series_instance_uid: str, *states: JobState, number: int = 1, seconds: float = LONGEST_SECONDS
    ) -> Job:
        """Wait until the ``number``-th job of a series is in one of ``states``."""
        with self.ledger() as ledger:

            def found() -> list[Job]:
                jobs = ledger.jobs_of_series(series_instance_uid)[::-1]
                return jobs[number - 1 : number]

            wait_until(lambda: any(job.state in states for job in found()), seconds)
            return found()[0]

    def processes(self) -> dict[int, str]:
        """Process ids of the node, orphans too, with their role; found in /proc by a word of the environment."""
        mark = f"{_MARK}={self.folder}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            role = words[words.index(b"service") + 1].decode() if b"service" in words else "other"
            found[int(entry.name)] = role
        return found

    def kill(self, role: str) -> int:
        """``kill -9`` of the process of that role, waited for if it is not there yet; its id."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [pid for pid, its in self.processes().items() if its == role]
            return bool(found)

        wait_until(look)
        os.kill(found[0], signal.SIGKILL)
        if self.process is not None and found[0] == self.process.pid:
            self.process.wait()
        return found[0]

    def kill_all(self) -> None:
        """``kill -9`` of every process of the node at once, also of what the supervisor starts meanwhile."""
        while found := self.processes():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """Ask it to end and wait; its exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0 if self.process is None else self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise


@contextmanager
def running_node(folder: Path, config: dict, **environment: str) -> Iterator[RunningNode]:
    """A node that is stopped at the end, however the test ends."""
    node = RunningNode(folder, config, environment)
    try:
        yield node.start()
    finally:
        try:
            node.stop()
        finally:
            if node.process is not None and node.process.poll() is None:
                node.kill_all()
