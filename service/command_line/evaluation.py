"""``delineate evaluate`` and ``delineate compare``: how good models are on a data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.cards.card import Card
    from models.data_sets.data_set import Part
    from models.evaluation.evaluation import Evaluation, Progress

app = typer.Typer()

Data = Annotated[Path, typer.Option(help="Data set to measure on.", exists=True, file_okay=False)]
PartName = Annotated[str, typer.Option("--part", help="train, validation, test or all.")]
Tolerance = Annotated[
    float, typer.Option("--tolerance-mm", min=0, help="Of the surface Dice and the surface overlap.")
]
Bundles = Annotated[
    list[Path] | None, typer.Option("--bundles", help="folder with further bundles, repeatable")
]
Device = Annotated[str, typer.Option(help="auto, cpu, or cuda where there is a GPU.")]


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - one argument for each option
    bundle: Annotated[str, typer.Argument(help="NAME@VERSION, or the folder of a bundle.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the report; an earlier one is replaced.")],
    part: PartName = "test",
    tolerance_mm: Tolerance = 2.0,
    worst: Annotated[int, typer.Option(min=0, help="Worst cases of each structure to draw.")] = 3,
    device: Device = "auto",
    bundles: Bundles = None,
) -> None:
    """Measure a model on the cases of a data set: every metric, box plots, worst cases, one report.

    OUT/report.html tells everything in one file; figures.csv, cases.csv and summary.csv are for
    spreadsheets. docs/evaluation.md defines every metric.
    """
    from models.data_sets.data_set import DataSet
    from models.evaluation.pictures import why_no_pictures
    from models.evaluation.run import REPORT, Options, run_evaluation

    options = Options(part_named(part), tolerance_mm, worst, device)
    with refusals():
        card = bundle_named(bundle, bundles)
        with progress_bar() as told:
            evaluation = run_evaluation(card, DataSet.open(data), out, options, told)
    _print_glance(evaluation)
    if (why := why_no_pictures()) is not None:
        print(why)
    print(out / REPORT)


@app.command()
def compare(  # noqa: PLR0913, PLR0917 - one argument for each option
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE_OR_BUNDLE...",
            help="recipes (also '*--xiao-2022' or '*') and bundles, to be compared",
        ),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder of the comparison; what is finished in it is kept")],
    structures: Annotated[
        str, typer.Option(help="A,B,C: learned by every recipe in place of its own, by one network")
    ] = "",
    budget: Annotated[
        str | None, typer.Option(help="for every recipe: 200steps, 300s, 5min or 2h, in place of its own end")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="for every recipe; repeatable")
    ] = None,
    settings_2d: Annotated[
        list[str] | None, typer.Option("--set-2d", metavar="KEY=VALUE", help="for recipes of 2D networks")
    ] = None,
    settings_3d: Annotated[
        list[str] | None, typer.Option("--set-3d", metavar="KEY=VALUE", help="for recipes of 3D networks")
    ] = None,
    part: PartName = "test",
    tolerance_mm: Tolerance = 2.0,
    markdown: Annotated[Path | None, typer.Option(help="also write the tables to this file")] = None,
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="of the arithmetic, in training")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of every training")] = 1,
    bundles: Bundles = None,
) -> None:
    """Train or load several models, measure them on the same cases, and print the papers' tables.

    Stop it at any time and run it again: what is trained and measured is not done twice, what was begun
    goes on. A model that cannot be trained or measured is told at the end and stops no other.
    """
    from models.data_sets.data_set import DataSet
    from models.evaluation.run import Options
    from service.command_line import comparison

    ground = comparison.Ground(
        tuple(name.strip() for name in structures.split(",") if name.strip()),
        budget,
        {None: settings or (), 2: settings_2d or (), 3: settings_3d or ()},
    )
    machine = ["--device", device, "--seed", str(seed), *(["--threads", str(threads)] if threads else [])]
    options = Options(part_named(part), tolerance_mm, 1, device)
    with refusals():
        found = comparison.Comparison(DataSet.open(data), options, out, machine)
        failed = found.run(comparison.targets(named, out, ground, bundles or ()))
    found.show(ground, markdown)
    for name, why in failed.items():
        print(f"not compared: {name}: {why}")
    if failed:
        raise typer.Exit(1)


@app.command("reader-scores")
def reader_scores(
    evaluation: Annotated[
        Path, typer.Argument(help="folder that delineate evaluate wrote", exists=True, file_okay=False)
    ],
    sheet: Annotated[
        Path | None, typer.Argument(help="score sheet that was filled in; EVALUATION/score-sheet.csv")
    ] = None,
) -> None:
    """Count what readers said of the contours, in the four grades of the papers."""
    from rich.table import Table

    from models.evaluation.files import read_evaluation
    from models.evaluation.reader_scores import SHEET, read_scores, table_of, write_table
    from service.command_line.tables import print_table

    with refusals():
        scores = read_scores(sheet or evaluation / SHEET, read_evaluation(evaluation))
    head, lines = table_of(scores)
    table = Table(*head)
    for line in lines:
        table.add_row(*line)
    print_table(table)
    write_table(scores, evaluation / "reader-scores.csv")


def bundle_named(reference: str, bundles: list[Path] | None) -> Card:
    """The card of NAME@VERSION or of the bundle in a folder; raises `models.cards.card.BundleError`."""
    from models.cards.card import read_card
    from models.cards.catalog import find_bundle

    folder = Path(reference)
    return read_card(folder / "card.yaml") if folder.is_dir() else find_bundle(reference, bundles or ())


def part_named(name: str) -> Part | None:
    """The part of a data set; None for ``all``."""
    from models.data_sets.data_set import PARTS

    for part in PARTS:
        if part == name:
            return part
    if name != "all":
        raise typer.BadParameter(f"--part is one of {', '.join(PARTS)} and all; found {name!r}")
    return None


@contextmanager
def refusals() -> Iterator[None]:
    """What ``models`` refuses, as a refusal that the command line prints as a sentence."""
    from models.cards.card import BundleError
    from models.evaluation.evaluation import EvaluationRefused
    from models.training.recipes.recipe_book import RecipeInvalid
    from service.command_line.data_refusals import refusals as data_refusals
    from service.errors import DataRefused, ModelRefused

    try:
        with data_refusals():
            yield
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
    except (EvaluationRefused, RecipeInvalid) as error:
        raise DataRefused(error.code, str(error)) from error


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on the terminal; called with the part done and the case that is looked at."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda done, case: bar.update(task, completed=done, description=case or "done")


def _print_glance(evaluation: Evaluation) -> None:
    from rich.table import Table

    from models.evaluation.report import GLANCE, glance
    from service.command_line.tables import print_table

    table = Table(title=f"{evaluation.setting.model}, {len(evaluation.cases)} cases")
    head, lines = glance(evaluation)
    for name in head:
        table.add_column(name, justify="right" if name in GLANCE else "left")
    for line in lines:
        table.add_row(*line)
    print_table(table)
    refused = len(evaluation.cases) - len(evaluation.answered)
    if refused:
        print(f"refused by the model: {refused} cases")
