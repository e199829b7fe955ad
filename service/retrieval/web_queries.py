"""QIDO-RS and WADO-RS requests (PS3.18 10.6, 10.4) to an archive, and what its HTTP status means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from service.delivery.dicomweb import NoExchange, Service, WebAnswer, exchange
from service.retrieval.troubles import PullFailed, of_web

if TYPE_CHECKING:
    from service.config.archive_section import Archive

_LARGEST_JSON: Final = 64 << 20
_NOT_ALLOWED: Final = (401, 403, 407)
_NOTHING: Final = (204, 404)
_LATER: Final = (408, 425, 429)
_JSON: Final = "application/dicom+json, application/json;q=0.9"


class WebQueries:
    """Asks one DICOMweb service.

    Args:
        archive: its section of the configuration; its files have absolute names.
    """

    def __init__(self, archive: Archive) -> None:
        root, here = (archive.url or "").rstrip("/"), Path("/")
        self._service = Service(root, archive, here, archive.timeout_seconds, archive.tls)

    def matches(self, path: Sequence[str], query: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a QIDO-RS query finds; nothing is an empty list.

        Raises:
            PullFailed: no answer, or none that is DICOM JSON.
        """
        with self.answer(path, query, accept=_JSON) as answer:
            content = b"[]" if answer.status in _NOTHING else answer.read(_LARGEST_JSON)
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
    ) -> Iterator[WebAnswer]:
        """An answer of a good status, or of none found.

        Raises:
            PullFailed: no connection, no answer in time, or another status.
        """
        below = "".join(f"/{quote(step, safe='')}" for step in path)
        below += f"?{urlencode(query)}" if query else ""
        try:
            with exchange(self._service, "GET", {"Accept": accept}, below=below) as answer:
                _judge(answer.status)
                yield answer
        except NoExchange as trouble:
            raise of_web(trouble.outcome) from None


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
