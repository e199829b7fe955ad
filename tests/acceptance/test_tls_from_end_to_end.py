"""A node whose plain port is closed: CT comes from DCMTK over TLS and the structure set goes to DCMTK over TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from certificates import Authority
from running_node import free_port, running_node, wait_until

from models.volume import Grid
from service.dicom.ct_writer import write_ct

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def write_body(folder: Path) -> list[Path]:
    """A cylinder of water in air on 8 slices."""
    origins = np.array([[-160.0, -160.0, 5.0 * k] for k in range(8)])
    grid = Grid(origins, np.array([2.5, 0, 0]), np.array([0, 2.5, 0]), 128, 128)
    rows, columns = np.mgrid[:128, :128] - 63.5
    hu = np.where(rows**2 + (columns / 1.4) ** 2 < 40**2, 0, -1000).astype(np.int16)
    return write_ct(folder, np.repeat(hu[None], 8, axis=0), grid)


def test_a_ct_comes_and_its_structure_set_goes_with_no_port_open_in_the_clear(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    node_s = authority.sign("node", passphrase="a passphrase of the node")
    scanner = authority.sign("scanner", names=("scanner.hospital.example",))
    tps = authority.sign("tps")
    (tmp_path / "tls" / "passphrase").write_text("a passphrase of the node\n")
    (tmp_path / "tls" / "passphrase").chmod(0o600)
    own = {"certificate": "tls/node.pem", "key": "tls/node.key", "passphrase_file": "tls/passphrase"}
    trusted = {"trusted_certificates": "tls/authority.pem"}
    port = free_port()
    config = {
        "node": {"quiet_seconds": 1.0, "plain_port": "off", "tls": own | trusted | {"port": 0}},
        "senders": {
            "CTSCANNER": {
                "addresses": ["127.0.0.1"],
                "certificate_names": ["scanner.hospital.example"],
            }
        },
        "destinations": {
            "tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": port, "tls": own | trusted},
        },
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [{"name": "all", "contour": "external", "send_to": ["tps"], "mode": "send"}],
    }
    files = write_body(tmp_path / "ct")
    received = tmp_path / "received"
    received.mkdir()
    listening = ["/usr/bin/storescp", "-aet", "TPS", "-od", str(received), "+tls", str(tps.key)]
    listening += [str(tps.certificate), "+cf", str(authority.certificate), str(port)]
    storescp = subprocess.Popen(listening, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with running_node(tmp_path, config) as node:
            sending = [
                "/usr/bin/storescu",
                "-aet",
                "CTSCANNER",
                "-aec",
                "DELINEATE",
                "+tls",
                str(scanner.key),
            ]
            sending += [str(scanner.certificate), "+cf", str(authority.certificate)]
            sending += ["127.0.0.1", str(node.port), *map(str, files)]
            done = subprocess.run(sending, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            wait_until(lambda: list(received.iterdir()))
            assert node.command("echo", "--all").stdout.startswith("tps (TPS at 127.0.0.1")
            assert node.command("health", check=False).stderr == ""
            checked = node.command("check").stdout
            assert "warning" not in checked
            assert "passphrase of the node" not in node.log() + checked
            assert node.events("arrival.listening-tls")
    finally:
        storescp.terminate()
        storescp.wait(30)
    wait_until(lambda: len(list(received.iterdir())) == 1, 30)
    (file,) = received.iterdir()
    assert pydicom.dcmread(file, force=True).Modality == "RTSTRUCT"
    assert node_s.fingerprint != tps.fingerprint
