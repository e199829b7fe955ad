"""Mail by STARTTLS and TLS with a password, and a webhook with a token: real servers, and nothing in the clear."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from running_node import free_port

from service.backlog.notify import Notifier
from service.config.site import Node, Notify

OPENSSL = Path("/usr/bin/openssl")
PASSWORD = "a password that is long"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 and its key."""
    if not OPENSSL.exists():
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("certificate")
    pem, key = folder / "mail.pem", folder / "mail.key"
    subprocess.run(
        [str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mail",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    return pem, key


class Letters:
    def __init__(self):
        self.taken = []

    async def handle_DATA(self, server, session, envelope):
        self.taken.append((session.ssl is not None, session.authenticated, envelope.content.decode()))
        return "250 OK"


def authenticate(_server, _session, _envelope, _mechanism, data):
    right = (data.login, data.password) == (b"node", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture
def mail_server(certificate):
    """Starts a server of a kind; where it listens and what it took."""
    pem, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    running = []

    def start(kind):
        letters = Letters()
        options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": kind != "tls"}
        if kind == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        controller = Controller(
            letters,
            hostname="127.0.0.1",
            port=free_port(),
            ssl_context=context if kind == "tls" else None,
            **options,
        )
        # Its own look whether it runs would take the server's context for a client's.
        controller._trigger_server = lambda: socket.create_connection(("127.0.0.1", controller.port)).close()
        controller.start()
        running.append(controller)
        return letters, controller.port

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture
def loaded(tmp_path):
    def make(**notify):
        node = Node(ae_title="CONTOURS", notify=Notify(**notify))
        return SimpleNamespace(
            site=SimpleNamespace(node=node), storage=tmp_path / "var", beside=lambda name: tmp_path / name
        )

    return make


def settings(port, security, **more):
    return {
        "email_to": ["physics@example.org"],
        "smtp_port": port,
        "smtp_security": security,
        "smtp_user": "node",
    } | more


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("kind", ["starttls", "tls"])
def test_a_letter_goes_by_tls_and_with_the_password_of_the_file(
    mail_server, loaded, certificate, tmp_path, monkeypatch, kind
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    letters, port = mail_server(kind)
    (tmp_path / "password").write_text(f"{PASSWORD}\nsecond line\n")
    notifier = Notifier(loaded(**settings(port, kind, smtp_password_file="password")))
    notifier.tell("watchdog.jobs-waiting", "2 CT wait.", "k7m29xqd")
    notifier.close(20)
    ((secured, authenticated, text),) = letters.taken
    assert secured or kind == "tls"  # that one speaks nothing else
    assert authenticated
    assert "Subject: CONTOURS: watchdog.jobs-waiting (k7m29xqd)" in text


def test_a_server_that_nobody_vouches_for_gets_nothing_and_the_letter_waits(
    mail_server, loaded, tmp_path, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("DELINEATE_SMTP_PASSWORD", PASSWORD)
    letters, port = mail_server("starttls")
    notifier = Notifier(loaded(**settings(port, "starttls")), pauses_seconds=())
    notifier.tell("watchdog.jobs-waiting", "2 CT wait.")
    notifier.close(20)
    assert letters.taken == []
    assert len(list((tmp_path / "var" / "notices").rglob("*.json"))) == 1


def test_after_the_server_came_back_the_letter_goes_with_the_password_of_the_environment(
    mail_server, loaded, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("DELINEATE_SMTP_PASSWORD", "wrong at first")
    letters, port = mail_server("starttls")
    notifier = Notifier(loaded(**settings(port, "starttls")), pauses_seconds=(), again_seconds=0.05)
    notifier.tell("watchdog.jobs-waiting", "2 CT wait.")
    notifier.close(2)
    assert letters.taken == []
    monkeypatch.setenv("DELINEATE_SMTP_PASSWORD", PASSWORD)
    second = Notifier(loaded(**settings(port, "starttls")))
    second.close(20)
    assert len(letters.taken) == 1


@pytest.fixture
def web_server():
    """Keeps what it was asked for; ``answer`` is the status, with ``location``."""
    state = SimpleNamespace(asked=[], answer=204, location=None)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.asked.append((self.command, self.path, self.headers.get("Authorization")))
            self.send_response(state.answer)
            if state.location:
                self.send_header("Location", state.location)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_the_token_of_the_file(web_server, loaded, tmp_path):
    (tmp_path / "token").write_text("secret-token\n")
    notifier = Notifier(loaded(webhook=f"{web_server.url}/alarm", webhook_token_file="token"))
    notifier.tell("watchdog.disk-low", "3 GB are free.")
    notifier.close()
    assert web_server.asked == [("POST", "/alarm", "Bearer secret-token")]


def test_the_token_does_not_follow_to_another_address(web_server, loaded, monkeypatch, tmp_path):
    monkeypatch.setenv("DELINEATE_WEBHOOK_TOKEN", "secret-token")
    web_server.answer, web_server.location = 302, f"{web_server.url}/elsewhere"
    notifier = Notifier(loaded(webhook=f"{web_server.url}/alarm"), pauses_seconds=())
    notifier.tell("watchdog.disk-low", "3 GB are free.")
    notifier.close()
    assert [path for _, path, _ in web_server.asked] == ["/alarm"]
    assert len(list((tmp_path / "var" / "notices").rglob("*.json"))) == 1, "it is tried again later"
