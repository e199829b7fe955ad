"""Whether this machine's name service knows the hosts that the file names."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from service.config.mistakes import KeyPath
from service.config.reader import LoadedSite


def unknown_hosts(loaded: LoadedSite) -> Iterator[tuple[KeyPath, str]]:
    """Every host of senders, destinations, archives and the mail server that it does not know."""
    places: list[tuple[KeyPath, str]] = [
        (("destinations", name, "host"), one.host)
        for name, one in loaded.site.destinations.items()
        if one.host is not None
    ]
    places += [
        (("senders", title, "host"), sender.host)
        for title, sender in loaded.site.senders.items()
        if sender and sender.host
    ]
    places += [
        (("archives", name, "host"), each.host) for name, each in loaded.site.archives.items() if each.host
    ]
    if loaded.site.node.notify.email_to:
        places.append((("node", "notify", "smtp_host"), loaded.site.node.notify.smtp_host))
    for path, host in places:
        try:
            socket.getaddrinfo(host, None)
        except (OSError, UnicodeError):
            yield path, f"{host} is not known to this machine's name service"
