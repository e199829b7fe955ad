"""``delineate models``: bundles, networks and recipes; whether bundles are intact and networks can learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.cards.card import Card

app = typer.Typer()
models_app = typer.Typer(help="Bundles, networks and recipes: list, show, verify.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Bundles = Annotated[
    list[Path] | None, typer.Option("--bundles", help="folder with further bundles, repeatable")
]
Reference = Annotated[str, typer.Argument(help="name@version, e.g. pelvis-ct@2.0")]


@models_app.command("list")
def list_models(bundles: Bundles = None) -> None:
    """List every bundle: its reference, kind, and whether it was validated."""
    from rich.table import Table

    from service.command_line.tables import print_table

    table = Table("model", "kind", "validated", "structures", "summary")
    for card in _cards(bundles):
        validated = "yes" if card.validated else f"no ({card.validation})"
        table.add_row(card.reference, card.kind, validated, str(len(card.structures)), card.summary)
    print_table(table)


@models_app.command("networks")
def list_networks(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """List every network that a recipe or a card can name: its paper, its size, and who counted it."""
    import json

    from rich.table import Table

    from models.networks import NETWORKS
    from service.command_line.tables import print_table

    if as_json:
        print(json.dumps([network_document(name) for name in NETWORKS], indent=2))
        return
    table = Table("network", "dimensions", "paper", "parameters", "counted", "input channels", "outputs")
    for name, entry in NETWORKS.items():
        counts = (f"{entry.parameters:,}", entry.counted, str(entry.in_channels), str(entry.classes))
        table.add_row(name, f"{entry.dimensions}D", entry.paper, *counts)
    print_table(table)


def network_document(name: str) -> dict[str, str | int]:
    """One network of the registry for programs."""
    from models.networks import NETWORKS

    entry = NETWORKS[name]
    return {
        "name": name,
        "dimensions": entry.dimensions,
        "paper": entry.paper,
        "in_channels": entry.in_channels,
        "classes": entry.classes,
        "parameters": entry.parameters,
        "counted": entry.counted,
    }


@models_app.command()
def show(reference: Reference, bundles: Bundles = None) -> None:
    """Print the card of one bundle."""
    card = _found(reference, bundles)
    print((card.folder / "card.yaml").read_text(encoding="utf-8"))


@models_app.command()
def verify(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="bundles (name@version) and networks (cab-unet); without any: every bundle"),
    ] = None,
    networks: Annotated[bool, typer.Option("--networks", help="every network too, which takes long")] = False,
    device: Annotated[str, typer.Option(help="for networks: auto, cpu or cuda")] = "auto",
    bundles: Bundles = None,
) -> None:
    """Check that bundles hold the files their cards name, and that networks can learn at full width.

    A network is built as published and must learn two small cases by heart, to a DSC above 0.95.
    """
    references = [each for each in what or () if "@" in each]
    named = [each for each in what or () if "@" not in each]
    wrong = 0
    if references or not named:
        wrong += _check_bundles([_found(each, bundles) for each in references] or _cards(bundles))
    if networks or named:
        from service.command_line.network_check import check_networks

        wrong += check_networks(named, device, every=networks)
    if wrong:
        raise typer.Exit(1)


def _check_bundles(cards: list[Card]) -> int:
    """A line for each; how many are not what their card says."""
    from models.cards.card import BundleError
    from models.cards.catalog import content_sha256
    from models.runtimes.installed_extras import missing_extra

    wrong = 0
    for card in cards:
        try:
            extra = missing_extra(card)
            lacks = "" if extra is None else f"  to run it: pip install delineate[{extra}]"
            print(f"{card.reference}  intact  sha256 {content_sha256(card)}{lacks}")
        except BundleError as error:
            wrong += 1
            print(f"{card.reference}  {error.code}  {error}")
    return wrong


@models_app.command()
def add(
    path: Annotated[
        str,
        typer.Argument(help="the model, or totalsegmentator:TASK; docs/runtimes.md says what it may be"),
    ],
    to: Annotated[Path, typer.Option(help="folder for the bundle; its name is the model's")],
    labels: Annotated[
        Path | None, typer.Option(help="YAML: label: TG-263 name, or null to leave it out")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="YAML with what the model does not say itself")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="run code and load pickled objects of the model; this is logged")
    ] = False,
) -> None:
    """Make a bundle of a model from elsewhere: inspect, verify, map its labels, convert its weights once."""
    from models.adding.inspection import add as added
    from models.adding.inspection import place_of
    from models.adding.new_bundle import Wish, read_small_card
    from models.cards.card import BundleError
    from service.contouring.structure_names import KNOWN
    from service.errors import ModelRefused
    from service.log import EventLog

    log = EventLog("models")
    try:
        wish = Wish(
            place_of(path),
            to,
            labels,
            read_small_card(card),
            trust,
            lambda c: log.warning("model.trusted", code=c),
        )
        made = added(wish)
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
    print(f"{made.reference}  {made.kind}  {', '.join(made.structures)}")
    unknown = [name for name, said in made.structures.items() if name not in KNOWN and not said.local_name]
    if unknown:
        print(f"Sent without a code, because the node knows no structure of this name: {', '.join(unknown)}")


@models_app.command("recipes")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="the whole recipes, for programs")] = False,
) -> None:
    """List every recipe: what it is and its structures. ``delineate train NAME`` follows one."""
    import json
    from dataclasses import asdict

    from models.training.recipes.recipe_book import read_recipe, recipe_names

    recipes = [read_recipe(name) for name in recipe_names()]
    if as_json:
        print(json.dumps([asdict(recipe) for recipe in recipes], indent=2))
        return
    for recipe in recipes:
        print(f"{recipe.name}: {recipe.summary}\n    {', '.join(recipe.structures)}")


@models_app.command()
def statistics(  # noqa: PLR0913, PLR0917 - one argument for each option
    bundle: Annotated[str, typer.Argument(help="NAME@VERSION, or the folder of a bundle")],
    data: Annotated[Path, typer.Option(help="data set that it learned from", exists=True, file_okay=False)],
    part: Annotated[str, typer.Option("--part", help="train, validation, test or all")] = "train",
    most: Annotated[int, typer.Option(min=1, help="look at no more cases than these")] = 200,
    asked: Annotated[
        int | None, typer.Option(min=0, help="run the model on so many of them, not on all")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda where there is a GPU")] = "auto",
    bundles: Bundles = None,
) -> None:
    """Measure what training cases look like and put it into the bundle's card, for the second look.

    Nothing else of the card is touched. docs/second-look.md says what is measured and how it is used.
    """
    from models.data_sets.data_set import DataSet
    from models.training.bundles.card_statistics import measured_statistics, with_statistics
    from service.command_line.evaluation import bundle_named, part_named, progress_bar, refusals

    with refusals():
        card = bundle_named(bundle, bundles)
        with progress_bar() as told:
            found = measured_statistics(
                card,
                DataSet.open(data),
                part_named(part),
                device=device,
                most=most,
                asked=asked,
                progress=told,
            )
        card = with_statistics(card, found)
    seen = card.statistics
    for name, each in () if seen is None else seen.structures.items():
        low, high = each.volume_cm3
        print(f"{name:16} {each.cases:4} cases  {low:8.1f} to {high:8.1f} cm3")
    print(card.folder / "card.yaml")


def _cards(bundles: list[Path] | None) -> list[Card]:
    from models.cards.card import BundleError, read_card
    from models.cards.catalog import bundle_folders

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
    from models.cards.card import BundleError
    from models.cards.catalog import find_bundle
    from service.errors import ModelRefused

    try:
        return find_bundle(reference, bundles or ())
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
