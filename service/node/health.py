"""Whether the processes of this host do their work: for Docker's health check, systemd, and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.delivery.outcome import OUR_CERTIFICATE_REFUSED
from service.delivery.storage_scu import echo
from service.node.heartbeat import ages_seconds
from service.node.own_receiver import NotReceiving, own_receiver

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

_SILENT_SECONDS: Final = 15.0
_ECHO_SECONDS: Final = 5.0
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
    try:
        peer = own_receiver(loaded, loaded.site.node.ae_title, _ECHO_SECONDS)
    except NotReceiving as found:
        return [] if found.standing_by else ["The Storage SCP does not listen."]
    answer = echo(peer)
    if answer.stored or answer.code in _TURNED_AWAY:
        return []
    return ["The Storage SCP does not answer C-ECHO."]
