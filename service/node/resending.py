"""Sending a structure set to a destination again, or to one that has not had it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import DeliveryFailed

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.operations import Operations
    from service.backlog.records import Delivery
    from service.config.reader import LoadedSite
    from service.config.site import Destination


def resend(loaded: LoadedSite, ledger: Ledger, operations: Operations, job_id: str, to: str) -> Delivery:
    """Submit it; the running node sends it.

    Raises:
        DeliveryFailed: there is no such destination, or no structure set in its profile.
        LedgerRefused: there is no such job, or its structure set was purged.
    """
    if to in {each.destination for each in ledger.deliveries(job_id)}:
        return operations.resend(job_id, to)
    from service.contouring.profiles import profile_of
    from service.contouring.worker import set_file, sop_instance_uid

    at = destination_named(loaded, to, ledger.series(ledger.job(job_id).series_id).sender_address)
    file = set_file(loaded.storage / "jobs" / job_id, profile_of(at, loaded.site))
    if not file.is_file():
        sentence = (
            f"Job {job_id} has no structure set in the profile of {to}. Send the CT again to have it made."
        )
        raise DeliveryFailed("delivery.no-set-for-profile", sentence)
    return operations.resend(job_id, to, file, sop_instance_uid(file))


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
