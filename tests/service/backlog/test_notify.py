"""People are told over real HTTP and SMTP; a server that fails, or is slow, harms nobody."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from service.backlog.notify import Notifier
from service.config.site import Node, Notify


@pytest.fixture
def loaded(tmp_path):
    """As much of a configuration as is asked for."""

    def make(**notify):
        node = Node(ae_title="CONTOURS", notify=Notify(**notify))
        return SimpleNamespace(site=SimpleNamespace(node=node), storage=tmp_path)

    return make


@pytest.fixture
def webhook():
    """A real HTTP server: what it was sent, and the status it answers with next."""
    state = SimpleNamespace(documents=[], statuses=[], url="", delay=0.0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(state.delay)
            state.documents.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(state.statuses.pop(0) if state.statuses else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/alarm"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mail_server():
    """A real SMTP server, as small as it may be (RFC 5321): the letters it took."""
    state = SimpleNamespace(letters=[], port=0)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.say("220 test")
            sender, recipients = "", []
            while line := self.rfile.readline().decode().strip():
                command = line.upper()
                if command.startswith("MAIL FROM:"):
                    sender = line[10:].split()[0]
                elif command.startswith("RCPT TO:"):
                    recipients.append(line[8:])
                elif command == "DATA":
                    self.say("354 go on")
                    lines = iter(lambda: self.rfile.readline().rstrip(b"\r\n"), b".")
                    state.letters.append((sender, recipients, b"\n".join(lines)))
                elif command == "QUIT":
                    self.say("221 bye")
                    return
                self.say("250 OK")

        def say(self, line):
            self.wfile.write(f"{line}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.port = server.server_address[1]
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_code_sentence_and_job(webhook, loaded):
    notifier = Notifier(loaded(webhook=webhook.url))
    notifier.tell("peer.refused", "ECLIPSE refused the structure set.", "k7m29xqd")
    notifier.close()
    ((kind, document),) = webhook.documents
    assert kind == "application/json"
    assert document.pop("at").endswith("+00:00")
    assert document == {
        "node": "CONTOURS",
        "code": "peer.refused",
        "sentence": "ECLIPSE refused the structure set.",
        "job": "k7m29xqd",
    }


def test_mail_goes_to_everyone_named(mail_server, loaded):
    settings = {
        "email_to": ["physics@example.org", "it@example.org"],
        "email_from": "node@example.org",
        "smtp_port": mail_server.port,
    }
    notifier = Notifier(loaded(**settings))
    notifier.tell("slices.hole", "Eine Schicht fehlt: bitte erneut senden.", "k7m29xqd")
    notifier.close()
    ((sender, recipients, data),) = mail_server.letters
    assert sender == "<node@example.org>"
    assert recipients == ["<physics@example.org>", "<it@example.org>"]
    letter = email.message_from_bytes(data, policy=email.policy.default)
    assert letter["Subject"] == "CONTOURS: slices.hole (k7m29xqd)"
    text = letter.get_content()
    assert text.startswith("Eine Schicht fehlt: bitte erneut senden.")
    assert "delineate show k7m29xqd" in text


def test_nobody_named_nothing_started(loaded):
    notifier = Notifier(loaded())
    notifier.tell("code", "Sentence.")
    assert notifier._thread is None
    notifier.close()


def test_a_server_that_fails_at_first_gets_it_again(webhook, loaded):
    webhook.statuses = [503, 500]
    notifier = Notifier(loaded(webhook=webhook.url), pauses_seconds=(0.01, 0.01))
    notifier.tell("code", "Sentence.")
    notifier.close()
    assert [document["code"] for _, document in webhook.documents] == ["code"] * 3


def test_one_way_that_fails_does_not_close_the_other(mail_server, loaded):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    settings = {"webhook": closed, "email_to": ["a@example.org"], "smtp_port": mail_server.port}
    notifier = Notifier(loaded(**settings), pauses_seconds=())
    notifier.tell("code", "Sentence.")
    notifier.close()
    assert len(mail_server.letters) == 1


def test_telling_returns_at_once_however_slow_the_server(webhook, loaded):
    webhook.delay = 1.0
    notifier = Notifier(loaded(webhook=webhook.url))
    begin = time.monotonic()
    for _ in range(3):
        notifier.tell("code", "Sentence.")
    assert time.monotonic() - begin < 2.5
    notifier.close()
    assert len(webhook.documents) == 3


def test_more_than_can_wait_is_dropped_and_logged(webhook, caplog, loaded):
    webhook.delay = 3.0
    notifier = Notifier(loaded(webhook=webhook.url), pauses_seconds=())
    for _ in range(250):
        notifier.tell("code", "Sentence.")
    assert "notify.too-many" in caplog.text
    begin = time.monotonic()
    notifier.close(0.2)
    assert time.monotonic() - begin < 2.5


def test_after_the_end_nothing_is_taken(webhook, loaded):
    notifier = Notifier(loaded(webhook=webhook.url))
    notifier.close()
    notifier.tell("code", "Sentence.")
    assert webhook.documents == []


def left(tmp_path):
    """Messages that lie in the outbox."""
    return list((tmp_path / "notices").glob("*/*.json"))


def test_a_sent_message_leaves_nothing_behind(webhook, loaded, tmp_path):
    notifier = Notifier(loaded(webhook=webhook.url))
    notifier.tell("code", "Sentence.")
    notifier.close()
    assert list((tmp_path / "notices").iterdir()) == []


def test_a_message_that_a_killed_process_had_not_sent_goes_out_after_the_next_start(
    webhook, loaded, tmp_path
):
    webhook.statuses = [503]
    killed = Notifier(loaded(webhook=webhook.url), pauses_seconds=())
    killed.tell("series.hole", "Send it again.", "k7m29xqd")
    killed.close()  # a lock ends with its process; so it does here
    assert len(left(tmp_path)) == 1
    notifier = Notifier(loaded(webhook=webhook.url))
    notifier.close()
    assert [(document["code"], document["job"]) for _, document in webhook.documents[1:]] == [
        ("series.hole", "k7m29xqd")
    ]
    assert left(tmp_path) == []


def test_the_messages_of_a_living_process_are_left_to_it(webhook, loaded, tmp_path):
    webhook.statuses = [503]
    living = Notifier(loaded(webhook=webhook.url), pauses_seconds=(60,))
    living.tell("code", "Sentence.")
    Notifier(loaded(webhook=webhook.url)).close()
    assert len(left(tmp_path)) == 1
    living.close(0.1)


def test_a_server_that_is_away_for_longer_gets_it_when_it_is_back(webhook, loaded, tmp_path):
    webhook.statuses = [503, 503]
    notifier = Notifier(loaded(webhook=webhook.url), pauses_seconds=(), again_seconds=0.05)
    notifier.tell("code", "Sentence.")
    deadline = time.monotonic() + 60
    while left(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    notifier.close()
    assert [document["code"] for _, document in webhook.documents] == ["code"] * 3
    assert left(tmp_path) == []
