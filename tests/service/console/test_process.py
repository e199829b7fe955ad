"""The HTTP process as a process: started beside the others, restarted, over TLS, and no harm if it cannot start."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_node import RunningNode, free_port, wait_until

pytestmark = pytest.mark.slow

ROUTE = {"name": "all", "when": {"Modality": "CT"}, "contour": "external", "send_to": ["tps"], "mode": "send"}


def config(**console: object) -> dict:
    return {
        "node": {"ae_title": "DELINEATE", "disk": {"reserve_gb": 0.001}},
        "console": {"port": 0, **console},
        "senders": {"SCANNER": {"addresses": ["127.0.0.1"]}},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 1}},
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [ROUTE],
    }


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[RunningNode]]:
    started: list[RunningNode] = []
    yield started
    for node in started:
        try:
            node.stop()
        finally:
            node.kill_all()


def port_of(node: RunningNode) -> int:
    file = node.storage / "console.port"
    wait_until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def asked(url: str, context: ssl.SSLContext | None = None) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(url, timeout=20, context=context) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_starts_beside_the_others_and_again_when_it_dies(tmp_path, nodes):
    node = RunningNode(tmp_path, config())
    nodes.append(node)
    node.start()
    base = f"http://127.0.0.1:{port_of(node)}"
    assert asked(f"{base}/health") == (200, {"status": "alive"})
    wait_until(lambda: asked(f"{base}/ready")[0] == 200)
    assert node.events("console.no-accounts"), "nobody may sign in yet: the log says so"
    (node.storage / "console.port").unlink()
    died = node.kill("console")
    second = f"http://127.0.0.1:{port_of(node)}"
    assert asked(f"{second}/health")[0] == 200
    assert died not in node.processes()
    starts = json.loads(next(node.storage.glob("starts.*.json")).read_text())
    assert starts["console"] == 2
    assert starts["arrival"] == 1
    assert node.stop() == 0
    assert node.processes() == {}


def test_a_port_that_is_taken_keeps_no_ct_away(tmp_path, nodes):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node = RunningNode(tmp_path, config(port=taken.getsockname()[1]))
        nodes.append(node)
        node.start()
        wait_until(lambda: len(node.events("console.cannot-listen")) >= 2)
        roles = set(node.processes().values())
        assert {"serve", "arrival", "work"} <= roles
    port_of(node)  # the port is free again: it listens by itself


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself."""
    pem, key = folder / "console.pem", folder / "console.key"
    subprocess.run(
        ["/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=console",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    return pem, key


@pytest.mark.skipif(not Path("/usr/bin/openssl").exists(), reason="openssl makes the certificate")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # old on purpose
def test_over_tls_browsers_are_told_to_stay_there(tmp_path, nodes):
    pem, key = certificate(tmp_path)
    node = RunningNode(tmp_path, config(tls_certificate=pem.name, tls_key=key.name))
    nodes.append(node)
    node.start()
    url = f"https://127.0.0.1:{port_of(node)}/health"
    with urllib.request.urlopen(url, timeout=20, context=ssl.create_default_context(cafile=pem)) as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    old = ssl.create_default_context(cafile=pem)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=20, context=old)


def test_check_says_what_will_not_do(tmp_path):
    node = RunningNode(tmp_path, config(host="0.0.0.0", port=free_port()))
    assert "without TLS" in node.command("check").stdout
    node = RunningNode(tmp_path, config(tls_certificate="a.pem"))
    assert "needs tls_key beside it" in node.command("check", check=False).stderr
    node = RunningNode(tmp_path, config(tls_certificate="a.pem", tls_key="a.key"))
    assert "a.pem cannot be read" in node.command("check").stdout
