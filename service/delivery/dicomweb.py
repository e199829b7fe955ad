"""HTTP with a DICOMweb service (PS3.18): whom we trust, who we say we are, how long it may take.

No redirection is followed and no proxy of the environment used, so that a secret goes nowhere else; nothing
is unpacked, so that an answer is as long as what came. What a service says is never logged or quoted.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx2

from service.delivery import outcome
from service.delivery.outcome import Kind, Outcome
from service.dicom.tls_failures import kind_of_failure
from service.dicom.transport_security import ClientContext, TlsUnusable, client_context

if TYPE_CHECKING:
    from service.config.transport_security import ClientTls

_SLOWEST_BYTES_PER_SECOND: Final = 20_000
_LOOK_EVERY_SECONDS: Final = 0.1
_CONNECTED: Final = ("connection.connect_tcp.complete", "connection.start_tls.complete")

NO_SECRET: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.stow-secret-missing",
    "The token or password for the destination cannot be read: its file, or its environment variable, is not "
    "there.",
    alarm=True,
)


class Credentials(Protocol):
    """Who we say we are: a bearer token (RFC 6750), or user and password (RFC 7617), or nobody.

    ``token`` and ``password`` name the environment variable that holds it, as ``${NAME}``; of a file the
    first line counts.
    """

    @property
    def token(self) -> str | None: ...  # noqa: D102
    @property
    def token_file(self) -> str | None: ...  # noqa: D102
    @property
    def user(self) -> str | None: ...  # noqa: D102
    @property
    def password(self) -> str | None: ...  # noqa: D102
    @property
    def password_file(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Service:
    """A DICOMweb service.

    Attributes:
        url: its root, or what is posted to.
        credentials: of ours.
        folder: what files of theirs are relative to.
        timeout_seconds: of connecting, and of each silence.
        tls: whom to trust; None for those whom the machine trusts.
    """

    url: str
    credentials: Credentials
    folder: Path
    timeout_seconds: float = 30.0
    tls: ClientTls | None = None


class NoExchange(Exception):
    """No connection, or no whole answer; ``outcome`` says why, as of a delivery."""

    def __init__(self, why: Outcome) -> None:
        super().__init__(why.code)
        self.outcome = why


class WebAnswer:
    """An answer of which the status is here and the content comes.

    Attributes:
        status: of HTTP.
        content_type: as the service says, empty if it does not.
    """

    def __init__(self, response: httpx2.Response, watch: _Watch) -> None:
        self.status = response.status_code
        self.content_type = response.headers.get("Content-Type", "")
        self._parts = response.iter_raw()
        self._watch = watch

    def next_bytes(self, _most: int = 0) -> bytes:
        """What comes next, 64 KiB at most; nothing at the end."""
        with self._watch.waiting():
            part = next(self._parts, b"")
        if self._watch.expired:  # of a content whose length nobody said, this looks like its end
            raise NoExchange(outcome.NO_RESPONSE)
        self._watch.grant(len(part))
        return part

    def read(self, most_bytes: int) -> bytes:
        """All of it, or so much of it that it is longer than ``most_bytes``."""
        found = bytearray()
        while len(found) <= most_bytes and (part := self.next_bytes()):
            found += part
        return bytes(found)


@contextmanager
def exchange(
    service: Service,
    method: str,
    headers: Mapping[str, str],
    *,
    below: str = "",
    content: Iterator[bytes] | None = None,
    size: int = 0,
) -> Iterator[WebAnswer]:
    """One request and its answer, whatever its status.

    Args:
        service: whom to ask.
        method: of HTTP.
        headers: beside those that say who we are.
        below: what is added to the service's address, encoded.
        content: of the request.
        size: of ``content`` in bytes.

    Raises:
        NoExchange: it does not come about, or not to its end.
    """
    try:
        auth = _auth(service)
    except (OSError, KeyError, UnicodeError):
        raise NoExchange(NO_SECRET) from None
    try:
        context = client_context(service.tls) if service.tls is not None else ssl.create_default_context()
    except TlsUnusable as error:
        raise NoExchange(outcome.of_unusable_tls(error)) from None
    name = service.tls.server_name if service.tls is not None else None
    watch = _Watch(2 * service.timeout_seconds + size / _SLOWEST_BYTES_PER_SECOND)
    extensions = {"trace": watch.trace} | ({} if name is None else {"sni_hostname": name})
    as_it_is = {"Accept-Encoding": "identity", **headers}
    try:
        with (
            watch,
            httpx2.Client(
                auth=auth, verify=context, trust_env=False, timeout=service.timeout_seconds
            ) as client,
            client.stream(
                method, service.url + below, content=content, headers=as_it_is, extensions=extensions
            ) as response,
        ):
            yield WebAnswer(response, watch)
    except httpx2.TimeoutException:
        raise NoExchange(outcome.NO_RESPONSE) from None
    except httpx2.RequestError as error:
        failure = context.failure if isinstance(context, ClientContext) else None
        raise NoExchange(outcome.NO_RESPONSE if watch.expired else _of_transport(error, failure)) from None


class _Watch:
    """Shuts a connection whose exchange takes absurdly long in all, though something moves now and then.

    Time counts while we wait for the service, not while we work on what came; what comes buys more of it.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._left = seconds
        self._since: float | None = time.monotonic()
        self._socket: socket.socket | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> _Watch:
        threading.Thread(target=self._look, name="dicomweb-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpx2 tells of its connection."""
        if event in _CONNECTED:
            self._socket = info["return_value"].get_extra_info("socket")
        elif event == "http11.receive_response_headers.complete":
            self._pause()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """We wait for the service."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._pause()

    def grant(self, count: int) -> None:
        """So many bytes came."""
        with self._lock:
            self._left += count / _SLOWEST_BYTES_PER_SECOND

    def _pause(self) -> None:
        with self._lock:
            if self._since is not None:
                self._left -= time.monotonic() - self._since
            self._since = None

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_SECONDS):
            with self._lock:
                since = self._since
                self.expired = since is not None and time.monotonic() - since > self._left
            if self.expired and self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                return


def _auth(service: Service) -> httpx2.Auth | None:
    ours = service.credentials
    token = _secret(ours.token, ours.token_file, service.folder)
    if token is not None:
        token.encode("ascii")
        return _Bearer(token)
    password = _secret(ours.password, ours.password_file, service.folder)
    return None if ours.user is None or password is None else httpx2.BasicAuth(ours.user, password)


class _Bearer(httpx2.Auth):
    """Who we are by a token (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:  # type: ignore[override]
        """Add it to the one request there is."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _secret(variable: str | None, file: str | None, folder: Path) -> str | None:
    if variable is not None:
        return os.environ[variable[2:-1]]
    if file is None:
        return None
    lines = (folder / Path(file).expanduser()).read_text(encoding="utf-8").splitlines()
    return lines[0].strip() if lines else ""


def _of_transport(error: httpx2.RequestError, failure: OSError | None) -> Outcome:
    """What a failed connection means, by what lies under the library's own error."""
    causes = list(_causes(error))
    tls = failure or next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    if tls is not None:
        return outcome.of_tls_failure(kind_of_failure(tls))
    if any(isinstance(each, socket.gaierror) for each in causes):
        return outcome.UNRESOLVED
    return outcome.REFUSED if isinstance(error, httpx2.ConnectError) else outcome.ABORTED


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__
