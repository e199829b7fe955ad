"""The ``tls:`` sections of a site: where they are, and their files by absolute names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from service.config.archive_section import Archive
from service.config.section import Section
from service.config.transport_security import ClientTls, ServerTls

if TYPE_CHECKING:
    from service.config.mistakes import KeyPath
    from service.config.site import Site

_FILES: Final = ("certificate", "key", "passphrase_file", "trusted_certificates")
_SECRETS: Final = ("password_file", "token_file")
_Holder = TypeVar("_Holder", bound=Section)


def with_absolute_files(site: Site, folder: Path) -> Site:
    """The same with files of ``tls:`` sections and archives taken from the configuration's own folder."""
    senders = {title: sender and _absolute(sender, folder) for title, sender in site.senders.items()}
    destinations = {name: _absolute(each, folder) for name, each in site.destinations.items()}
    archives = {name: _with_secrets(_absolute(each, folder), folder) for name, each in site.archives.items()}
    node = _absolute(site.node, folder)
    changed = {"node": node, "senders": senders, "destinations": destinations, "archives": archives}
    return site.model_copy(update=changed)


def tls_sections(site: Site) -> Iterator[tuple[KeyPath, ServerTls | ClientTls]]:
    """Every ``tls:`` section with its place in the file."""
    if site.node.tls is not None:
        yield ("node", "tls"), site.node.tls
    for title, sender in site.senders.items():
        if sender is not None and sender.tls is not None:
            yield ("senders", title, "tls"), sender.tls
    for name, destination in site.destinations.items():
        if destination.tls is not None:
            yield ("destinations", name, "tls"), destination.tls
    for name, archive in site.archives.items():
        if archive.tls is not None:
            yield ("archives", name, "tls"), archive.tls


def _absolute(holder: _Holder, folder: Path) -> _Holder:
    section: Any = getattr(holder, "tls", None)
    if section is None:
        return holder
    files = {name: getattr(section, name) for name in _FILES}
    found = {name: str(folder / Path(file).expanduser()) for name, file in files.items() if file is not None}
    return holder.model_copy(update={"tls": section.model_copy(update=found)})


def _with_secrets(archive: Archive, folder: Path) -> Archive:
    files = {name: getattr(archive, name) for name in _SECRETS}
    found = {name: str(folder / Path(file).expanduser()) for name, file in files.items() if file is not None}
    return archive.model_copy(update=found)
