"""Loading what the first CT would have to wait for: models, and tables of the Standard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import highdicom
from pydicom.uid import RTStructureSetStorage

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


def warm_writer() -> None:
    """Have highdicom read its tables of the Standard, which it does for the first object that it makes."""
    highdicom.SOPClass("2.25.1", "2.25.2", 1, "2.25.3", RTStructureSetStorage, 1, "RTSTRUCT")
