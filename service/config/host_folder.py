"""Where a host keeps what is its own: its lock, its port, the configuration that it was started with."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

_HOSTS: Final = "hosts"


def host_folder(storage: Path, database_url: str) -> Path:
    """The storage folder itself on SQLite, which is for one host; else a folder in it by the host's name."""
    return storage if database_url.startswith("sqlite") else shared_host_folder(storage)


def shared_host_folder(storage: Path) -> Path:
    """This host's own folder in a storage folder that several share."""
    return storage / _HOSTS / socket.gethostname()
