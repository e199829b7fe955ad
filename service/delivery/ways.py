"""The way to a destination: C-STORE, STOW-RS, or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.delivery import folder
from service.delivery.association import peer_of
from service.delivery.storage_scu import send

if TYPE_CHECKING:
    from service.backlog.records import Delivery
    from service.config.reader import LoadedSite
    from service.config.site import Destination
    from service.delivery.outcome import Outcome


def bring(delivery: Delivery, destination: Destination, loaded: LoadedSite) -> Outcome:
    """Make one attempt; never raises for what the destination does."""
    if destination.folder is not None:
        return folder.write(delivery, loaded.beside(destination.folder))
    if destination.dicomweb is not None:
        from service.delivery.stow_rs import Service, store  # its library is read where it is used

        web = destination.dicomweb
        service = Service(
            web.studies_url, web, loaded.path.parent, destination.timeout_seconds, destination.tls
        )
        return store(delivery.file, service, sop_instance_uid=delivery.sop_instance_uid)
    title = destination.calling_ae_title or loaded.site.node.ae_title
    return send(delivery.file, peer_of(destination, title), sop_instance_uid=delivery.sop_instance_uid)
