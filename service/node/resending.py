"""Sending a structure set to a destination again, or to one that has not had it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.config.output_objects import ObjectKind
from service.errors import DeliveryFailed

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.operations import Operations
    from service.backlog.records import Delivery
    from service.config.reader import LoadedSite
    from service.config.site import Destination


def resend(loaded: LoadedSite, ledger: Ledger, operations: Operations, job_id: str, to: str) -> Delivery:
    """Submit it; the running node sends it: what went there before, else what the destination gets.

    Returns:
        The first of the deliveries.

    Raises:
        DeliveryFailed: there is no such destination, or what it gets was not made.
        LedgerRefused: there is no such job, or its structure set was purged.
    """
    if to in {each.destination for each in ledger.deliveries(job_id)}:
        return operations.resend(job_id, to)
    from service.contouring.object_files import object_file, sop_instance_uid
    from service.contouring.profiles import profile_of

    at = destination_named(loaded, to, ledger.series(ledger.job(job_id).series_id).sender_address)
    folder, profile = loaded.storage / "jobs" / job_id, profile_of(at, loaded.site)
    files = {kind: object_file(folder, kind, profile) for kind in at.kinds}
    for kind, file in files.items():
        if not file.is_file():
            what = "structure set in the profile of" if kind is ObjectKind.RTSTRUCT else f"{kind.value} for"
            sentence = f"Job {job_id} has no {what} {to}. Send the CT again to have it made."
            raise DeliveryFailed("delivery.no-set-for-profile", sentence)
    sent = [operations.resend(job_id, to, file, sop_instance_uid(file), kind) for kind, file in files.items()]
    return sent[0]


def destination_named(loaded: LoadedSite, name: str, sender_address: str | None = None) -> Destination:
    """The destination of that name.

    Raises:
        DeliveryFailed: the configuration has none.
    """
    found = loaded.destination(name, sender_address)
    if found is None:
        known = ", ".join(loaded.site.destinations) or "none"
        sentence = f"The configuration has no destination {name}; it has: {known}."
        raise DeliveryFailed("delivery.no-such-destination", sentence)
    return found
