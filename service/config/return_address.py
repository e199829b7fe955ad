"""Where a structure set goes that shall go back to whom its CT came from: a sender, or an archive."""

from __future__ import annotations

from service.config.archive_section import Archive
from service.config.site import Destination, Sender, Site


def archives_of(site: Site, ae_title: str) -> list[Archive]:
    """Archives whose CT come with this calling AE title when they are pulled; one system may be several."""
    return [each for each in site.archives.values() if each.arrives_as == ae_title.strip()]


def return_address(site: Site, ae_title: str, sender_address: str | None) -> Destination | None:
    """The peer of that AE title as a destination.

    ``sender_address`` is where the CT came from, used if a sender names no host. None if the peer takes
    nothing: a sender without port or known address, an archive without DICOM.
    """
    title = ae_title.strip()
    if title in site.senders:
        return _of_sender(title, site.senders[title] or Sender(), sender_address)
    for archive in archives_of(site, title):
        if archive.host is not None and archive.port is not None:
            at = Destination(ae_title=archive.ae_title, host=archive.host, port=archive.port)
            return at.model_copy(update={"tls": archive.tls, "calling_ae_title": archive.calling_ae_title})
    return None


def _of_sender(title: str, sender: Sender, sender_address: str | None) -> Destination | None:
    host = sender.host or sender_address
    if sender.port is None or host is None:
        return None
    at = Destination(ae_title=title, host=host, port=sender.port, profile=sender.profile)
    return at.model_copy(update={"tls": sender.tls})
