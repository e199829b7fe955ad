"""What a peer that sends may do wrong, done by sockets. Each fault is begun, looked at, and let go."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bare_sender import CT, EXPLICIT, Peer, ct_dataset, element, encoded
from peer_faults.servers import CALLER, FROM_ELSEWHERE, TITLE

MANY = 200
PLACES = 300
LARGE, LARGE_MIB = 100, 32
SILENCE_SECONDS = 35.0
TLS_HELLO = bytes.fromhex("16030100c8010000c4") + bytes(190)
ABORT = "abort"


@dataclass
class Scene:
    """The sockets of one fault, and what was learned of it on the way."""

    port: int
    seconds: float
    """How long answers are waited for."""
    peers: list[Peer] = field(default_factory=list)
    said: str = ""

    def peer(self, source: str = "127.0.0.1") -> Peer:
        connection = socket.create_connection(("127.0.0.1", self.port), self.seconds, (source, 0))
        self.peers.append(Peer(seconds=self.seconds, connection=connection))
        return self.peers[-1]

    def associated(self, **request: object) -> Peer:
        peer = self.peer()
        peer.associate(**{"called": TITLE, "calling": CALLER, **request})
        return peer

    def close(self) -> None:
        for peer in self.peers:
            peer.socket.close()


def large_ct() -> object:
    """A slice of some 500 kB, so that half of it is more than one PDU."""
    return ct_dataset(7, Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))


def _half_sent(scene: Scene) -> Peer:
    peer = scene.associated()
    peer.begin_store(large_ct(), 0.5)
    return peer


def abort_in_an_instance(scene: Scene) -> None:
    _half_sent(scene).abort()


def close_in_an_instance(scene: Scene) -> None:
    _half_sent(scene).socket.close()


def reset_in_an_instance(scene: Scene) -> None:
    peer = _half_sent(scene)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


def silent_connection(scene: Scene) -> None:
    scene.peer()


def half_a_request(scene: Scene) -> None:
    scene.peer().send(b"\1\0\0\0\1\0abc")


def silent_association(scene: Scene) -> None:
    scene.associated()


def places_taken(scene: Scene) -> None:
    """As many associations as we take here, each with a C-ECHO and then silent for longer than one may be."""
    with contextlib.suppress(
        OSError, EOFError, AssertionError
    ):  # a server that serves one at a time takes one
        for _ in range(PLACES):
            scene.associated().echo()
    scene.said = f"{len(scene.peers)} begun"
    time.sleep(SILENCE_SECONDS)


def large_at_once(scene: Scene) -> None:
    """Many senders in the middle of a large instance each."""
    ds = ct_dataset(9, series="2.25.78", Rows=4096, Columns=4096, PixelData=bytes(LARGE_MIB << 20))
    data = encoded(ds)
    half = data[: len(data) // 2 & ~1]
    pieces = [
        half[start : start + 16_000] for start in range(0, len(half), 16_000)
    ]  # as long as all of them take
    begun = 0
    with contextlib.suppress(OSError, EOFError, AssertionError):
        for number in range(LARGE):
            peer = scene.associated()
            peer.send(peer.store_request(f"2.25.78.{number}"))
            for piece in pieces:
                peer.send(peer.p_data(1, 0, piece))
            begun += 1
    time.sleep(1)
    scene.said = f"{begun} in hand"


def stall_in_a_pdu(scene: Scene) -> None:
    _half_sent(scene).send(b"\4\0\0\0\x20\0abc")


def stall_between_pdus(scene: Scene) -> None:
    _half_sent(scene)


def drip(scene: Scene) -> None:
    """A byte now and then, for ever."""
    peer = scene.associated()
    peer.send(b"\4\0\0\0\x20\0")

    def go_on() -> None:
        with contextlib.suppress(OSError):
            while True:
                time.sleep(0.2)
                peer.send(b"\0")

    threading.Thread(target=go_on, daemon=True).start()


def answers_unread(scene: Scene) -> None:
    """Requests without end from one who reads no answer."""
    peer = scene.associated()
    request = peer.command(
        3,
        element(2, b"1.2.840.10008.1.1"),
        element(0x100, b"\x30\0"),
        element(0x110, b"\7\0"),
        element(0x800, b"\1\1"),
    )
    peer.socket.settimeout(1.0)
    with contextlib.suppress(OSError):
        for _ in range(4000):
            peer.send(request * 50)


def silent_connections(scene: Scene) -> None:
    for _ in range(40):
        scene.peer()


def many_at_once(scene: Scene) -> None:
    """How many are answered, and how soon the last."""
    begun, answers = time.monotonic(), []

    def one() -> None:
        with contextlib.suppress(OSError, EOFError):
            peer = scene.peer()
            peer.request(called=TITLE, calling=CALLER)
            answers.append(peer.pdu()[0])

    threads = [threading.Thread(target=one) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken, turned_away = answers.count(2), answers.count(3)
    scene.said = f"{taken} accepted, {turned_away} rejected, {MANY - taken - turned_away} not answered"
    scene.said += f" in {time.monotonic() - begun:.1f} s"


def _claims(peer: Peer, kind: int) -> str:
    peer.socket.settimeout(3)
    swallowed = 0
    with contextlib.suppress(OSError):
        peer.send(struct.pack(">BBL", kind, 0, 0x7FFFFFF0))
        for _ in range(300):
            peer.send(bytes(1 << 20))
            swallowed += 1
    return f"{swallowed} MiB taken"


def request_of_2_gib(scene: Scene) -> None:
    scene.said = _claims(scene.peer(), 1)


def data_of_2_gib(scene: Scene) -> None:
    scene.said = _claims(scene.associated(), 4)


def _garbage(scene: Scene, data: bytes) -> None:
    with contextlib.suppress(OSError):
        scene.peer().send(data)


def http(scene: Scene) -> None:
    _garbage(scene, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def tls_hello(scene: Scene) -> None:
    _garbage(scene, TLS_HELLO)


def noise(scene: Scene) -> None:
    _garbage(scene, b"\xa5" + os.urandom(1 << 20))


def unknown_pdu(scene: Scene) -> None:
    _garbage(scene, b"\x09\0\0\0\0\4abcd")


def data_before_a_request(scene: Scene) -> None:
    _garbage(scene, struct.pack(">BBL", 4, 0, 6) + struct.pack(">LBB", 2, 1, 3))


def data_without_a_command(scene: Scene) -> None:
    peer = scene.associated()
    peer.send(peer.p_data(1, 2, b"no command before this"))


def endless_command(scene: Scene) -> None:
    peer = scene.associated()
    with contextlib.suppress(OSError):
        for _ in range(80):
            peer.send(peer.p_data(1, 1, bytes(100_000)))


def contexts_128(scene: Scene) -> None:
    other = "1.2.840.10008.5.1.4.1.1.4"
    contexts = {number: (CT if number == 255 else other, [EXPLICIT]) for number in range(1, 256, 2)}
    peer = scene.associated(contexts=contexts)
    scene.said = f"stored with {peer.store(ct_dataset(8), context=255):04X}"
    peer.release()


def _turned_away(scene: Scene, source: str = "127.0.0.1", **request: str) -> None:
    peer = scene.peer(source)
    peer.request(**{"called": TITLE, "calling": CALLER, **request})
    try:
        kind, body = peer.pdu()
    except (OSError, EOFError):
        scene.said = "closed"
        return
    finally:
        peer.socket.close()
    scene.said = (
        f"rejected {body[1]}/{body[2]}/{body[3]}" if kind == 3 else {2: "accepted", 7: ABORT}.get(kind, "?")
    )


def unknown_caller(scene: Scene) -> None:
    _turned_away(scene, calling="NOBODY")


def unknown_called(scene: Scene) -> None:
    _turned_away(scene, called="OTHER")


def wrong_address(scene: Scene) -> None:
    _turned_away(scene, FROM_ELSEWHERE)


@dataclass(frozen=True)
class Fault:
    """One thing that a peer does wrong.

    Attributes:
        name: for people.
        begin: does it.
        event: the one line in our log.
        ends: how we end the connection: ``abort``, ``closed``, or nothing to see ("").
        waits: until its deadline.
        takes_long: too long for the suite.
    """

    name: str
    begin: Callable[[Scene], None]
    event: str
    ends: str = ""
    waits: bool = False
    takes_long: bool = False


CUT_OFF, VIOLATED, NO_DICOM = "association.cut-off", "association.violated", "association.not-dicom"
BROKEN_OFF, REFUSED = "association.broken-off", "association."
FAULTS = (
    Fault("A-ABORT in the middle of an instance", abort_in_an_instance, BROKEN_OFF),
    Fault("TCP closed in the middle of an instance", close_in_an_instance, BROKEN_OFF),
    Fault("TCP reset in the middle of an instance", reset_in_an_instance, BROKEN_OFF),
    Fault("connection that says nothing", silent_connection, CUT_OFF, "closed", waits=True),
    Fault("half an A-ASSOCIATE-RQ, then silence", half_a_request, CUT_OFF, "closed", waits=True),
    Fault("association that says nothing", silent_association, CUT_OFF, ABORT, waits=True),
    Fault(
        f"{PLACES} associations, silent after a C-ECHO for {SILENCE_SECONDS:.0f} s",
        places_taken,
        "",
        takes_long=True,
    ),
    Fault(f"{LARGE} senders in the middle of {LARGE_MIB} MiB each", large_at_once, "", takes_long=True),
    Fault("stall in the middle of a PDU", stall_in_a_pdu, CUT_OFF, ABORT, waits=True),
    Fault("stall between PDUs of an instance", stall_between_pdus, CUT_OFF, ABORT, waits=True),
    Fault("a PDU at five bytes a second", drip, CUT_OFF, ABORT, waits=True),
    Fault("requests without end, no answer read", answers_unread, BROKEN_OFF, waits=True),
    Fault("40 connections that say nothing", silent_connections, CUT_OFF, "closed", waits=True),
    Fault(f"{MANY} associations at once", many_at_once, BROKEN_OFF),
    Fault("A-ASSOCIATE-RQ that claims 2 GiB", request_of_2_gib, NO_DICOM, ABORT),
    Fault("P-DATA-TF that claims 2 GiB", data_of_2_gib, VIOLATED, ABORT),
    Fault("HTTP", http, NO_DICOM, ABORT),
    Fault("TLS hello", tls_hello, NO_DICOM, ABORT),
    Fault("1 MiB of noise", noise, NO_DICOM, ABORT),
    Fault("PDU of an unknown type", unknown_pdu, NO_DICOM, ABORT),
    Fault("data before any request", data_before_a_request, "association.out-of-step", ABORT),
    Fault("data without a command", data_without_a_command, VIOLATED, ABORT),
    Fault("command set without end", endless_command, VIOLATED, ABORT),
    Fault("128 presentation contexts", contexts_128, "association.released"),
    Fault("unknown calling AE title", unknown_caller, "association.calling-ae-title-unknown"),
    Fault("unknown called AE title", unknown_called, "association.called-ae-title-unknown"),
    Fault("right AE title, wrong address", wrong_address, "association.address-not-allowed"),
)


def other_client(port: int, seconds: float = 5.0, number: int = 1) -> float | None:
    """Seconds that somebody else needs for an association, a C-ECHO, a C-STORE and the release; None if in vain."""
    begun = time.monotonic()
    try:
        with Peer(port, seconds) as peer:
            peer.associate(called=TITLE, calling=CALLER)
            stored = peer.store(ct_dataset(number, series="2.25.77"))
            if peer.echo() or stored:
                return None
            peer.release()
    except (OSError, EOFError, AssertionError):
        return None
    return time.monotonic() - begun


def ending(peer: Peer, seconds: float) -> tuple[str, float]:
    """How the connection ends and after how long; ``open`` if it does not in that time."""
    begun = time.monotonic()
    peer.socket.settimeout(seconds)
    try:
        while True:
            kind, _ = peer.pdu()
            if kind == 7:
                return ABORT, time.monotonic() - begun
    except TimeoutError:
        return "open", time.monotonic() - begun
    except (OSError, EOFError):
        return "closed", time.monotonic() - begun
