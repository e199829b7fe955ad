"""Telling people of refusals and dead letters, by webhook and e-mail, without a word about the patient.

A message holds a stable code, a sentence, and the job's id, by which ``delineate show`` tells the rest to
those who may know it. Messages go out from a thread of their own, so that a slow mail server never holds up a
CT; they lie in the outbox until they are sent, so that neither a crash nor a server that is away loses one.
"""

from __future__ import annotations

import json
import os
import queue
import smtplib
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Final, Protocol

from service.backlog.outbox import Outbox
from service.errors import SpoolUnavailable
from service.log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    from service.config.reader import LoadedSite

_log = EventLog("notify")
SMTP_PASSWORD: Final = "DELINEATE_SMTP_PASSWORD"  # noqa: S105 - the variable's name
WEBHOOK_TOKEN: Final = "DELINEATE_WEBHOOK_TOKEN"  # noqa: S105 - the variable's name
_WAITING_AT_MOST: Final = 200
_TIMEOUT_SECONDS: Final = 10.0
_PAUSES_SECONDS: Final = (2.0, 20.0)
_AGAIN_SECONDS: Final = 600.0
_KEPT_AT_MOST: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class _Message:
    """A message by one way, ``webhook`` or ``email``."""

    kind: str
    code: str
    sentence: str
    job_id: str | None
    at: str


class Notifies(Protocol):
    """What the stages need of a notifier."""

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        """Tell people; the sentence names no patient."""


class Notifier:
    """Sends messages to those whom ``node.notify`` names; nobody named, nothing sent.

    What a process that was killed had not sent goes out when the next one starts.

    Args:
        loaded: the configuration.
        pauses_seconds: waits before each further try of one that did not go out.
        again_seconds: wait before it is tried so often once more, until it is three days old.
    """

    def __init__(
        self,
        loaded: LoadedSite,
        *,
        pauses_seconds: tuple[float, ...] = _PAUSES_SECONDS,
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        self._loaded = loaded
        self._settings = loaded.site.node.notify
        self._node = loaded.site.node.ae_title
        self._pauses_seconds = pauses_seconds
        self._again_seconds = again_seconds
        self._waiting: queue.Queue[tuple[_Message, Path | None]] = queue.Queue(_WAITING_AT_MOST)
        self._postponed: list[tuple[_Message, Path | None]] = []
        self._again_at = 0.0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._outbox = Outbox(loaded.storage)
        self._ways: dict[str, Callable[[_Message], None]] = {}
        if self._settings.webhook:
            self._ways["webhook"] = self._post
        if self._settings.email_to:
            self._ways["email"] = self._mail
        if self._ways:
            self._take_over()

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        """Send a message soon; returns at once and never raises for a server that does not answer."""
        if self._ending.is_set():
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        for kind in self._ways:
            message = _Message(kind, code, sentence, job_id, at)
            self._put(message, self._kept(message))

    def close(self, seconds: float = 5.0) -> None:
        """Send what waits, for at most so long, and end; the rest goes out after the next start."""
        deadline = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.02)
        self._ending.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        self._outbox.close()

    def _take_over(self) -> None:
        try:
            left = self._outbox.taken_over()
        except OSError as error:
            _log.failure("notify.outbox-unavailable", error)
            return
        for file, content in left:
            try:
                message = _Message(**content)  # type: ignore[arg-type]  # as we wrote it
            except TypeError:  # or another version of us
                self._forget(file)
                continue
            if message.kind in self._ways:
                self._put(message, file)

    def _kept(self, message: _Message) -> Path | None:
        try:
            with self._lock:
                return self._outbox.keep(asdict(message))
        except (SpoolUnavailable, OSError) as error:  # then it waits in memory only
            _log.failure("notify.outbox-unavailable", error, code=message.code)
            return None

    def _put(self, message: _Message, file: Path | None) -> None:
        try:
            self._waiting.put_nowait((message, file))
        except queue.Full:
            _log.error("notify.too-many", code=message.code, count=_WAITING_AT_MOST)
            self._forget(file)
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
                self._thread.start()

    def _forget(self, file: Path | None) -> None:
        if file is not None:
            self._outbox.done(file)

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                message, file = self._waiting.get(timeout=min(0.5, self._again_seconds))
            except queue.Empty:
                if time.monotonic() >= self._again_at:
                    due, self._postponed = self._postponed, []
                    for each in due:
                        self._put(*each)
                continue
            if self._insist(message):
                self._forget(file)
            else:
                self._postpone(message, file)
            self._waiting.task_done()

    def _postpone(self, message: _Message, file: Path | None) -> None:
        if datetime.now(UTC) - datetime.fromisoformat(message.at) > _KEPT_AT_MOST:
            _log.error("notify.given-up", kind=message.kind, code=message.code)
            self._forget(file)
            return
        self._again_at = time.monotonic() + self._again_seconds
        self._postponed.append((message, file))

    def _insist(self, message: _Message) -> bool:
        for pause in (*self._pauses_seconds, None):
            try:
                self._ways[message.kind](message)
            except Exception as error:  # noqa: BLE001 the loop body; servers fail in many ways
                _log.failure("notify.failed", error, kind=message.kind, code=message.code)
                if pause is None or self._ending.wait(pause):
                    return False
            else:
                _log.info("notify.sent", kind=message.kind, code=message.code)
                return True
        return False

    def _post(self, message: _Message) -> None:
        document = {
            "node": self._node,
            "code": message.code,
            "sentence": message.sentence,
            "job": message.job_id,
            "at": message.at,
        }
        headers = {"Content-Type": "application/json"}
        token = self._secret(self._settings.webhook_token_file, WEBHOOK_TOKEN)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(document).encode()
        request = urllib.request.Request(str(self._settings.webhook), body, headers)  # noqa: S310 http, by its section
        _opener.open(request, timeout=_TIMEOUT_SECONDS).close()  # raises for 3xx, 4xx and 5xx

    def _mail(self, message: _Message) -> None:
        letter = EmailMessage()
        job = f" ({message.job_id})" if message.job_id else ""
        letter["Subject"] = f"{self._node}: {message.code}{job}"
        letter["From"] = self._settings.email_from
        letter["To"] = ", ".join(self._settings.email_to)
        lines = [message.sentence, "", f"Code: {message.code}", f"Time: {message.at}"]
        if message.job_id:
            lines += [
                f"Job: {message.job_id}",
                "",
                f"Its story: delineate show {message.job_id}",
            ]
        letter.set_content("\n".join(lines))
        with self._mail_server() as server:
            server.send_message(letter)

    def _mail_server(self) -> smtplib.SMTP:
        """A connection that is as safe as ``smtp_security`` says, signed in if there is a user."""
        settings = self._settings
        place, security = (settings.smtp_host, settings.smtp_port), settings.smtp_security
        password = None
        if settings.smtp_user is not None:
            password = self._secret(settings.smtp_password_file, SMTP_PASSWORD)
        server: smtplib.SMTP
        if security == "tls":
            context = ssl.create_default_context()
            server = smtplib.SMTP_SSL(*place, timeout=_TIMEOUT_SECONDS, context=context)
        else:
            server = smtplib.SMTP(*place, timeout=_TIMEOUT_SECONDS)
        try:
            if security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.smtp_user is not None:
                server.login(settings.smtp_user, password or "")
        except (OSError, smtplib.SMTPException):
            server.close()
            raise
        return server

    def _secret(self, file: str | None, variable: str) -> str | None:
        """Read when it is needed, so that another one counts without a restart."""
        if file is None:
            return os.environ.get(variable)
        return self._loaded.beside(file).read_text(encoding="utf-8").partition("\n")[0].strip()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token goes to the address that was configured, and to no other."""

    def redirect_request(self, *_: object) -> None:
        """Never: the answer then counts as an error."""


_opener: Final = urllib.request.build_opener(_NoRedirects)
