"""GET requests to a DICOMweb service, with its credentials, deadlines, and without following it elsewhere."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from service.dicom.tls_failures import kind_of_failure
from service.dicom.transport_security import client_context
from service.retrieval.troubles import ABORTED, NO_RESPONSE, PullFailed

if TYPE_CHECKING:
    from service.config.archive_section import Archive

_LARGEST_JSON: Final = 64 << 20
_NOT_ALLOWED: Final = (401, 403)
_NOTHING: Final = (204, 404)
_LATER: Final = (408, 425, 429)
_JSON: Final = "application/dicom+json, application/json;q=0.9"


class WebClient:
    """Calls one DICOMweb service.

    Args:
        archive: its section of the configuration.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        parts = urlsplit(archive.url or "")
        self._https = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._root = parts.path.rstrip("/")

    def matches(self, path: Sequence[str], query: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a QIDO-RS query finds; nothing is an empty list.

        Raises:
            PullFailed: no answer, or none that is DICOM JSON.
        """
        with self.answer(path, query, accept=_JSON) as response:
            if response.status in _NOTHING:
                return []
            content = response.read(_LARGEST_JSON + 1)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            sentence = "The archive's answer is no DICOM JSON. Is `url` the root of its DICOMweb service?"
            raise PullFailed("archive.not-dicom-json", sentence)
        return found

    @contextmanager
    def answer(
        self, path: Sequence[str], query: Mapping[str, str] | None = None, *, accept: str
    ) -> Iterator[HTTPResponse]:
        """A response of a good status, or of none found.

        Raises:
            PullFailed: no connection, no answer in time, or another status.
        """
        target = "/".join([self._root, *(quote(step, safe="") for step in path)])
        target += f"?{urlencode(query)}" if query else ""
        connection = self._connection()
        try:
            connection.request("GET", target, headers={"Accept": accept, **self._credentials()})
            with closing(connection.getresponse()) as response:
                _judge(response.status)
                yield response
        except TimeoutError:
            raise PullFailed(*NO_RESPONSE, retry=True) from None
        except ssl.SSLError as error:
            sentence = (
                f"No TLS connection with the archive ({kind_of_failure(error)}). Look at `tls` and `url`."
            )
            raise PullFailed(f"archive.tls-{kind_of_failure(error)}", sentence, away=True) from None
        except ConnectionRefusedError:
            sentence = "Nothing answers at the archive's `url`. Is it running, and is the `url` right?"
            raise PullFailed("archive.no-connection", sentence, retry=True, away=True) from None
        except (OSError, HTTPException):
            raise PullFailed(*ABORTED, retry=True) from None
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        seconds = self._archive.timeout_seconds
        if not self._https:
            return HTTPConnection(self._host, self._port, timeout=seconds)
        tls = self._archive.tls
        context = client_context(tls) if tls is not None else ssl.create_default_context()
        name = tls.server_name if tls is not None else None
        return _NamedConnection(self._host, self._port, seconds, context, name or self._host)

    def _credentials(self) -> dict[str, str]:
        archive = self._archive
        if archive.user is not None:
            pair = f"{archive.user}:{_secret(archive.password, archive.password_file)}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
        if archive.token is not None or archive.token_file is not None:
            return {"Authorization": f"Bearer {_secret(archive.token, archive.token_file)}"}
        return {}


class _NamedConnection(HTTPSConnection):
    """Wants the certificate to bear a name that may be another than the host's."""

    def __init__(
        self, host: str, port: int | None, seconds: float, context: ssl.SSLContext, server_name: str
    ) -> None:
        super().__init__(host, port, timeout=seconds, context=context)
        self._tls = context
        self._server_name = server_name

    def connect(self) -> None:
        """Connect, and shake hands."""
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)


def _judge(status: int) -> None:
    if 200 <= status < 300 or status in _NOTHING:
        return
    if status in _NOT_ALLOWED:
        sentence = f"The archive does not let us in (HTTP {status}). Correct user and password, or the token."
        raise PullFailed("archive.not-allowed", sentence, away=True)
    if 300 <= status < 400:
        sentence = f"The archive sends us elsewhere (HTTP {status}), which is not followed. Correct `url`."
        raise PullFailed("archive.redirects", sentence)
    later = status >= 500 or status in _LATER
    code = "archive.web-failed" if later else "archive.web-refused"
    raise PullFailed(code, f"The archive could not answer (HTTP {status}); its log says why.", retry=later)


def _secret(variable: str | None, file: str | None) -> str:
    """A password or token: from a file's first line, or from the environment."""
    try:
        found = Path(file).read_text(encoding="utf-8").partition("\n")[0].strip() if file else None
    except (OSError, UnicodeError):
        sentence = "The file with the archive's password or token cannot be read. Correct it."
        raise PullFailed("archive.secret-missing", sentence, away=True) from None
    if found is None and variable is not None:
        found = os.environ.get(variable[2:-1])
        if found is None:
            sentence = f"The environment variable of {variable} is not set for this command. Set it."
            raise PullFailed("archive.secret-missing", sentence, away=True)
    return found or ""
