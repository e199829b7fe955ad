"""The configuration file edited from the console: saved whole or not at all, with every earlier text kept.

The history is files in the storage folder, ``configurations/<UTC time>.<account>.<version>.yaml``: what an
editor of the machine changed in between is kept too, at the next save.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.backlog.spool import write_durably
from service.config.reader import parse
from service.console.refusals import ConsoleRefused

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

_FOLDER: Final = "configurations"
_STAMP: Final = "%Y%m%dT%H%M%S%fZ"
_NAME: Final = re.compile(r"(\d{8}T\d{12}Z)\.([a-z0-9._@-]{1,64})\.([0-9a-f]{12})\.yaml")
_FOUND: Final = "the-machine"  # who wrote a text that the console did not save


@dataclass(frozen=True, slots=True)
class Kept:
    """One earlier text: its file's name, when it was saved (UTC seconds), by whom, and its version."""

    name: str
    at: float
    who: str
    version: str


def version_of(text: str) -> str:
    """As :class:`~service.config.reader.LoadedSite` has it."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def history(storage: Path) -> list[Kept]:
    """Newest first."""
    found = []
    for file in (storage / _FOLDER).glob("*.yaml"):
        parts = _NAME.fullmatch(file.name)
        if parts is not None:
            at = datetime.strptime(parts[1], _STAMP).replace(tzinfo=UTC).timestamp()
            found.append(Kept(file.name, at, parts[2], parts[3]))
    return sorted(found, key=lambda kept: kept.name, reverse=True)


def kept_text(storage: Path, name: str) -> str:
    """An earlier text.

    Raises:
        ConsoleRefused: there is none of that name.
    """
    file = storage / _FOLDER / name
    if _NAME.fullmatch(name) is None or not file.is_file():
        raise ConsoleRefused(404, "config.no-such-version", "There is no such earlier configuration.")
    return file.read_text(encoding="utf-8")


def save(loaded: LoadedSite, text: str, base: str, who: str) -> str:
    """Write ``text`` into the configuration file; its version.

    Args:
        loaded: the configuration in force, for where the file and the storage are.
        text: the new text.
        base: version of the text that the edit began with.
        who: the account.

    Raises:
        ConfigInvalid: the text has mistakes; nothing is written.
        ConsoleRefused: somebody else changed the file meanwhile, or it cannot be written.
    """
    text = text.replace("\r\n", "\n")
    text = text if text.endswith("\n") else text + "\n"
    parse(text, loaded.path)
    before = loaded.path.read_text(encoding="utf-8")
    if version_of(before) != base:
        sentence = "The file was changed by somebody else meanwhile. Load the page anew and edit that text."
        raise ConsoleRefused(409, "config.changed-meanwhile", sentence)
    known = {kept.version for kept in history(loaded.storage)}
    if base not in known:
        _keep(loaded.storage, before, _FOUND)
    try:
        _write(loaded.path, text)
    except OSError:
        sentence = f"{loaded.path.name} cannot be written by the console: edit it on the node's machine."
        raise ConsoleRefused(409, "config.not-writable", sentence) from None
    _keep(loaded.storage, text, who)
    return version_of(text)


def _keep(storage: Path, text: str, who: str) -> None:
    folder = storage / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    stamp = datetime.now(UTC).strftime(_STAMP)
    write_durably(folder / f"{stamp}.{who}.{version_of(text)}.yaml", text.encode())


def _write(file: Path, text: str) -> None:
    """In one step where the folder allows it; a file that is mounted alone is written in place."""
    file = file.resolve()
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".config.", suffix=".part")
    except OSError:
        file.write_text(text, encoding="utf-8")
        return
    part = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        part.chmod(file.stat().st_mode & 0o777)
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
        file.write_text(text, encoding="utf-8")
