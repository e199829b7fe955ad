"""STOW-RS (PS3.18 10.5): one instance, as it lies on disk, posted to a DICOMweb service."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import httpx2

from service.delivery import outcome
from service.delivery.on_disk import fault_of
from service.delivery.outcome import Kind, Outcome
from service.delivery.stow_outcome import of_response
from service.dicom.tls_failures import kind_of_failure
from service.dicom.transport_security import TlsUnusable, client_context

if TYPE_CHECKING:
    from service.config.dicomweb_section import DicomWeb
    from service.config.transport_security import ClientTls

_PART: Final = 256 * 1024
_SLOWEST_BYTES_PER_SECOND: Final = 20_000
_LARGEST_ANSWER: Final = 1_000_000

_NO_SECRET: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.stow-secret-missing",
    "The token or password for the destination cannot be read: its file, or its environment variable, is not "
    "there.",
    alarm=True,
)


@dataclass(frozen=True, slots=True)
class Service:
    """Where to post, as whom, and the deadline of connecting and of every answer.

    Attributes:
        web: the configuration's section.
        folder: what files in it are relative to.
        timeout_seconds: of connecting, and of each silence.
        tls: whom to trust; None for those whom the machine trusts.
    """

    web: DicomWeb
    folder: Path
    timeout_seconds: float = 30.0
    tls: ClientTls | None = None


def store(file: Path, service: Service, *, sop_instance_uid: str) -> Outcome:
    """Post one instance; done only where the answer names it among those stored.

    Redirections are not followed, so that a token goes nowhere else. Never raises for what the service does.
    """
    fault = fault_of(file, sop_instance_uid)
    if fault is not None:
        return fault
    try:
        auth = _auth(service)
    except (OSError, KeyError, UnicodeError):
        return _NO_SECRET
    try:
        context = client_context(service.tls) if service.tls is not None else None
    except TlsUnusable as error:
        return outcome.of_unusable_tls(error)
    verify = True if context is None else context
    try:
        with httpx2.Client(
            auth=auth, verify=verify, trust_env=False, timeout=service.timeout_seconds
        ) as client:
            return _post(client, file, service, sop_instance_uid)
    except (httpx2.TimeoutException, _TooSlow):
        return outcome.NO_RESPONSE
    except httpx2.RequestError as error:
        failure = context.failure if context is not None else None
        return _of_transport(error, failure)
    except OSError:
        return outcome.FILE_UNREADABLE


class _TooSlow(Exception):
    """The exchange as a whole takes absurdly long, though something moves now and then."""


def _post(client: httpx2.Client, file: Path, service: Service, sop_instance_uid: str) -> Outcome:
    boundary = uuid4().hex
    size = file.stat().st_size
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Content-Length": str(len(head) + size + len(tail)),
        "Accept": "application/dicom+json",
        "Accept-Encoding": "identity",
    }
    name = service.tls.server_name if service.tls is not None else None
    extensions = {} if name is None else {"sni_hostname": name}
    end_at = time.monotonic() + 2 * service.timeout_seconds + size / _SLOWEST_BYTES_PER_SECOND
    body = _parts(file, head, tail, end_at)
    url = service.web.studies_url
    with client.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer:
        said = b""
        for part in answer.iter_raw(_PART):  # not unpacked: we ask for none that is
            said += part
            if len(said) > _LARGEST_ANSWER:
                break
            if time.monotonic() > end_at:
                raise _TooSlow
        return of_response(answer.status_code, said, sop_instance_uid)


def _parts(file: Path, head: bytes, tail: bytes, end_at: float) -> Iterator[bytes]:
    yield head
    with file.open("rb") as content:
        while part := content.read(_PART):
            if time.monotonic() > end_at:
                raise _TooSlow
            yield part
    yield tail


def _auth(service: Service) -> httpx2.Auth | None:
    web = service.web
    token = _secret(web.token, web.token_file, service.folder)
    if token is not None:
        token.encode("ascii")
        return _Bearer(token)
    password = _secret(web.password, web.password_file, service.folder)
    return None if web.user is None or password is None else httpx2.BasicAuth(web.user, password)


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
