"""Bundles: what there is, and the whole card of one."""

from __future__ import annotations

from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from models.cards.card import BundleError, read_card
from models.cards.catalog import bundle_folders, content_sha256, find_bundle
from service.console.callers import Reader, premises_of
from service.console.refusals import ERRORS, ConsoleRefused

router = APIRouter(prefix="/api/v1/models", tags=["models"], responses=ERRORS)


class ModelOut(BaseModel):
    """A bundle in a list."""

    model: str
    kind: str
    summary: str
    validated: bool
    validation: str
    structures: list[str]


class ModelCard(ModelOut):
    """A bundle's whole card, and whether its files are what the card says."""

    intact: bool
    sha256: str | None
    card: dict[str, Any]


@router.get("")
def models(request: Request, _: Reader) -> list[ModelOut]:
    """Every bundle that the node can find."""
    found = {}
    for folder in bundle_folders(premises_of(request).loaded().bundle_folders):
        try:
            card = read_card(folder / "card.yaml")
        except BundleError:  # a broken one is named by `delineate models verify`
            continue
        found[card.reference] = ModelOut(
            model=card.reference,
            kind=card.kind,
            summary=card.summary,
            validated=card.validated,
            validation=card.validation,
            structures=list(card.structures),
        )
    return list(found.values())


@router.get("/{reference}")
def model(request: Request, _: Reader, reference: Annotated[str, Path(max_length=128)]) -> ModelCard:
    """One bundle's card, with its hash verified."""
    try:
        card = find_bundle(reference, premises_of(request).loaded().bundle_folders)
    except BundleError as error:
        raise ConsoleRefused(404, "console.no-such-model", str(error)) from None
    try:
        sha256: str | None = content_sha256(card)
    except BundleError:
        sha256 = None
    text = (card.folder / "card.yaml").read_text(encoding="utf-8")
    return ModelCard(
        model=card.reference,
        kind=card.kind,
        summary=card.summary,
        validated=card.validated,
        validation=card.validation,
        structures=list(card.structures),
        intact=sha256 is not None,
        sha256=sha256,
        card=yaml.load(text, Loader=yaml.BaseLoader),  # noqa: S506 - the base loader makes texts only
    )
