"""Destinations that do something wrong with every structure set they are sent, each a server of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bare_receiver import acceptance, read_pdu

ABORT = b"\x07\0\0\0\0\4\0\0\0\0"


class Destination:
    """Listens, and does with each connection what ``behave`` does; a connection in hand stays open until the end."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._behave(connection)


def _accepted(connection: socket.socket) -> None:
    connection.sendall(acceptance(read_pdu(connection)))


def _all_taken(connection: socket.socket) -> None:
    _accepted(connection)
    while True:
        pdu = read_pdu(connection)
        if pdu[0] == 4 and pdu[11] == 2:  # last fragment of a data set, PS3.8 E.2
            return


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def accepts_and_aborts(connection: socket.socket) -> None:
    _accepted(connection)
    connection.sendall(ABORT)


def aborts_in_the_instance(connection: socket.socket) -> None:
    _accepted(connection)
    read_pdu(connection)
    connection.sendall(ABORT)


def closes_before_the_answer(connection: socket.socket) -> None:
    _all_taken(connection)
    _hang_up(connection)


def closes_at_once(connection: socket.socket) -> None:
    _hang_up(connection)


def never_answers(connection: socket.socket) -> None:
    read_pdu(connection)


def takes_all_and_says_nothing(connection: socket.socket) -> None:
    _all_taken(connection)


def speaks_http(connection: socket.socket) -> None:
    read_pdu(connection)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    _hang_up(connection)


def answers_with_2_gib(connection: socket.socket) -> None:
    _all_taken(connection)
    connection.sendall(b"\4\0\x7f\xff\xff\xff")
    while True:
        connection.sendall(bytes(1 << 20))


@dataclass(frozen=True)
class Wrong:
    """What a destination does, and the code of the attempt.

    Attributes:
        name: in the configuration.
        behave: done with each connection; a status that is answered; None if nobody listens.
        codes: any of them is right: where the peer breaks off, it may be noticed at either end of a PDU.
        again: whether it is tried again.
        silent: whether only the sender's deadline is sure to end it.
    """

    name: str
    behave: Callable[[socket.socket], None] | int | None
    codes: frozenset[str]
    again: bool = True
    silent: bool = False


def _wrong(name: str, behave: object, *codes: str, again: bool = True, silent: bool = False) -> Wrong:
    return Wrong(name, behave, frozenset(f"delivery.{code}" for code in codes), again, silent)  # type: ignore[arg-type]


WRONG = (
    _wrong("accepts-and-aborts", accepts_and_aborts, "aborted"),
    _wrong("aborts-in-the-instance", aborts_in_the_instance, "aborted"),
    _wrong("closes-before-the-answer", closes_before_the_answer, "aborted"),
    _wrong("closes-at-once", closes_at_once, "aborted"),
    _wrong("never-answers", never_answers, "no-association-answer", silent=True),
    _wrong("says-nothing", takes_all_and_says_nothing, "no-response", silent=True),
    _wrong("speaks-http", speaks_http, "aborted"),
    _wrong("answers-with-2-gib", answers_with_2_gib, "aborted", "no-response", silent=True),
    _wrong("is-gone", None, "no-connection"),
    _wrong("out-of-resources", 0xA700, "out-of-resources"),
    _wrong("out-of-other-resources", 0xA7FF, "out-of-resources"),
    _wrong("coerces", 0xB000, "coerced", again=False),
    _wrong("discards-elements", 0xB006, "elements-discarded", again=False),
    _wrong("finds-it-unlike", 0xB007, "stored-although-unlike-class", again=False),
    _wrong("does-not-understand", 0xC001, "not-understood", again=False),
)
