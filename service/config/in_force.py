"""The configuration for commands that look at a node: the file, or what it began with while that is bad."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from service.config.host_folder import shared_host_folder
from service.config.reader import AT_START, LoadedSite, load, parse
from service.errors import ConfigInvalid

_STORAGE: Final = re.compile(
    r"""^\s*storage:\s*["']?([^\s"',}#]+)|[{,]\s*storage:\s*["']?([^\s"',}#]+)""", re.M
)


def load_in_force(path: Path) -> tuple[LoadedSite, tuple[str, ...]]:
    """The configuration at ``path`` and no mistakes, or what the node was started with and the mistakes.

    A broken edit must not keep people from seeing or stopping what the node does.

    Raises:
        ConfigInvalid: the file has mistakes and no node was ever started with it.
    """
    try:
        return load(path, check_bundles=False), ()
    except ConfigInvalid as error:
        storage = _storage_of(path)
        copies = (storage / AT_START, shared_host_folder(storage) / AT_START)
        copy = next((each for each in copies if each.is_file()), None)
        if copy is None:
            raise
        return parse(copy.read_text(encoding="utf-8"), path.absolute(), check_bundles=False), error.mistakes


def _storage_of(path: Path) -> Path:
    """Where the storage folder would be, read from a file that need not be YAML any more."""
    try:
        found = _STORAGE.search(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = None
    named = next((each for each in found.groups() if each), "./var") if found else "./var"
    return path.absolute().parent / Path(named).expanduser()
