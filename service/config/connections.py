"""Whether what the configuration names by host and port answers: tried by ``delineate check --connect``."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from service.config.mistakes import KeyPath
    from service.config.reader import LoadedSite

_CONNECT_SECONDS: Final = 2.0


def unanswered(loaded: LoadedSite) -> Iterator[tuple[KeyPath, str]]:
    """Destinations and the database that do not take a TCP connection within two seconds."""
    places: list[tuple[KeyPath, str, int]] = [
        (("destinations", name), one.host, one.port)
        for name, one in loaded.site.destinations.items()
        if one.host is not None and one.port is not None
    ]
    if loaded.site.node.database != "sqlite":
        url = urlsplit(loaded.site.node.database)
        places.append((("node", "database"), url.hostname or "127.0.0.1", url.port or 5432))
    with ThreadPoolExecutor(max_workers=8) as pool:
        failures = pool.map(lambda place: _failure(place[1], place[2]), places)
        for (path, host, port), failure in zip(places, failures, strict=True):
            if failure:
                yield (
                    path,
                    f"{host}:{port} does not answer ({failure}); is it running, does a firewall let us?",
                )


def _failure(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        return type(error).__name__
    return None
