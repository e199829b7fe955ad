"""The node's surroundings: destinations, senders, configuration, and how much is under way."""

from __future__ import annotations

import shutil
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request

from service.backlog.documents import iso, status_document
from service.backlog.places import destinations_seen, senders_seen
from service.backlog.retention import size
from service.config.reader import parse, restart_needed
from service.console.callers import Administrator, Operator, Reader, premises_of
from service.console.refusals import ERRORS
from service.console.site_models import (
    Checked,
    ConfigurationOut,
    ConfigurationText,
    DestinationOut,
    EchoOut,
    SenderOut,
    Status,
)

_STUCK_SECONDS: Final = 900.0

router = APIRouter(prefix="/api/v1", responses=ERRORS)


@router.get("/status", tags=["node"])
def status(request: Request, _: Reader) -> Status:
    """How much waits, runs, failed, and how full the disk is."""
    premises = premises_of(request)
    engine, loaded = premises.engine(), premises.loaded()
    disk = loaded.site.node.disk
    document = status_document(premises.ledger.counts(), engine.counts(), engine.stuck(_STUCK_SECONDS))
    document["disk"] = {
        "used_gb": round(size([premises.storage]) / 1e9, 3),
        "free_gb": round(shutil.disk_usage(premises.storage).free / 1e9, 3),
        "reserve_gb": disk.reserve_gb,
        "budget_gb": disk.budget_gb,
    }
    document["config_version"] = loaded.version
    document["config_mistakes"] = list(premises.site.mistakes)
    document["restart_needed"] = list(premises.site.restart_needed)
    return Status.model_validate(document)


@router.get("/destinations", tags=["destinations"])
def destinations(request: Request, _: Reader) -> list[DestinationOut]:
    """Each with its last success."""
    premises = premises_of(request)
    loaded = premises.loaded()
    zone, seen = loaded.site.node.timezone, destinations_seen(premises.ledger)
    found = []
    for name, at in loaded.site.destinations.items():
        last = seen.get(name)
        found.append(
            DestinationOut(
                name=name,
                ae_title=at.ae_title,
                host=at.host,
                port=at.port,
                address=at.address,
                objects=list(at.objects),
                profile=at.profile,
                deliveries=dict(last.deliveries) if last else {},
                last_success=iso(last.last_success_at, zone) if last else None,
                last_attempt=iso(last.last_attempt_at, zone) if last else None,
                last_code=last.last_code if last else None,
                last_sentence=last.last_sentence if last else None,
            )
        )
    return found


@router.post("/destinations/{name}/echo", tags=["destinations"])
def echo(request: Request, caller: Operator, name: Annotated[str, Path(max_length=64)]) -> EchoOut:
    """Ask a destination by C-ECHO whether it is there."""
    from service.delivery.association import peer_of
    from service.delivery.storage_scu import echo as verify
    from service.node.resending import destination_named

    premises = premises_of(request)
    loaded = premises.loaded()
    at = destination_named(loaded, name)
    title = at.calling_ae_title or loaded.site.node.ae_title
    found = verify(peer_of(at, title))
    facts = {"destination": name, "outcome": found.code}
    premises.audit.record(
        "destination.echoed", who=caller.who, address=caller.address, succeeded=found.stored, facts=facts
    )
    return EchoOut(destination=name, answers=found.stored, code=found.code, sentence=found.sentence)


@router.get("/senders", tags=["senders"])
def senders(request: Request, _: Reader) -> list[SenderOut]:
    """Who may call, who has called, and for what they were refused."""
    premises = premises_of(request)
    loaded = premises.loaded()
    seen = senders_seen(premises.ledger)
    found = []
    for title in dict.fromkeys([*loaded.site.senders, *seen]):
        configured, past = loaded.sender(title), seen.get(title)
        found.append(
            SenderOut(
                ae_title=title,
                configured=configured is not None,
                addresses=list(configured.addresses) if configured else [],
                series=dict(past.series) if past else {},
                refused=dict(past.refused) if past else {},
                last=iso(past.last_at, loaded.site.node.timezone) if past else None,
            )
        )
    return found


@router.get("/configuration", tags=["configuration"])
def configuration(request: Request, _: Administrator) -> ConfigurationOut:
    """The configuration in force, word by word."""
    from service.config.advice import warnings_of

    premises = premises_of(request)
    loaded = premises.loaded()
    return ConfigurationOut(
        version=loaded.version,
        text=loaded.text,
        mistakes=list(premises.site.mistakes),
        warnings=[warning.said_of(loaded.path.name) for warning in warnings_of(loaded)],
        restart_needed=list(restart_needed(loaded)),
    )


@router.post("/configuration/check", tags=["configuration"])
def check(request: Request, _: Administrator, posted: ConfigurationText) -> Checked:
    """Every mistake of a text, and what would not work; nothing is changed."""
    from service.config.advice import warnings_of
    from service.errors import ConfigInvalid

    path = premises_of(request).started_with.path
    try:
        loaded = parse(posted.text, path)
    except ConfigInvalid as error:
        return Checked(good=False, mistakes=list(error.mistakes), warnings=[])
    said = [warning.said_of(path.name) for warning in warnings_of(loaded)]
    return Checked(good=True, mistakes=[], warnings=said)
