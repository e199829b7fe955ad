"""Whether the processes of this host do their work: for Docker's health check, systemd, and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.arrival.port_file import PORT_FILE, STANDING_BY
from service.delivery.outcome import OUR_CERTIFICATE_REFUSED
from service.delivery.storage_scu import Peer, echo
from service.dicom.transport_security import own_certificate_both_ways
from service.node.heartbeat import ages_seconds

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

_SILENT_SECONDS: Final = 15.0
_ECHO_SECONDS: Final = 5.0
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 where to call a server that listens on all
_TURNED_AWAY: Final = ("delivery.association-rejected", OUR_CERTIFICATE_REFUSED)
"""It listens and decides, and does not know our title, or takes our certificate for no sender's."""


def problems(loaded: LoadedSite) -> list[str]:
    """A sentence for each thing that is wrong on this host; empty if all is well."""
    ages = ages_seconds(loaded.storage)
    if not ages:
        return ["No process of the node runs on this machine."]
    found = [
        f"The {role} process has given no sign of life for {age:.0f} s."
        for role, age in sorted(ages.items())
        if age > _SILENT_SECONDS
    ]
    if "arrival" in ages:
        found += _arrival_problems(loaded)
    return found


def _arrival_problems(loaded: LoadedSite) -> list[str]:
    node = loaded.site.node
    try:
        said = (loaded.host_folder / PORT_FILE).read_text().strip()
        if said == STANDING_BY:
            return []
        port = int(said)
    except (FileNotFoundError, ValueError):
        return ["The Storage SCP does not listen."]
    bind, tls = node.bind, None
    if node.plain_port == "off" and node.tls is not None:
        bind = node.tls.bind or bind
        tls = own_certificate_both_ways(node.tls)
    elif node.plain_port == "loopback":
        bind = "::1" if ":" in bind else "127.0.0.1"
    peer = Peer(node.ae_title, _ANY.get(bind, bind), port, node.ae_title, _ECHO_SECONDS, tls)
    answer = echo(peer)
    if answer.stored or answer.code in _TURNED_AWAY:
        return []
    return ["The Storage SCP does not answer C-ECHO."]
