"""Who may open an association, and with which code one is turned away (PS3.8 Table 9-21)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

from service.config.return_address import archives_of

if TYPE_CHECKING:
    from service.config.site import Sender, Site
    from service.dicom.transport_security import PeerCertificate


class Rejection(NamedTuple):
    """Result, source and reason of an A-ASSOCIATE-RJ, and the code in our log."""

    result: int
    source: int
    reason: int
    code: str


CALLED_AE_TITLE: Final = Rejection(1, 1, 7, "association.called-ae-title-unknown")
CALLING_AE_TITLE: Final = Rejection(1, 1, 3, "association.calling-ae-title-unknown")
ADDRESS: Final = Rejection(1, 1, 1, "association.address-not-allowed")
TLS_REQUIRED: Final = Rejection(1, 1, 1, "association.tls-required")
CERTIFICATE: Final = Rejection(1, 1, 1, "association.certificate-not-of-this-sender")
LIMIT: Final = Rejection(2, 3, 2, "association.limit-reached")
SHUTTING_DOWN: Final = Rejection(2, 3, 1, "association.shutting-down")


class Connection(NamedTuple):
    """What the transport says of a peer: whether it is TLS, and the certificate that it showed."""

    tls: bool = False
    certificate: PeerCertificate | None = None


PLAIN: Final = Connection()


def judge(
    site: Site, *, calling: str, called: str, address: str, connection: Connection = PLAIN
) -> Rejection | None:
    """Why this peer is turned away, or None. AE titles are compared case-sensitively, without padding."""
    if called.strip() not in (site.node.ae_title, *site.node.also_called):
        return CALLED_AE_TITLE
    if calling.strip() == site.node.ae_title and _is_this_machine(address, site.node.bind):
        return None  # the node's own health check
    if is_pulled(site, calling, address):
        return None
    if calling.strip() not in site.senders:
        return None if calling.strip() in _answering(site) else CALLING_AE_TITLE
    sender = site.senders[calling.strip()]
    if sender is not None and sender.addresses and not _lies_in(address, sender.addresses):
        return ADDRESS
    return _judge_certificate(sender, connection) if sender is not None else None


def is_pulled(site: Site, calling: str, address: str) -> bool:
    """Whether this is `delineate pull`, which hands on what it was sent by an archive, in the archive's name.

    It may store only series that were ordered.
    """
    hands_on = any(archive.retrieve != "move" for archive in archives_of(site, calling))
    return hands_on and _is_this_machine(address, site.node.bind)


def _answering(site: Site) -> set[str]:
    """Titles of destinations that call to say whether they keep what they acknowledged."""
    wanted = [each for each in site.destinations.values() if each.storage_commitment]
    return {(each.commitment.ae_title or each.ae_title or "").strip() for each in wanted}


def _judge_certificate(sender: Sender, connection: Connection) -> Rejection | None:
    """A sender whose certificate is configured comes over TLS and with that certificate, or not at all."""
    names = {name.casefold() for name in sender.certificate_names}
    if not names and not sender.certificate_fingerprints:
        return None
    if not connection.tls:
        return TLS_REQUIRED
    shown = connection.certificate
    if shown is None:
        return CERTIFICATE
    right = not sender.certificate_fingerprints or shown.fingerprint in sender.certificate_fingerprints
    named = not names or bool(names & shown.names)
    return None if right and named else CERTIFICATE


def plain_address(address: str) -> str:
    """An IP address as people write it: an IPv4 address that came through an IPv6 socket is IPv4 again."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)


def _is_this_machine(address: str, bind: str) -> bool:
    place = plain_address(address)
    return ipaddress.ip_address(place).is_loopback or place == plain_address(bind)


def _lies_in(address: str, networks: list[str]) -> bool:
    place = ipaddress.ip_address(plain_address(address))
    return any(place in ipaddress.ip_network(network, strict=False) for network in networks)
