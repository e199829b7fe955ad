"""Data sets as they come over the network, built small and exact."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset

from service.arrival.instance import Claim, Origin
from service.arrival.intake import Intake
from service.arrival.reception import Reception
from service.arrival.storage_scp import StorageScp
from service.backlog import ledger_tables as tables
from service.backlog.engine import EngineClient, migrate
from service.backlog.ledger import Ledger
from service.backlog.records import (
    Delivery,
    DeliveryState,
    Job,
    JobState,
    ReceivedInstance,
    RecordedSeries,
)
from service.backlog.spool import Spool
from service.config.reader import parse
from service.config.site import Site

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"


def ct_dataset(
    number: int = 1, *, series: str = "2.25.20", z_mm: float | None = None, **changed: Any
) -> Dataset:
    """A CT slice with what arrival looks at and a few pixels; ``changed`` sets attributes, None removes."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = f"{series}.{number}"
    ds.StudyDate = "20260101"
    ds.Modality = "CT"
    ds.StudyDescription = "Pelvis"
    ds.PatientName = "Canary^Patient"
    ds.PatientID = "P1"
    ds.StudyInstanceUID = "2.25.10"
    ds.SeriesInstanceUID = series
    ds.ImagePositionPatient = [-250.0, -250.0, number * 3.0 if z_mm is None else z_mm]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID = "2.25.11"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = 16
    ds.PixelSpacing = [1.0, 1.0]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
    ds.PixelData = bytes([number % 256]) * 512
    for keyword, value in changed.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    """The data set as it goes over the network."""
    ds.set_original_encoding(syntax == IMPLICIT, True)
    with io.BytesIO() as stream:
        from pydicom.filebase import DicomFileLike

        file = DicomFileLike(stream)
        file.is_little_endian, file.is_implicit_VR = True, syntax == IMPLICIT
        write_dataset(file, ds)
        return stream.getvalue()


@pytest.fixture
def make_ct():
    return ct_dataset


@pytest.fixture
def encode():
    return encoded


def item(kind: int, value: bytes) -> bytes:
    """An item of an A-ASSOCIATE PDU (PS3.8 section 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(value)) + value


def element(number: int, value: bytes) -> bytes:
    """An element of a command set."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


class Peer:
    """A sender made of bytes, so that it can do what no toolkit lets it do."""

    def __init__(self, port: int, seconds: float = 8.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.settimeout(seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.message_id = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self.read(6))
        return kind, self.read(length)

    def request(
        self,
        *,
        called: str = "DELINEATE",
        calling: str = "ECLIPSE",
        contexts: dict[int, tuple[str, list[str]]] | None = None,
        max_pdu: int = 131072,
    ) -> None:
        contexts = contexts or {1: (CT, [EXPLICIT, IMPLICIT]), 3: ("1.2.840.10008.1.1", [IMPLICIT])}
        offered = b"".join(
            item(
                0x20,
                bytes([number, 0, 0, 0])
                + item(0x30, sop_class.encode())
                + b"".join(item(0x40, syntax.encode()) for syntax in syntaxes),
            )
            for number, (sop_class, syntaxes) in contexts.items()
        )
        user = item(0x51, struct.pack(">L", max_pdu)) + item(0x52, b"1.2.3.4")
        body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
        body += item(0x10, b"1.2.840.10008.3.1.1.1") + offered + item(0x50, user)
        self.send(struct.pack(">BBL", 1, 0, len(body)) + body)

    def associate(self, **request: Any) -> bytes:
        """Ask for an association; the body of the acceptance, or of the rejection for ``rejection``."""
        self.request(**request)
        kind, body = self.pdu()
        assert kind == 2, f"PDU of type {kind}: {body.hex()}"
        return body

    def rejection(self, **request: Any) -> tuple[int, int, int]:
        """Result, source and reason (PS3.8 Table 9-21) of the A-ASSOCIATE-RJ that is expected."""
        self.request(**request)
        kind, body = self.pdu()
        assert kind == 3, f"PDU of type {kind}: {body.hex()}"
        return body[1], body[2], body[3]

    def p_data(self, context: int, control: int, data: bytes) -> bytes:
        return struct.pack(">BBLLBB", 4, 0, len(data) + 6, len(data) + 2, context, control) + data

    def command(self, context: int, *elements: bytes) -> bytes:
        group = b"".join(elements)
        return self.p_data(context, 3, element(0, struct.pack("<L", len(group))) + group)

    def store_request(self, uid: str, *, sop_class: str = CT, context: int = 1) -> bytes:
        self.message_id += 1
        return self.command(
            context,
            element(0x0002, sop_class.encode()),
            element(0x0100, b"\x01\x00"),
            element(0x0110, struct.pack("<H", self.message_id)),
            element(0x0700, b"\0\0"),
            element(0x0800, b"\0\0"),
            element(0x1000, uid.encode()),
        )

    def begin_store(self, ds: Dataset, fraction: float, *, chunk: int = 16000) -> None:
        """Send the first part of a C-STORE and stop."""
        data = encoded(ds)
        self.send(self.store_request(ds.SOPInstanceUID))
        for start in range(0, int(len(data) * fraction), chunk):
            piece = data[start : min(start + chunk, int(len(data) * fraction))]
            self.send(self.p_data(1, 0, piece))

    def store(
        self,
        ds: Dataset,
        *,
        syntax: str = EXPLICIT,
        context: int = 1,
        chunk: int = 16000,
        uid: str | None = None,
        sop_class: str | None = None,
    ) -> int:
        """C-STORE; the status that comes back."""
        data = encoded(ds, syntax)
        request = self.store_request(
            uid or ds.SOPInstanceUID, sop_class=sop_class or ds.SOPClassUID, context=context
        )
        pieces = [data[k : k + chunk] for k in range(0, len(data), chunk)]
        last = len(pieces) - 1
        self.send(request + b"".join(self.p_data(context, 2 * (k == last), p) for k, p in enumerate(pieces)))
        return self.response()[0x0900]

    def echo(self, context: int = 3) -> int:
        self.send(
            self.command(
                context,
                element(0x0002, b"1.2.840.10008.1.1"),
                element(0x0100, b"\x30\x00"),
                element(0x0110, b"\x07\x00"),
                element(0x0800, b"\x01\x01"),
            )
        )
        return self.response()[0x0900]

    def response(self) -> dict[int, Any]:
        """The elements of the next response: two-byte ones as numbers, the others as text."""
        command = b""
        while True:
            kind, body = self.pdu()
            assert kind == 4, f"PDU of type {kind}: {body.hex()}"
            command += body[6:]
            if body[5] & 2:
                break
        found: dict[int, Any] = {}
        place = 0
        while place < len(command):
            _, number, length = struct.unpack_from("<HHL", command, place)
            value = command[place + 8 : place + 8 + length]
            text = value.strip(b"\0 ").decode("ascii", "replace")
            found[number] = int.from_bytes(value, "little") if length == 2 else text
            place += 8 + length
        return found

    def release(self) -> None:
        self.send(struct.pack(">BBLL", 5, 0, 4, 0))
        assert self.pdu()[0] == 6
        self.socket.close()

    def abort(self) -> None:
        self.send(struct.pack(">BBLL", 7, 0, 4, 0))
        self.socket.close()

    def ending(self) -> str:
        """How the node ends the connection: ``abort``, ``closed``, or the type of another PDU."""
        try:
            kind, _ = self.pdu()
        except (EOFError, ConnectionError):
            return "closed"
        return "abort" if kind == 7 else f"PDU {kind}"


@dataclass
class Heard:
    """Takes down what the SCP tells."""

    arrived_: list[tuple[int, ReceivedInstance, bool]] = field(default_factory=list)
    conflicts: list[ReceivedInstance] = field(default_factory=list)
    ends: list[tuple[int, bool]] = field(default_factory=list)

    def arrived(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        self.arrived_.append((association, instance, new))

    def conflicting(self, association: int, instance: ReceivedInstance) -> None:
        self.conflicts.append(instance)

    def ended(self, association: int, *, released: bool, at: float) -> None:
        self.ends.append((association, released))


@dataclass
class Running:
    """A Storage SCP that listens on a free port."""

    scp: StorageScp
    spool: Spool
    heard: Heard
    port: int
    peers: list[Peer] = field(default_factory=list)

    def peer(self) -> Peer:
        self.peers.append(Peer(self.port))
        return self.peers[-1]

    def associated(self, **request: Any) -> Peer:
        peer = self.peer()
        peer.associate(**request)
        return peer


@pytest.fixture
def start_scp(tmp_path):
    """Start an SCP with these keys of ``node`` and these ``senders``."""
    started = []

    def start(
        *, senders: dict[str, Any] | None = None, disk: dict[str, Any] | None = None, **node: Any
    ) -> Running:
        site = Site.model_validate(
            {
                "node": {"port": 0, "disk": disk or {"reserve_gb": 0.001}, **node},
                "senders": {"ECLIPSE": None} if senders is None else senders,
            }
        )
        spool, heard = Spool(tmp_path / "storage"), Heard()
        scp = StorageScp(lambda: site, spool, heard)
        running = Running(scp, spool, heard, scp.start())
        started.append(running)
        return running

    yield start
    for running in started:
        for peer in running.peers:
            peer.socket.close()
        running.scp.stop(grace_seconds=0)


@pytest.fixture
def eventually():
    """Wait until something holds, at most five seconds."""

    def wait(holds: Callable[[], Any], seconds: float = 5.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := holds()) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert answer
        return answer

    return wait


@dataclass
class Told:
    """Takes down what people are told."""

    messages: list[tuple[str, str, str | None]] = field(default_factory=list)

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        self.messages.append((code, sentence, job_id))

    @property
    def codes(self) -> list[str]:
        return [code for code, _, _ in self.messages]


CONFIG: dict[str, Any] = {
    "node": {"quiet_seconds": 3, "hard_timeout_seconds": 900},
    "senders": {"ECLIPSE": None, "OTHER": None},
    "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 11113}},
    "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
    "routes": [
        {"name": "CT", "when": {"Modality": "CT"}, "contour": "external", "send_to": ["tps"], "mode": "send"}
    ],
}


class Desk:
    """Arrival without a network: real spool, ledger and engine, and a clock turned by hand."""

    def __init__(self, folder: Path, config: dict[str, Any], url: str | None = None) -> None:
        self.folder = folder
        self.now = time.time()
        self.told = Told()
        self.url = url or f"sqlite:///{folder / 'delineate.sqlite'}"
        self.spool = Spool(folder)
        self.ledger = Ledger(self.url, folder)
        if url is not None:
            self.ledger.migrate()
            migrate(self.url)
        self.engine = EngineClient(self.url)
        self.configure(config)
        self.associations = itertools.count(1)
        self.start()

    def configure(self, config: dict[str, Any]) -> None:
        text = yaml.safe_dump(config, sort_keys=False)
        self.loaded = parse(text, self.folder / "config.yaml", check_bundles=False)

    def start(self) -> None:
        """Begin as after a restart: whatever was in memory is gone."""
        self.reception = Reception(
            lambda: self.loaded, self.spool, self.ledger, self.engine, self.told, lambda: self.now
        )
        self.reception.take_up()

    def close(self) -> None:
        self.reception.close()
        self.engine.close()
        self.ledger.close()

    def send(
        self,
        numbers: Any,
        *,
        released: bool = True,
        calling: str = "ECLIPSE",
        syntax: str = EXPLICIT,
        **ds: Any,
    ) -> list[int]:
        """Send slices over one association; the status of each."""
        intake = Intake(
            next(self.associations),
            Origin(calling, "DELINEATE", "192.0.2.1"),
            self.spool,
            self.reception,
            discard=(),
            reserve_bytes=0,
            clock=lambda: self.now,
        )
        statuses = []
        for number in numbers:
            self.now += 0.01
            made = ct_dataset(number, **ds)
            claim = Claim(made.SOPClassUID, made.SOPInstanceUID, syntax)
            data = memoryview(encoded(made, syntax))
            statuses.append(int(intake.store(claim, [data], len(data)).status))
            with contextlib.suppress(FileNotFoundError):
                file = self.spool.instance_file(made.SeriesInstanceUID, made.SOPInstanceUID)
                if statuses[-1] == 0:
                    os.utime(file, (self.now, self.now))
        intake.end(released=released)
        return statuses

    def wait(self, seconds: float, step: float = 1.0) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + step, until)
            self.reception.step()

    def series(self, uid: str = "2.25.20") -> RecordedSeries:
        found = self.ledger.find_series(uid)
        assert found is not None
        return found

    def jobs(self, uid: str = "2.25.20") -> list[Job]:
        """Jobs of a series, oldest first."""
        return sorted(self.ledger.jobs_of_series(uid), key=lambda job: job.revision)

    def codes(self, uid: str = "2.25.20") -> list[str]:
        """Codes of the events of a series and its jobs."""
        with self.ledger.reading() as conn:
            rows = conn.execute(sa.select(tables.event.c.code).order_by(tables.event.c.id))
            return [str(code) for code in rows.scalars()]

    def finish(self, job: Job, destination: str = "tps") -> Delivery:
        """Play contouring and delivery of a job to the end."""
        file = self.spool.job_folder(job.id) / "rtstruct.dcm"
        file.write_bytes(b"structure set")
        with self.ledger.begin() as conn:
            self.ledger.move_job(conn, job.id, JobState.CONTOURING)
            delivery = self.ledger.create_delivery(
                conn, job_id=job.id, destination=destination, file=file, sop_instance_uid="2.25.99"
            )
            self.ledger.move_job(conn, job.id, JobState.DELIVERING)
        n = self.ledger.start_attempt(delivery.id)
        how = {"status": 0, "code": "delivery.stored", "sentence": "Stored."}
        self.ledger.finish_attempt(delivery.id, n, state=DeliveryState.DELIVERED, **how)
        return delivery


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A SQLite file with all tables, to be copied: faster than to make them anew."""
    file = tmp_path_factory.mktemp("migrated") / "delineate.sqlite"
    ledger = Ledger(f"sqlite:///{file}", file.parent)
    ledger.migrate()
    ledger.close()
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def make_desk(tmp_path, migrated):
    """A desk with these changes of the configuration's top-level sections."""
    made: list[Desk] = []

    def make(url: str | None = None, **sections: Any) -> Desk:
        folder = tmp_path / f"desk{len(made)}"
        folder.mkdir()
        if url is None:
            shutil.copyfile(migrated, folder / "delineate.sqlite")
        made.append(Desk(folder, CONFIG | sections, url))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make_desk):
    return make_desk()
