"""Delivering over TLS: to DCMTK's storescp, and to servers whose certificate is not the right one."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from running_node import free_port, wait_until

from service.config.transport_security import ClientTls
from service.delivery.association import Peer
from service.delivery.outcome import Kind
from service.delivery.storage_scu import echo, send

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.sign("node")


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Certificate:
    return authority.sign("tps", names=("localhost", "127.0.0.1", "tps.hospital.example"))


def trusting(authority: Authority, ours: Certificate | None = None, **more: Any) -> ClientTls:
    shown = {} if ours is None else {"certificate": str(ours.certificate), "key": str(ours.key)}
    return ClientTls.model_validate({"trusted_certificates": str(authority.certificate)} | shown | more)


Storescp = Callable[..., Peer]


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Storescp]:
    """Start DCMTK's storescp over TLS; what it takes lies in ``received``."""
    started = []

    def start(shown: Certificate, trusts: Authority, tls: ClientTls | None, *options: str) -> Peer:
        port = free_port()
        (tmp_path / "received").mkdir(exist_ok=True)
        command = ["/usr/bin/storescp", "-aet", "TPS", "-od", str(tmp_path / "received")]
        command += ["+tls", str(shown.key), str(shown.certificate), "+cf", str(trusts.certificate)]
        process = subprocess.Popen(
            [*command, *options, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started.append(process)
        wait_until(lambda: listens(port), 120)
        return Peer("TPS", "127.0.0.1", port, "DELINEATE", 10.0, tls)

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    """Whether somebody listens; in /proc, since a connection would be an association to storescp."""
    return any(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    )


def test_dcmtk_takes_the_very_bytes_over_tls(
    storescp: Storescp,
    authority: Authority,
    ours: Certificate,
    theirs: Certificate,
    make_structure_set: Callable[..., Path],
    tmp_path: Path,
) -> None:
    peer = storescp(theirs, authority, trusting(authority, ours), "--bit-preserving")
    large = make_structure_set(megabytes=3)
    found = send(large, peer)
    assert (found.kind, found.status) == (Kind.DONE, 0)
    (received,) = (tmp_path / "received").iterdir()
    assert received.read_bytes()[-1_000_000:] == large.read_bytes()[-1_000_000:]
    assert echo(peer).stored


def test_a_fingerprint_is_enough(
    storescp: Storescp, authority: Authority, ours: Certificate, theirs: Certificate, structure_set: Path
) -> None:
    pinned = {
        "certificate": str(ours.certificate),
        "key": str(ours.key),
        "fingerprints": [theirs.fingerprint],
    }
    peer = storescp(theirs, authority, ClientTls.model_validate(pinned))
    assert send(structure_set, peer).stored
    other = ClientTls.model_validate(pinned | {"fingerprints": ["0" * 64]})
    assert send(structure_set, replace(peer, tls=other)).code == "delivery.tls-other-fingerprint"


def test_the_name_may_be_another_than_the_host(
    storescp: Storescp, authority: Authority, ours: Certificate, structure_set: Path
) -> None:
    shown = authority.sign("elsewhere", names=("tps.hospital.example",))
    peer = storescp(shown, authority, trusting(authority, ours, server_name="tps.hospital.example"))
    assert send(structure_set, peer).stored
    assert send(structure_set, replace(peer, tls=trusting(authority, ours))).code == "delivery.tls-other-name"


def test_who_cannot_be_trusted_gets_nothing(
    storescp: Storescp, authority: Authority, ours: Certificate, theirs: Certificate, tmp_path: Path,
    structure_set: Path,
) -> None:  # fmt: skip
    strangers = Authority(tmp_path / "strangers", "Nobody Knows")
    peer = storescp(theirs, authority, trusting(strangers, ours))
    found = send(structure_set, peer)
    assert (found.code, found.kind, found.alarm) == ("delivery.tls-not-trusted", Kind.SLOW_RETRY, True)
    ended = storescp(authority.sign("ended", days=-1), authority, trusting(authority, ours))
    assert send(structure_set, ended).code == "delivery.tls-expired"
    assert list((tmp_path / "received").iterdir()) == []


@pytest.mark.parametrize("shown", ["none", "of a stranger"])
def test_a_peer_that_does_not_want_us_is_told_of(
    shown: str,
    storescp: Storescp,
    authority: Authority,
    theirs: Certificate,
    tmp_path: Path,
    structure_set: Path,
) -> None:
    stranger = Authority(tmp_path / "strangers", "Nobody Knows").sign("node")
    peer = storescp(theirs, authority, trusting(authority, stranger if shown != "none" else None))
    found = send(structure_set, peer)
    assert found.code in (
        "delivery.tls-our-certificate-refused",
        "delivery.tls-our-certificate-missing",
        "delivery.tls-no-shared-cipher",
    )
    assert found.kind is Kind.SLOW_RETRY


def test_a_plain_peer_is_named(scp: Callable[..., Peer], authority: Authority, structure_set: Path) -> None:
    peer = replace(scp(timeout=3.0), tls=trusting(authority))
    assert send(structure_set, peer).code in (
        "delivery.tls-not-tls",
        "delivery.tls-connection-lost",
        "delivery.tls-stalled",
    )


def test_an_old_server_is_refused(authority: Authority, theirs: Certificate, structure_set: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, pytest.raises(OSError, match=r"(?i)version|protocol"):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        peer = Peer("TPS", "127.0.0.1", server.getsockname()[1], "DELINEATE", 5.0, trusting(authority))
        assert send(structure_set, peer).code == "delivery.tls-version"
        thread.join(10)


def test_a_server_that_stalls_in_the_handshake_is_left(authority: Authority, structure_set: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = Peer("TPS", "127.0.0.1", server.getsockname()[1], "DELINEATE", 1.0, trusting(authority))
        began = time.monotonic()
        assert send(structure_set, peer).code == "delivery.tls-stalled"
        assert time.monotonic() - began < 10


def test_files_that_cannot_be_used_are_named_by_their_key(authority: Authority, structure_set: Path) -> None:
    broken = trusting(authority, certificate="/nowhere.pem", key="/nowhere.key")
    found = send(structure_set, Peer("TPS", "127.0.0.1", 1, "DELINEATE", 1.0, broken))
    assert found.code == "delivery.tls-key-unusable"
    assert "nowhere" not in found.sentence
