"""A sender made of bytes, so that it can do what no toolkit lets it do; and small exact CT slices for it."""

from __future__ import annotations

import io
import socket
import struct
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset

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
        file = DicomFileLike(stream)
        file.is_little_endian, file.is_implicit_VR = True, syntax == IMPLICIT
        write_dataset(file, ds)
        return stream.getvalue()


def item(kind: int, value: bytes) -> bytes:
    """An item of an A-ASSOCIATE PDU (PS3.8 section 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(value)) + value


def element(number: int, value: bytes) -> bytes:
    """An element of a command set."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


class Peer:
    """A sender that is connected and says what it is told to."""

    def __init__(self, port: int = 0, seconds: float = 8.0, connection: socket.socket | None = None) -> None:
        self.socket = connection or socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.settimeout(seconds)
        if connection is None:
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
        end = int(len(data) * fraction) & ~1  # fragments are of even length, PS3.8 section 9.3.5.1
        for start in range(0, end, chunk):
            piece = data[start : min(start + chunk, end)]
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
