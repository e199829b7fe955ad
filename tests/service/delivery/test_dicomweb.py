"""An HTTP exchange with a service that never comes to an end, by headers or by content, on one byte after the other."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.config.dicomweb_section import DicomWeb
from service.delivery import outcome
from service.delivery.dicomweb import NoExchange, Service, exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n"


@contextmanager
def dripping(first: bytes, then: bytes) -> Iterator[int]:
    """Answers with ``first`` and then byte by byte, 20 in a second; its port."""
    over = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(first)
                for number in itertools.cycle(then):
                    if over.wait(0.05):
                        return
                    connection.sendall(bytes([number]))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join(10)


@pytest.mark.parametrize(("first", "then"), [(b"HTTP/1.1 200 OK\r\nX: ", b"x"), (OK, b" ")])
def test_one_that_moves_and_never_ends_is_left(tmp_path: Path, first: bytes, then: bytes) -> None:
    with dripping(first, then) as port:
        url = f"http://127.0.0.1:{port}/dicom-web"
        service = Service(url, DicomWeb(url=url), tmp_path, timeout_seconds=0.5)
        begun = time.monotonic()
        with pytest.raises(NoExchange) as failure, exchange(service, "GET", {}) as answer:
            answer.read(1_000_000)
        assert failure.value.outcome is outcome.NO_RESPONSE
        assert 1.0 <= time.monotonic() - begun < 30


def test_time_that_we_take_ourselves_does_not_count(tmp_path: Path) -> None:
    with dripping(OK, b" ") as port:
        url = f"http://127.0.0.1:{port}/dicom-web"
        service = Service(url, DicomWeb(url=url), tmp_path, timeout_seconds=0.5)
        with exchange(service, "GET", {}) as answer:
            time.sleep(1.5)
            assert answer.next_bytes().strip() == b""


def test_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    with dripping(OK + b"[" * 300_000, b" ") as port:
        url = f"http://127.0.0.1:{port}/dicom-web"
        service = Service(url, DicomWeb(url=url), tmp_path, timeout_seconds=10)
        with exchange(service, "GET", {}) as answer:
            assert 1000 < len(answer.read(1000)) <= 1000 + (1 << 16)
