"""``delineate models``: which bundles there are, what they say of themselves, and whether they are intact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.card import Card

app = typer.Typer()
models_app = typer.Typer(help="Model bundles: list, show, verify.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Bundles = Annotated[
    list[Path] | None, typer.Option("--bundles", help="folder with further bundles, repeatable")
]
Reference = Annotated[str, typer.Argument(help="name@version, e.g. pelvis-ct@1.0")]


@models_app.command("list")
def list_models(bundles: Bundles = None) -> None:
    """List every bundle: its reference, kind, and whether it was validated."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "kind", "validated", "structures", "summary")
    for card in _cards(bundles):
        validated = "yes" if card.validated else f"no ({card.validation})"
        table.add_row(card.reference, card.kind, validated, str(len(card.structures)), card.summary)
    Console().print(table)


@models_app.command()
def show(reference: Reference, bundles: Bundles = None) -> None:
    """Print the card of one bundle."""
    card = _found(reference, bundles)
    print((card.folder / "card.yaml").read_text(encoding="utf-8"))


@models_app.command()
def verify(reference: Annotated[str | None, typer.Argument()] = None, bundles: Bundles = None) -> None:
    """Check that the files of one bundle, or of all, are those that its card names."""
    from models.card import BundleError
    from models.catalog import content_sha256

    wrong = 0
    for card in _cards(bundles) if reference is None else [_found(reference, bundles)]:
        try:
            print(f"{card.reference}  intact  sha256 {content_sha256(card)}")
        except BundleError as error:
            wrong += 1
            print(f"{card.reference}  {error.code}  {error}")
    if wrong:
        raise typer.Exit(1)


@models_app.command("recipes")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="the whole recipes, for programs")] = False,
) -> None:
    """List every recipe: what it is and its structures. ``delineate train NAME`` follows one."""
    import json
    from dataclasses import asdict

    from models.training.recipe_book import read_recipe, recipe_names

    recipes = [read_recipe(name) for name in recipe_names()]
    if as_json:
        print(json.dumps([asdict(recipe) for recipe in recipes], indent=2))
        return
    for recipe in recipes:
        print(f"{recipe.name}: {recipe.summary}\n    {', '.join(recipe.structures)}")


def _cards(bundles: list[Path] | None) -> list[Card]:
    from models.card import BundleError, read_card
    from models.catalog import bundle_folders

    found: dict[str, Card] = {}
    for folder in bundle_folders(bundles or ()):
        try:
            card = read_card(folder / "card.yaml")
        except BundleError as error:
            print(f"{folder.name}  {error.code}  {error}")
            continue
        found.setdefault(card.reference, card)
    return [found[reference] for reference in sorted(found)]


def _found(reference: str, bundles: list[Path] | None) -> Card:
    from models.card import BundleError
    from models.catalog import find_bundle
    from service.errors import ModelRefused

    try:
        return find_bundle(reference, bundles or ())
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
