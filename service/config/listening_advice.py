"""Whether the ports of the file can be listened on, and by those who are to call."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from itertools import combinations

from service.config.mistakes import KeyPath, listed
from service.config.reader import LoadedSite

_Said = Iterator[tuple[KeyPath, str]]


def listening_warnings(loaded: LoadedSite) -> _Said:
    """Addresses of other machines or that callers do not reach, and a port that is given twice."""
    yield from _out_of_reach(loaded)
    ports = _ports(loaded)
    addresses = dict.fromkeys((address_path, address) for _, _, address_path, address in ports)
    for path, address in addresses:
        if not _is_of_this_machine(address):
            yield path, f"{address} is no address of this machine, so nothing could listen there"
    for (first, port, _, one), (path, other_port, _, other) in combinations(ports, 2):
        if port == other_port != 0 and _overlap(one, other):
            yield path, f"{port} is {'.'.join(map(str, first))} too; only one of the two could listen"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address or network."""
    return address == "localhost" or ipaddress.ip_network(address, strict=False).is_loopback


def _out_of_reach(loaded: LoadedSite) -> _Said:
    bind = loaded.site.node.bind
    if not is_loopback(bind):
        return
    remote = [
        title
        for title, sender in loaded.site.senders.items()
        if not sender or not sender.addresses or not all(is_loopback(a) for a in sender.addresses)
    ]
    if remote:
        sentence = f"is {bind}, which only this machine reaches: {listed(remote)} cannot call from elsewhere"
        yield ("node", "bind"), sentence + "; write 0.0.0.0 or the address of a network card"


def _ports(loaded: LoadedSite) -> list[tuple[KeyPath, int, KeyPath, str]]:
    """Path and number of each port that is listened on, path and text of its address."""
    node, console = loaded.site.node, loaded.site.console
    found: list[tuple[KeyPath, int, KeyPath, str]] = []
    if node.plain_port != "off":
        found.append((("node", "port"), node.port, ("node", "bind"), node.bind))
    if node.tls is not None:
        own = node.tls.bind
        path: KeyPath = ("node", "bind") if own is None else ("node", "tls", "bind")
        found.append((("node", "tls", "port"), node.tls.port, path, own or node.bind))
    if console.enabled:
        found.append((("console", "port"), console.port, ("console", "host"), console.host))
    return found


def _is_of_this_machine(address: str) -> bool:
    """A socket can be bound to it; a port that is in use is another matter, as the node itself may run."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True


def _overlap(one: str, other: str) -> bool:
    return one == other or any(ipaddress.ip_address(each).is_unspecified for each in (one, other))
