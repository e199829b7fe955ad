"""Loading the models that the first CT would have to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.contouring.contoured_ct import card_of
from service.errors import NodeError
from service.log import EventLog

if TYPE_CHECKING:
    from service.config.reader import LoadedSite
    from service.contouring.segment import ModelClient

_log = EventLog("contouring")


def warm_models(models: ModelClient, loaded: LoadedSite) -> None:
    """Load every model that a protocol names; one that cannot be loaded is told of when a CT needs it."""
    wanted = {use.model: protocol for protocol in loaded.site.protocols.values() for use in protocol.uses}
    for reference, protocol in wanted.items():
        try:
            models.warm(card_of(reference, protocol, loaded.bundle_folders))
        except NodeError as error:
            _log.warning("model.not-warm", model=reference, code=error.code)
