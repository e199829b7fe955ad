"""What a good file will still not do: warnings of ``delineate check``, found without starting anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Final

from models.cards.catalog import find_bundle
from models.runtimes.installed_extras import missing_extra
from service.config.archive_checks import archive_warnings
from service.config.certificates import ending_soon
from service.config.connections import unanswered
from service.config.consistency import SENDER
from service.config.criteria import compile_criterion, folded
from service.config.document import read_document
from service.config.known_hosts import unknown_hosts
from service.config.listening_advice import is_loopback, listening_warnings
from service.config.mistakes import KeyPath, Mistake, key_text, listed
from service.config.openid_advice import openid_warnings
from service.config.output_advice import output_warnings
from service.config.reader import LoadedSite
from service.config.route_section import Route
from service.config.tls_sections import tls_sections

_NETWORK_FILE_SYSTEMS: Final = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs",
    "fuse.rclone",
})  # fmt: skip
_MOUNTS: Final = Path("/proc/mounts")
_GPU_DRIVERS: Final = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))  # NVIDIA, WSL, AMD
_Said = Iterator[tuple[KeyPath, str]]


def warnings_of(
    loaded: LoadedSite, *, connect: bool = False, also: Iterable[tuple[KeyPath, str]] = ()
) -> tuple[Mistake, ...]:
    """Everything that will not work as it stands, in the order of the file.

    Names are looked up; only with ``connect`` is a TCP connection to each destination tried. ``also`` is what
    others have found.
    """
    document = read_document(loaded.text)
    checks = [
        listening_warnings,
        _senders,
        _routes,
        _modes,
        unknown_hosts,
        _own_titles,
        _storage,
        _device,
        _console,
        _mail,
    ]
    checks += [_certificates, _archives, _bundles, _extras, output_warnings, openid_warnings]
    if connect:
        checks.append(unanswered)
    said = [*also, *(found for check in checks for found in check(loaded))]
    return tuple(sorted({Mistake(document.line(path), key_text(path), sentence) for path, sentence in said}))


def _senders(loaded: LoadedSite) -> _Said:
    if not loaded.site.senders:
        yield ("senders",), "no sender is listed, so every caller is rejected"
    for title, sender in loaded.site.senders.items():
        if sender and sender.find_count and sender.port is None:
            yield ("senders", title, "find_count"), "asks by C-FIND but has no port to ask at"


def _routes(loaded: LoadedSite) -> _Said:
    if not loaded.site.routes:
        yield ("routes",), "there is no route: what arrives is kept and not contoured"
    for index, route in enumerate(loaded.site.routes):
        path = ("routes", index)
        if route.mode in ("send", "hold") and not route.send_to:
            yield path, f"'{route.name}' has no destination: structure sets are made and stay here"
        archives = [each.arrives_as for each in loaded.site.archives.values()]
        callers = _matching(route, "calling_ae", [*loaded.site.senders, *archives])
        if not callers and loaded.site.senders:
            yield (*path, "when", "calling_ae"), "matches no sender of this file: the route never applies"
        if not _matching(route, "called_ae", list(loaded.own_ae_titles)):
            yield (
                (*path, "when", "called_ae"),
                "matches none of the node's AE titles: the route never applies",
            )
        modality = route.when.get("Modality")
        if modality is not None and not compile_criterion("Modality", modality).matches(("CT",)):
            yield (*path, "when", "Modality"), "does not match CT, the only modality there is a model for"
        silent = [title for title in callers if title not in archives and not _port_of(loaded, title)]
        if SENDER in route.send_to and silent:
            yield (*path, "send_to"), f"sends back to {listed(silent)}, which has no port under senders"


def _archives(loaded: LoadedSite) -> _Said:
    yield from archive_warnings(loaded.site)


def _matching(route: Route, key: str, titles: list[str]) -> list[str]:
    if key not in route.when:
        return titles
    criterion = compile_criterion(key, route.when[key])
    return [title for title in titles if criterion.matches((title,))]


def _port_of(loaded: LoadedSite, title: str) -> int | None:
    sender = loaded.sender(title)
    return sender.port if sender else None


def _modes(loaded: LoadedSite) -> _Said:
    """Two routes of one protocol that disagree: the more careful one may come as a surprise."""
    active = [(index, route) for index, route in enumerate(loaded.site.routes) if route.mode != "off"]
    for (_, first), (index, second) in combinations(active, 2):
        both = _protocols(first) & _protocols(second)
        if both and first.mode != second.mode:
            sentence = (
                f"is {second.mode} and '{first.name}' is {first.mode} for {listed(sorted(both))}: a series "
                "that takes both routes gets the more careful of them (shadow before hold before send)"
            )
            yield ("routes", index, "mode"), sentence


def _protocols(route: Route) -> set[str]:
    return {route.contour} if isinstance(route.contour, str) else set(route.contour)


def _extras(loaded: LoadedSite) -> _Said:
    """Models whose optional part of the installation is missing."""
    for name, protocol in loaded.site.protocols.items():
        for use in protocol.uses:
            extra = missing_extra(find_bundle(use.model, loaded.bundle_folders))
            if extra is not None:
                yield ("protocols", name), f"{use.model} needs an extra: pip install delineate[{extra}]"


def _own_titles(loaded: LoadedSite) -> _Said:
    own = {folded(title) for title in loaded.own_ae_titles}
    for title in loaded.site.senders:
        if folded(title) in own:
            yield ("senders", title), "is the node's own AE title; most systems cannot tell the two apart"
    for name, destination in loaded.site.destinations.items():
        path = ("destinations", name)
        if destination.ae_title is None:
            continue
        here = destination.host in ("localhost", "127.0.0.1", "::1", loaded.site.node.bind)
        if here and destination.port == loaded.site.node.port:
            yield path, "is the node itself: structure sets would come back to it"
        elif folded(destination.ae_title) in own:
            yield path, "has the node's own AE title; most systems cannot tell the two apart"


def _certificates(loaded: LoadedSite) -> _Said:
    for end, sentence in ending_soon(loaded.site):
        yield end.path, sentence
    for path, section in tls_sections(loaded.site):
        for key in ("key", "passphrase_file"):
            file = getattr(section, key)
            if file is not None and _others_may_read(Path(file)):
                yield (*path, key), "can be read by other users of this machine; take that right from them"


def _others_may_read(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def _bundles(loaded: LoadedSite) -> _Said:
    for index, written in enumerate(loaded.site.node.bundles):
        if not loaded.beside(written).is_dir():
            yield ("node", "bundles", index), f"{written} is no folder"


def _storage(loaded: LoadedSite) -> _Said:
    existing = loaded.storage
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield ("node", "storage"), f"{existing} cannot be written by this user; nothing could be received"
    if loaded.site.node.database == "sqlite":
        kind = _network_file_system(existing)
        written = loaded.site.node.storage
        if kind or written.startswith(("//", "\\\\")):
            sentence = f"lies on a network file system ({kind or 'share'}), where SQLite is not safe"
            yield ("node", "storage"), sentence + "; use a local disk, or PostgreSQL as database"


def _device(loaded: LoadedSite) -> _Said:
    if loaded.site.node.device == "cuda" and not any(driver.exists() for driver in _GPU_DRIVERS):
        sentence = "is cuda and this machine shows no GPU: every CT would be refused; say auto, or cpu"
        yield ("node", "device"), sentence + ", install the driver, or give the container the GPU"


def _console(loaded: LoadedSite) -> _Said:
    console = loaded.site.console
    if not console.enabled:
        return
    if console.tls_certificate is None and not is_loopback(console.host):
        sentence = (
            f"is {console.host} without TLS: names of patients and passwords cross the network in the clear"
        )
        yield ("console", "host"), sentence + "; give tls_certificate and tls_key, or listen on 127.0.0.1"
    for key in ("tls_certificate", "tls_key"):
        written = getattr(console, key)
        if written is not None and not os.access(loaded.beside(written), os.R_OK):
            yield ("console", key), f"{written} cannot be read by this user; the console would not start"


def _mail(loaded: LoadedSite) -> _Said:
    notify = loaded.site.node.notify
    here = notify.smtp_host in ("localhost", "127.0.0.1", "::1")
    if notify.smtp_user is not None and notify.smtp_security == "none" and not here:
        sentence = (
            "signs in without TLS: the password crosses the network in the clear; say smtp_security: starttls"
        )
        yield ("node", "notify", "smtp_user"), sentence
    for key in ("smtp_password_file", "webhook_token_file"):
        written = getattr(notify, key)
        if written is not None and not os.access(loaded.beside(written), os.R_OK):
            yield ("node", "notify", key), f"{written} cannot be read by this user; nobody would be told"


def _network_file_system(folder: Path) -> str | None:
    """Type of the file system that ``folder`` lies on, if it is one of the network's."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    around = {str(folder), *(str(parent) for parent in folder.parents)}
    kinds = [
        (len(where), order, kind) for order, (_, where, kind, *_) in enumerate(mounts) if where in around
    ]
    nearest = max(kinds, default=(0, 0, ""))[2]  # the later of two mounts on one folder hides the earlier
    return nearest if nearest in _NETWORK_FILE_SYSTEMS else None
