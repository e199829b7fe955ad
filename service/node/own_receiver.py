"""How processes of this host call the node's own Storage SCP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.arrival.port_file import PORT_FILE, STANDING_BY
from service.delivery.association import Peer
from service.dicom.transport_security import own_certificate_both_ways

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 where to call a server that listens on all


class NotReceiving(Exception):
    """No Storage SCP of this host listens; ``standing_by`` says that another host's does."""

    def __init__(self, *, standing_by: bool) -> None:
        super().__init__("no Storage SCP listens on this host")
        self.standing_by = standing_by


def own_receiver(loaded: LoadedSite, calling_ae_title: str, timeout_seconds: float) -> Peer:
    """The Storage SCP of this host, to be called with that title.

    Raises:
        NotReceiving: none listens here.
        TlsUnusable: it listens over TLS only and its certificate cannot be read.
    """
    node = loaded.site.node
    try:
        said = (loaded.host_folder / PORT_FILE).read_text().strip()
        port = 0 if said == STANDING_BY else int(said)
    except (FileNotFoundError, ValueError):
        raise NotReceiving(standing_by=False) from None
    if not port:
        raise NotReceiving(standing_by=True)
    bind, tls = node.bind, None
    if node.plain_port == "off" and node.tls is not None:
        bind = node.tls.bind or bind
        tls = own_certificate_both_ways(node.tls)
    elif node.plain_port == "loopback":
        bind = "::1" if ":" in bind else "127.0.0.1"
    return Peer(node.ae_title, _ANY.get(bind, bind), port, calling_ae_title, timeout_seconds, tls)
