"""DICOM over TLS as a server: DCMTK's tools and bare sockets as clients, let in and turned away."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from service.arrival import association as association_module
from service.dicom.transport_security import TlsUnusable

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority) -> Certificate:
    return authority.sign("node")


@pytest.fixture(scope="module")
def scanner(authority) -> Certificate:
    return authority.sign("scanner", names=("scanner.hospital.example",))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("strangers"), "Nobody Knows")


@pytest.fixture
def start_tls(start_scp, authority, node):
    """Start an SCP with TLS; keys of ``tls`` may be changed, the others are of ``node``."""

    def start(*, senders: dict[str, Any] | None = None, tls: dict[str, Any] | None = None, **keys: Any):
        section = {
            "port": 0,
            "certificate": str(node.certificate),
            "key": str(node.key),
            "trusted_certificates": str(authority.certificate),
        } | (tls or {})
        return start_scp(senders=senders, tls=section, **keys)

    return start


def echoscu(
    port: int, *, tls: Certificate | None = None, anonymous: bool = False, trusting: Authority | None = None
) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/echoscu", "-v", "-to", "10", "-aet", "ECLIPSE", "-aec", "DELINEATE"]
    if tls is not None:
        command += ["+tls", str(tls.key), str(tls.certificate)]
    if anonymous:
        command += ["+tla"]
    if trusting is not None:
        command += ["+cf", str(trusting.certificate)]
    return subprocess.run(
        [*command, "127.0.0.1", str(port)], capture_output=True, text=True, timeout=60, check=False
    )


def events(caplog, name: str) -> list[dict[str, Any]]:
    return [record.facts_ for record in caplog.records if record.getMessage() == name]


def test_dcmtk_stores_over_tls_what_it_stores_without(
    start_tls, make_ct, encode, tmp_path, scanner, authority
):
    running = start_tls()
    ds = make_ct(4)
    file = tmp_path / "slice.dcm"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(file, enforce_file_format=True)
    command = ["/usr/bin/storescu", "-v", "-aet", "ECLIPSE", "-aec", "DELINEATE"]
    command += ["+tls", str(scanner.key), str(scanner.certificate), "+cf", str(authority.certificate)]
    command += ["127.0.0.1", str(running.scp.tls_port), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (stored,) = running.spool.incoming.glob("*/*.dcm")
    assert stored.read_bytes().endswith(encode(ds))
    assert running.heard.ends == [(1, True)]


def test_large_pdus_in_records_of_any_size_arrive_whole(start_tls, make_ct, encode, scanner, authority):
    running = start_tls()
    ds = make_ct(1, PixelData=os.urandom(3_000_000), Rows=1000, Columns=1500)
    with running.associated() as plain:
        assert plain.echo() == 0
    for chunk in (1000, 16000, 120_000):
        ds.SOPInstanceUID = f"2.25.20.{chunk}"
        peer = tls_peer(running, scanner, authority)
        peer.associate()
        assert peer.store(ds, chunk=chunk) == 0x0000
        peer.release()
        stored = running.spool.instance_file("2.25.20", ds.SOPInstanceUID)
        assert stored.read_bytes().endswith(encode(ds))


def tls_peer(running, shown: Certificate | None, authority: Authority, **versions: Any):
    """A sender made of bytes, over TLS."""
    peer = running.peer()
    peer.socket.close()
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    for name, value in versions.items():
        setattr(context, name, value)
    peer.socket = context.wrap_socket(
        socket.create_connection(("127.0.0.1", running.scp.tls_port), 10), server_hostname="localhost"
    )
    return peer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_and_1_3_where_both_can(start_tls, scanner, authority, version):
    running = start_tls()
    peer = tls_peer(running, scanner, authority, maximum_version=version)
    peer.associate()
    assert peer.echo() == 0
    assert peer.socket.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    assert "GCM" in peer.socket.cipher()[0]
    peer.release()


def test_the_end_of_an_association_is_told_by_close_notify(start_tls, scanner, authority):
    peer = tls_peer(start_tls(), scanner, authority)
    peer.socket.suppress_ragged_eofs = False
    peer.associate()
    peer.send(struct.pack(">BBLL", 7, 0, 4, 0))  # A-ABORT
    assert peer.socket.recv(1) == b""  # without close_notify this raises SSLEOFError


def handshake_failures(caplog, eventually) -> list[str]:
    eventually(lambda: events(caplog, "tls.handshake-failed"))
    return [each["kind"] for each in events(caplog, "tls.handshake-failed")]


def test_a_client_of_another_authority_is_turned_away(
    start_tls, strangers, authority, scanner, caplog, eventually
):
    running = start_tls()
    stranger = strangers.sign("stranger")
    assert echoscu(running.scp.tls_port, tls=stranger, trusting=authority).returncode != 0
    assert handshake_failures(caplog, eventually) == ["not-trusted"]
    assert echoscu(running.scp.tls_port, tls=scanner, trusting=authority).returncode == 0


def test_an_expired_certificate_is_turned_away(start_tls, authority, scanner, caplog, eventually):
    running = start_tls()
    old = authority.sign("old", days=-1)
    assert echoscu(running.scp.tls_port, tls=old, trusting=authority).returncode != 0
    assert handshake_failures(caplog, eventually) == ["expired"]
    assert echoscu(running.scp.tls_port, tls=scanner, trusting=authority).returncode == 0


def test_a_client_without_certificate_is_turned_away_unless_it_may_be(
    start_tls, authority, caplog, eventually
):
    running = start_tls()
    assert echoscu(running.scp.tls_port, anonymous=True, trusting=authority).returncode != 0
    assert handshake_failures(caplog, eventually) == ["no-certificate"]
    open_to_all = start_tls(tls={"require_client_certificate": False})
    assert echoscu(open_to_all.scp.tls_port, anonymous=True, trusting=authority).returncode == 0


def test_a_client_that_does_not_trust_us_says_so(start_tls, strangers, scanner, caplog, eventually):
    running = start_tls()
    assert echoscu(running.scp.tls_port, tls=scanner, trusting=strangers).returncode != 0
    assert handshake_failures(caplog, eventually) == ["our-certificate-refused"]


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(start_tls, version, scanner, caplog, eventually):
    running = start_tls()
    command = [
        "openssl",
        "s_client",
        version,
        "-cipher",
        "ALL:@SECLEVEL=0",
        "-cert",
        str(scanner.certificate),
    ]
    command += ["-key", str(scanner.key), "-connect", f"127.0.0.1:{running.scp.tls_port}"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "alert protocol version" in done.stderr
    assert handshake_failures(caplog, eventually) == ["version"]


def test_a_cipher_without_forward_secrecy_is_refused(start_tls, scanner, caplog, eventually):
    running = start_tls()
    command = ["openssl", "s_client", "-tls1_2", "-cipher", "AES128-SHA", "-cert", str(scanner.certificate)]
    command += ["-key", str(scanner.key), "-connect", f"127.0.0.1:{running.scp.tls_port}"]
    assert subprocess.run(
        command, input="", capture_output=True, text=True, timeout=60, check=False
    ).returncode
    assert handshake_failures(caplog, eventually) == ["no-shared-cipher"]


def test_plain_dicom_on_the_tls_port_is_named_in_the_log(start_tls, caplog, eventually, scanner, authority):
    running = start_tls()
    assert echoscu(running.scp.tls_port).returncode != 0
    assert handshake_failures(caplog, eventually) == ["not-tls"]
    assert echoscu(running.scp.tls_port, tls=scanner, trusting=authority).returncode == 0


def test_tls_on_the_plain_port_is_named_in_the_log(start_tls, caplog, eventually, scanner, authority):
    running = start_tls()
    assert echoscu(running.port, tls=scanner, trusting=authority).returncode != 0
    eventually(lambda: events(caplog, "association.not-dicom"))
    assert [each["kind"] for each in events(caplog, "association.not-dicom")] == ["tls"]
    assert echoscu(running.port).returncode == 0


def test_handshakes_that_stall_hold_nobody_up_and_end(
    start_tls, caplog, eventually, scanner, authority, monkeypatch
):
    monkeypatch.setattr(association_module, "HANDSHAKE_SECONDS", 3.0)
    running = start_tls()
    stalled = [socket.create_connection(("127.0.0.1", running.scp.tls_port), 20) for _ in range(20)]
    for index, connection in enumerate(stalled):
        if index % 2:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
    began = time.monotonic()
    assert echoscu(running.scp.tls_port, tls=scanner, trusting=authority).returncode == 0
    assert time.monotonic() - began < 3.0 or events(caplog, "tls.handshake-failed") == []
    for connection in stalled:
        connection.settimeout(20)
        while connection.recv(100):
            pass
        connection.close()
    assert set(handshake_failures(caplog, eventually)) <= {"stalled"}


def test_a_peer_that_stalls_inside_a_pdu_is_cut_off(start_tls, make_ct, scanner, authority):
    running = start_tls(network_timeout_seconds=1.5)
    peer = tls_peer(running, scanner, authority)
    peer.associate()
    peer.begin_store(make_ct(), 0.5)
    peer.socket.settimeout(20)
    assert peer.ending() == "abort"


def test_a_certificate_that_is_renewed_is_shown_from_then_on(start_tls, authority, scanner, caplog, tmp_path):
    own = Authority(tmp_path / "own")
    first = own.sign("node")
    running = start_tls(tls={"certificate": str(first.certificate), "key": str(first.key)})

    def shown() -> str:
        peer = tls_peer(running, scanner, own)
        peer.associate()
        der = peer.socket.getpeercert(binary_form=True)
        peer.release()
        return hashlib.sha256(der).hexdigest()

    assert shown() == first.fingerprint
    first.key.write_text("half written")
    assert shown() == first.fingerprint
    assert events(caplog, "tls.certificate-not-taken") == [{"code": "tls.key-unusable"}]
    second = own.sign("node")
    assert shown() == second.fingerprint != first.fingerprint


@pytest.mark.parametrize("passphrase", ["right", "wrong", "missing"])
def test_a_key_with_a_passphrase_needs_the_right_one(start_tls, authority, tmp_path, monkeypatch, passphrase):
    own = Authority(tmp_path / "own").sign("node", passphrase="right")
    tls = {"certificate": str(own.certificate), "key": str(own.key), "passphrase": "${KEY_PASSPHRASE}"}
    if passphrase == "missing":
        monkeypatch.delenv("KEY_PASSPHRASE", raising=False)
    else:
        monkeypatch.setenv("KEY_PASSPHRASE", passphrase)
    if passphrase == "right":
        assert start_tls(tls=tls).scp.tls_port
        file = tmp_path / "passphrase"
        file.write_text("right\n")
        del tls["passphrase"]
        assert start_tls(tls=tls | {"passphrase_file": str(file)}).scp.tls_port
        return
    with pytest.raises(TlsUnusable) as refused:
        start_tls(tls=tls)
    assert "wrong" not in str(refused.value)


SENDER_OF_A_CERTIFICATE = "association.certificate-not-of-this-sender"


@pytest.mark.parametrize(
    ("keys", "rejection"),
    [
        ({"certificate_names": ["scanner.hospital.example"]}, None),
        ({"certificate_names": ["SCANNER"]}, None),
        ({"certificate_names": ["other.hospital.example"]}, SENDER_OF_A_CERTIFICATE),
        ({"certificate_fingerprints": ["own"]}, None),
        ({"certificate_fingerprints": ["0" * 64]}, SENDER_OF_A_CERTIFICATE),
    ],
)
def test_an_ae_title_may_be_bound_to_a_certificate(start_tls, scanner, authority, caplog, keys, rejection):
    if keys.get("certificate_fingerprints") == ["own"]:
        keys = {"certificate_fingerprints": [scanner.fingerprint]}
    running = start_tls(senders={"ECLIPSE": keys})
    done = echoscu(running.scp.tls_port, tls=scanner, trusting=authority)
    assert (done.returncode == 0) == (rejection is None)
    assert len(events(caplog, SENDER_OF_A_CERTIFICATE)) == (rejection is not None)
    assert echoscu(running.port).returncode != 0, "without TLS anybody could take the title"
    assert len(events(caplog, "association.tls-required")) == 1


def test_the_plain_port_may_be_closed(start_tls, scanner, authority):
    running = start_tls(plain_port="off")
    assert running.port == running.scp.tls_port
    assert echoscu(running.scp.tls_port, tls=scanner, trusting=authority).returncode == 0
    assert echoscu(running.port).returncode != 0


def test_the_plain_port_may_be_for_this_machine_only(start_tls, scanner, authority):
    running = start_tls(plain_port="loopback", bind="0.0.0.0")
    assert [listener.server_address[0] for listener in running.scp._listeners] == ["127.0.0.1", "0.0.0.0"]
    assert echoscu(running.port).returncode == 0


def test_a_stop_closes_both_ports_and_ends_what_is_open(start_tls, scanner, authority):
    running = start_tls()
    peer = tls_peer(running, scanner, authority)
    peer.associate()
    running.scp.stop(grace_seconds=0)
    assert peer.ending() in ("abort", "closed")
    for port in (running.port, running.scp.tls_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_files_of_the_configuration_lie_beside_it(tmp_path: Path) -> None:
    from service.config.reader import parse

    text = "node:\n  tls:\n    certificate: tls/a.pem\n    key: /etc/b.key\n    trusted_certificates: c.pem\n"
    tls = parse(text, tmp_path / "config.yaml").site.node.tls
    assert tls is not None
    assert (tls.certificate, tls.key) == (str(tmp_path / "tls" / "a.pem"), "/etc/b.key")
