"""Puts a run together from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from service.backlog.ledger import Ledger
from service.backlog.pull_orders import PullOrders
from service.backlog.spool import Spool
from service.errors import NodeError
from service.node.own_receiver import NotReceiving, own_receiver
from service.retrieval.dimse_archive import DimseArchive
from service.retrieval.relay import NodeAway
from service.retrieval.run import NodeParts, Run
from service.retrieval.troubles import PullStopped
from service.retrieval.web_archive import WebArchive

if TYPE_CHECKING:
    from service.config.reader import LoadedSite
    from service.delivery.association import Peer
    from service.retrieval.choices import Choices, Show
    from service.retrieval.source import Source

_NODE_SECONDS: Final = 300.0
"""How long the node may take for one image, or the archive between two, before we ask it anew."""


def check_choices(loaded: LoadedSite, choices: Choices) -> None:
    """Whether the configuration has what is named.

    Raises:
        NodeError: it has not.
    """
    site = loaded.site
    named = (
        ("archive", [choices.archive], list(site.archives)),
        ("protocol", [choices.protocol] if choices.protocol else [], list(site.protocols)),
        ("destination", list(choices.destinations), list(site.destinations)),
    )
    for kind, wanted, known in named:
        for name in wanted:
            if name not in known:
                sentence = f"The configuration has no {kind} {name}. It has: {', '.join(known) or 'none'}."
                raise NodeError(f"pull.no-such-{kind}", sentence)
    if choices.destinations and choices.protocol is None:
        raise NodeError(
            "pull.to-without-protocol", "Routes say where sets go; name a protocol to say it here."
        )


def open_run(loaded: LoadedSite, ledger: Ledger, choices: Choices, show: Show) -> Run:
    """A run with the node of this configuration; names are known to be right.

    Raises:
        LedgerRefused: the database is not that of a node of this version.
        SpoolUnavailable: the storage folder cannot be written.
    """
    ledger.check()
    node, archive = loaded.site.node, loaded.site.archives[choices.archive]
    classes = (str(CTImageStorage), *([str(EnhancedCTImageStorage)] if node.enhanced_ct else []))
    spool = Spool(loaded.storage)

    def receiver() -> Peer:
        try:
            return own_receiver(loaded, archive.arrives_as, _NODE_SECONDS)
        except NotReceiving as found:
            if not found.standing_by:
                raise NodeAway from None
            sentence = "Another host receives just now. Run this there; what was done is known there too."
            raise PullStopped("pull.other-host-receives", sentence) from None

    source: Source
    if archive.retrieve == "wado":
        source = WebArchive(archive, classes)
    else:
        source = DimseArchive(archive, node.ae_title, classes, spool.series_folder)
    orders = PullOrders(loaded.storage)
    orders.forget_old()
    parts = NodeParts(loaded, ledger, spool, orders, receiver, classes)
    return Run(parts, source, choices, show)
