"""DICOMweb services on loopback: Orthanc with its plugin, and one that answers as a test tells it."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from running_node import free_port

ORTHANC = Path("/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class OrthancWeb:
    """A running Orthanc."""

    port: int
    user: str | None
    password: str | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def ask(self, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if self.user is not None:
            both = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {both}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def files(self) -> list[bytes]:
        """Every instance it has, as it would give it away."""
        return [self.ask(f"/instances/{each}/file") for each in json.loads(self.ask("/instances"))]


@contextmanager
def orthanc(folder: Path, user: str | None = None, password: str | None = None) -> Iterator[OrthancWeb]:
    """Start it, with its data in ``folder``, and end it."""
    port = free_port()
    config = {
        "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"),
        "HttpPort": port, "DicomServerEnabled": False, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": {} if user is None else {user: password},
        "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "store").mkdir()
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        made = OrthancWeb(port, user, password)
        until = time.monotonic() + 60
        while True:
            try:
                made.ask("/system")
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
                assert time.monotonic() < until, "Orthanc did not start"
                time.sleep(0.1)
        yield made
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Scripted:
    """A service that answers every POST with ``answer(uid of the path)``: status and body."""

    port: int
    scheme: str = "http"
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/dicom-web"


@contextmanager
def scripted(
    answer: Callable[[], tuple[int, bytes]], certificate: tuple[Path, Path] | None = None
) -> Iterator[Scripted]:
    """Serve on loopback; ``answer`` may take its time."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            made.requests.append(({key.lower(): value for key, value in self.headers.items()}, content))
            status, body = answer()
            try:
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{made.url}/elsewhere")
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # who asked waits no longer

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Scripted(server.server_address[1])
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        made.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
