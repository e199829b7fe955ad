"""The candidate that a protocol names beside its model, and what it contours in the shadow of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.cards.card import BundleError
from models.cards.catalog import find_bundle
from service.config.protocol import Protocol
from service.errors import ModelRefused


def in_the_shadow(protocol: Protocol, folders: Sequence[Path]) -> Protocol:
    """The protocol with the candidate in its model's place.

    It makes what the protocol sends, as far as the candidate offers it. A candidate that was not validated
    needs no permission: nothing of it leaves, and promoting it asks for that.

    Args:
        protocol: with ``shadow``.
        folders: ``LoadedSite.bundle_folders``.

    Raises:
        ModelRefused: ``shadow.none``: it names no candidate; or the bundle is not there.
    """
    if protocol.shadow is None:
        raise ModelRefused("shadow.none", "The protocol names no candidate under `shadow` any more.")
    try:
        offers = find_bundle(protocol.shadow, folders).structures
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
    structures = {name: how for name, how in protocol.structures.items() if name in offers}
    return protocol.model_copy(
        update={
            "model": protocol.shadow,
            "shadow": None,
            "structures": structures,
            "allow_unvalidated": True,
        }
    )
