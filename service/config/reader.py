"""Reads ``config.yaml``, says every mistake at once, follows its changes without losing the last good one."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from service.config.archive_checks import archive_mistakes
from service.config.consistency import SENDER, cross_mistakes
from service.config.derived_checks import derived_mistakes
from service.config.document import Document, read_document
from service.config.host_folder import host_folder
from service.config.mistakes import KeyPath, Mistake, key_text
from service.config.protocol import Protocol
from service.config.protocol_checks import bundle_folders_of, protocol_mistakes, with_all_structures
from service.config.restart import FIXED, waiting_keys
from service.config.return_address import return_address
from service.config.site import Destination, Sender, Site
from service.config.tls_sections import with_absolute_files
from service.config.validation import validated_site
from service.errors import ConfigInvalid
from service.log import EventLog
from service.process_life import CONFIG_AT_START

_log = EventLog("config")

AT_START: Final = "config.at-start.yaml"
"""Under this name a host's own folder keeps the file as it was when the node was started."""

_LARGEST_FILE: Final = 1_000_000
_VERSION_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class LoadedSite:
    """A good configuration.

    Attributes:
        site: what the file says.
        version: 12 hex digits of the SHA-256 of the text.
        path: absolute path of the file.
        text: as it was read.
    """

    site: Site
    version: str
    path: Path
    text: str = field(repr=False)

    @property
    def storage(self) -> Path:
        """Folder of the spool and the ledger, absolute."""
        return (self.path.parent / Path(self.site.node.storage).expanduser()).resolve()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the ledger and the engine."""
        database = self.site.node.database
        if database == "sqlite":
            return f"sqlite:///{self.storage / 'delineate.sqlite'}"
        return database.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def host_folder(self) -> Path:
        """Where this host keeps what it does not share with others, absolute."""
        return host_folder(self.storage, self.database_url)

    @property
    def bundle_folders(self) -> tuple[Path, ...]:
        """Folders with further model bundles, absolute."""
        return tuple(
            (self.path.parent / Path(name).expanduser()).resolve() for name in self.site.node.bundles
        )

    @property
    def own_ae_titles(self) -> tuple[str, ...]:
        """Called AE titles that are answered."""
        return (self.site.node.ae_title, *self.site.node.also_called)

    def sender(self, ae_title: str) -> Sender | None:
        """The sender that calls itself ``ae_title``; None if it may not call."""
        title = ae_title.strip()
        if title not in self.site.senders:
            return None
        return self.site.senders[title] or Sender()

    def protocol(self, name: str) -> Protocol | None:
        """The protocol of that name."""
        return self.site.protocols.get(name)

    def destination(self, name: str, sender_address: str | None = None) -> Destination | None:
        """The destination of that name, or the sender that ``sender:<AE title>`` means.

        ``sender_address`` is where the CT came from, used if the sender names no host. None if there is no
        such destination, or the sender has no port or no known address. An archive is a sender of what is
        pulled from it.
        """
        kind, sign, ae_title = name.partition(":")
        if not sign or kind != SENDER:
            return self.site.destinations.get(name)
        return return_address(self.site, ae_title, sender_address)

    def under(self, started: Site) -> LoadedSite:
        """The same with the sections that are in force until the restart."""
        return replace(
            self, site=self.site.model_copy(update={name: getattr(started, name) for name in FIXED})
        )

    def beside(self, written: str) -> Path:
        """A file or folder that is written relative to the configuration, absolute."""
        return (self.path.parent / Path(written).expanduser()).resolve()


def load(path: Path, *, check_bundles: bool = True) -> LoadedSite:
    """Read the file at ``path``.

    Raises:
        ConfigInvalid: with every mistake.
    """
    return parse(_text_of(path)[0], path, check_bundles=check_bundles)


def parse(
    text: str, path: Path, *, check_bundles: bool = True, bundles_in_force: tuple[str, ...] | None = None
) -> LoadedSite:
    """Read ``text`` as if it stood in ``path``; ``check_bundles=False`` for the text of an earlier time.

    Raises:
        ConfigInvalid: with every mistake.
    """
    document = read_document(text)
    mistakes = list(document.mistakes)
    site = None
    if document.tree is not None:
        site, wrong = validated_site(document)
        mistakes += wrong + cross_mistakes(document) + derived_mistakes(document)
        mistakes += archive_mistakes(document)
        if check_bundles:
            mistakes += protocol_mistakes(document, path.absolute().parent, bundles_in_force)
    if mistakes or site is None:
        raise ConfigInvalid(tuple(mistake.said_of(path.name) for mistake in _placed(document, mistakes)))
    in_force = site.node.bundles if bundles_in_force is None else bundles_in_force
    site = with_all_structures(site, bundle_folders_of(in_force, path.absolute().parent))
    site = with_absolute_files(site, path.absolute().parent)
    version = hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]
    return LoadedSite(site, version, path.absolute(), text)


def _placed(document: Document, mistakes: list[Mistake]) -> list[Mistake]:
    """In the order of the file, each once; a mistake of the YAML gets the key that begins its line."""
    first_key: dict[int, KeyPath] = {}
    for path, line in document.lines.items():
        if isinstance(path[0], str):
            first_key.setdefault(line, path)
    placed = [replace(one, key=one.key or key_text(first_key.get(one.line, ()))) for one in mistakes]
    return sorted(dict.fromkeys(placed), key=lambda mistake: mistake.line)


def _text_of(path: Path) -> tuple[str, float]:
    """Content of the file and the time of its last change, both of one opened file.

    Raises:
        ConfigInvalid: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            changed_at = os.fstat(file.fileno()).st_mtime
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        reason = (
            "there is no such file" if isinstance(error, FileNotFoundError) else "the file cannot be read"
        )
        raise ConfigInvalid((f"{path.name}:1: {reason} ({type(error).__name__})",)) from error
    if len(content) > _LARGEST_FILE:
        raise ConfigInvalid((f"{path.name}:1: the file is larger than 1 MB; this is no configuration",))
    try:
        return content.decode("utf-8"), changed_at
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        sentence = "holds a character that is not UTF-8; save the file as UTF-8"
        raise ConfigInvalid((f"{path.name}:{line}: {sentence}",)) from error


class WatchedSite:
    """The file while the node runs: re-read when its content changes, the last good one kept.

    An edit counts once the file has been still for ``settle_seconds`` (ten times as long if its last line is
    unfinished): a file that is being written is not taken for a shorter one. Changes under ``node:`` wait for
    a restart and are named by ``restart_needed``. May be used by several threads.

    A process of a running node begins with the configuration that the node started with and then looks at
    the file like the others, so that one which is started again neither fails on a bad edit nor takes a
    ``node:`` section that the others do not have.

    Raises:
        ConfigInvalid: the file is not good when the node starts.
    """

    def __init__(
        self, path: Path, *, settle_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path.absolute()
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        started_with = os.environ.get(CONFIG_AT_START)
        text = None if started_with is None else _text_of(Path(started_with))[0]
        self._loaded = load(self._path) if text is None else parse(text, self._path)
        self._started = self._loaded.site
        self._considered: str | None = self._loaded.text
        self._changing: tuple[str, float] | None = None
        self._mistakes: tuple[str, ...] = ()
        self._restart_needed: tuple[str, ...] = ()

    def current(self) -> LoadedSite:
        """The configuration in force."""
        with self._lock:
            self._look()
            return self._loaded

    @property
    def mistakes(self) -> tuple[str, ...]:
        """What is wrong with the file as it is now; empty if the configuration in force is the file."""
        with self._lock:
            self._look()
            return self._mistakes

    @property
    def restart_needed(self) -> tuple[str, ...]:
        """Keys whose new values wait for a restart, e.g. ``node.port``."""
        with self._lock:
            self._look()
            return self._restart_needed

    def _look(self) -> None:
        try:
            text, changed_at = _text_of(self._path)
        except ConfigInvalid as error:
            self._considered = None  # whatever comes back is news
            self._refuse(error)
            return
        if text == self._considered or not self._is_still(text, changed_at):
            return
        self._considered = text
        try:
            self._take(text)
        except ConfigInvalid as error:
            self._refuse(error)

    def _refuse(self, error: ConfigInvalid) -> None:
        if error.mistakes != self._mistakes:
            _log.error("config.invalid", count=len(error.mistakes), version=self._loaded.version)
        self._mistakes = error.mistakes

    def _is_still(self, text: str, changed_at: float) -> bool:
        needed = self._settle_seconds * (1 if text.endswith("\n") else 10)
        if self._changing is None or self._changing[0] != text:
            self._changing = (text, self._clock())
        return time.time() - changed_at >= needed or self._clock() - self._changing[1] >= needed

    def _take(self, text: str) -> None:
        """Put ``text`` in force, or raise ``ConfigInvalid``."""
        loaded = parse(text, self._path, bundles_in_force=tuple(self._started.node.bundles))
        gone = sorted(_sections(self._loaded.text) - _sections(text))
        if gone:
            raise ConfigInvalid(tuple(_gone(self._path.name, section) for section in gone))
        self._restart_needed = tuple(waiting_keys(self._started, loaded.site))
        self._loaded = loaded.under(self._started)
        self._mistakes = ()
        _log.info("config.loaded", version=loaded.version, count=len(self._restart_needed))


def restart_needed(loaded: LoadedSite) -> tuple[str, ...]:
    """Keys that the file has otherwise than the node had at its last start, and that wait for the next."""
    try:
        text, _ = _text_of(loaded.host_folder / AT_START)
        started = parse(text, loaded.path, check_bundles=False).site
    except ConfigInvalid:  # never started here, or by a program that knew other keys
        return ()
    return tuple(waiting_keys(started, loaded.site))


def _sections(text: str) -> set[str]:
    return set(read_document(text).tree or ())


def _gone(file: str, section: str) -> str:
    empty = "[]" if section == "routes" else "{}"
    sentence = (
        f"was there and is gone, as in a half-written file; if that is meant write `{section}: {empty}`"
    )
    return f"{file}:1: {section}: {sentence}"
