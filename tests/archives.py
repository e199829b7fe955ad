"""Archives to pull from: Orthanc with its DICOMweb plugin, and DCMTK's dcmqrscp, on loopback."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from certificates import Authority, Certificate
from running_node import free_port, send_ct

from models.volume import Grid
from service.dicom.ct_writer import SyntheticPatient, write_ct

ORTHANC = Path("/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DCMQRSCP = Path("/usr/bin/dcmqrscp")


@dataclass(frozen=True)
class StoredCt:
    """A CT that an archive holds."""

    files: tuple[Path, ...]
    study: str
    series: str
    patient_id: str
    accession: str


def small_ct(folder: Path, number: int, *, slices: int = 8) -> StoredCt:
    """A cylinder of water in air; patients, studies and series of two numbers have nothing in common."""
    origins = np.array([[-160.0, -160.0, 5.0 * k] for k in range(slices)])
    grid = Grid(origins, np.array([5.0, 0, 0]), np.array([0, 5.0, 0]), 64, 64)
    rows, columns = np.mgrid[:64, :64] - 31.5
    hu = np.where(rows**2 + (columns / 1.4) ** 2 < 20**2, 0, -1000).astype(np.int16)
    patient = SyntheticPatient(patient_id=f"CANARY-{number}")

    def with_accession(_: int, ds: pydicom.Dataset) -> pydicom.Dataset:
        ds.AccessionNumber = f"ACC{number}"
        return ds

    files = write_ct(
        folder, np.repeat(hu[None], slices, axis=0), grid, patient=patient, seed=number, tweak=with_accession
    )
    ds = pydicom.dcmread(files[0], stop_before_pixels=True)
    return StoredCt(tuple(files), ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID, ds.AccessionNumber)


@dataclass(frozen=True)
class RunningArchive:
    """One that runs: its DICOM port, and that of its web server if it has one."""

    port: int
    http: int | None = None

    def take(self, files: Sequence[Path], called: str) -> None:
        """Store files in it."""
        assert set(send_ct(files, self.port, calling="CTSCANNER", called=called)) == {0}

    def upload(self, content: bytes) -> None:
        """Store a file in Orthanc by its own web service."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/instances", content)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"puller:canary-password").decode())
        urllib.request.urlopen(request, timeout=60).close()


@contextmanager
def orthanc(
    folder: Path,
    node_port: int,
    *,
    title: str = "ORTHANC",
    tls: tuple[Certificate, Authority] | None = None,
) -> Iterator[RunningArchive]:
    """Orthanc, which knows the node as DELINEATE at that port.

    With ``tls`` it shows that certificate, and wants one that the authority has signed; it calls the node so too.
    """
    port, http = free_port(), free_port()
    folder.mkdir(parents=True)
    settings = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "HttpPort": http, "DicomPort": port, "DicomAet": title, "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True, "DicomModalities": {"node": ["DELINEATE", "127.0.0.1", node_port]},
        "AuthenticationEnabled": True, "RegisteredUsers": {"puller": "canary-password"},
        "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
    }  # fmt: skip
    if tls is not None:
        settings |= {
            "DicomModalities": {
                "node": {"AET": "DELINEATE", "Host": "127.0.0.1", "Port": node_port, "UseDicomTls": True}
            },
            "DicomTlsEnabled": True, "DicomTlsCertificate": str(tls[0].certificate), "DicomTlsPrivateKey": str(tls[0].key),
            "DicomTlsTrustedCertificates": str(tls[1].certificate), "DicomTlsRemoteCertificateRequired": True, "Plugins": [],
        }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="ascii")
    with _process([str(ORTHANC), str(folder / "orthanc.json")], folder, [port, http]):
        yield RunningArchive(port, http)


@contextmanager
def dcmqrscp(folder: Path, node_port: int, *, title: str = "QR") -> Iterator[RunningArchive]:
    """DCMTK's archive, which knows the node as DELINEATE at that port."""
    port, store = free_port(), folder / "store"
    store.mkdir(parents=True)
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nnode = (DELINEATE, 127.0.0.1, {node_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{title} {store} RW (200, 1024mb) ANY\nAETable END\n",
        encoding="ascii",
    )
    with _process([str(DCMQRSCP), "-c", str(folder / "dcmqrscp.cfg")], folder, [port]):
        yield RunningArchive(port)


@contextmanager
def _process(command: list[str], folder: Path, ports: Sequence[int]) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=os.environ | {"TCP_NODELAY": "1"}, stdout=stream, stderr=stream, cwd=folder
        )
    try:
        deadline = time.monotonic() + 60
        for port in ports:
            while not _listens(port):
                assert process.poll() is None, log.read_text(errors="replace")[-2000:]
                assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder / "store", ignore_errors=True)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
