"""Peers for deliveries: scripted Storage SCPs, one that speaks bare PDUs, and a structure set to send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bare_receiver import acceptance, read_pdu
from delivery_desk import Desk, write_structure_set
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import RTStructureSetStorage, Verification

from service.delivery.storage_scu import Peer


@pytest.fixture
def make_structure_set(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "rtstruct.dcm", **how: object) -> Path:
        return write_structure_set(tmp_path / name, **how)

    return make


@pytest.fixture
def structure_set(make_structure_set: Callable[..., Path]) -> Path:
    return make_structure_set()


@pytest.fixture
def scp() -> Iterator[Callable[..., Peer]]:
    """Start a Storage SCP whose ``handler`` answers every C-STORE."""
    running = []

    def start(
        handler: Callable[[Event], object] = lambda _event: 0x0000,
        *,
        title: str = "TPS",
        port: int = 0,
        syntaxes: list[str] | None = None,
        timeout: float = 5.0,
        handlers: list[tuple[object, Callable[[Event], object]]] | None = None,
        **options: object,
    ) -> Peer:
        ae = AE(ae_title=title)
        ae.add_supported_context(Verification)
        if syntaxes != []:
            ae.add_supported_context(RTStructureSetStorage, syntaxes or [ImplicitVRLittleEndian])
        for name, value in options.items():
            setattr(ae, name, value)
        server = ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handler), *(handlers or [])]
        )
        running.append(server)
        return Peer(title, "127.0.0.1", server.server_address[1], "DELINEATE", timeout)

    yield start
    for server in running:
        server.shutdown()


@pytest.fixture
def bare_peer() -> Iterator[Callable[..., Peer]]:
    """Start a server that accepts one association byte by byte and then does what ``after`` does."""
    ends = []

    def start(after: Callable[[socket.socket], None], timeout: float = 2.0, *, answer: bool = True) -> Peer:
        server = socket.create_server(("127.0.0.1", 0))
        ends.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            with closing(connection):
                request = read_pdu(connection)
                if answer:
                    connection.sendall(acceptance(request))
                try:
                    after(connection)
                except (EOFError, OSError):
                    return  # the node hung up

        thread = threading.Thread(target=serve)
        thread.start()
        ends.append(thread)
        return Peer("TPS", "127.0.0.1", server.getsockname()[1], "DELINEATE", timeout)

    yield start
    for end in ends:
        if isinstance(end, threading.Thread):
            end.join(10)
            assert not end.is_alive()
        else:
            end.close()


@pytest.fixture(name="read_pdu")
def read_pdu_fixture() -> Callable[[socket.socket], bytes]:
    return read_pdu


@pytest.fixture
def success() -> bytes:
    """P-DATA with a C-STORE-RSP of status 0000 to message 1 in context 1 (PS3.7 9.3.1.2, PS3.8 9.3.5)."""
    elements = [(0x0100, b"\x01\x80"), (0x0120, b"\1\0"), (0x0800, b"\1\1"), (0x0900, b"\0\0")]
    command = b"".join(
        b"\0\0" + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
        for tag, value in elements
    )
    command = b"\0\0\0\0\4\0\0\0" + len(command).to_bytes(4, "little") + command
    pdv = (len(command) + 2).to_bytes(4, "big") + b"\1\3" + command
    return b"\4\0" + len(pdv).to_bytes(4, "big") + pdv


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()
