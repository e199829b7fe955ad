"""``delineate data``: data sets for training and evaluation, and what they are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.command_line import data_from_node, data_import, data_synthesis
from service.command_line.data_refusals import refusals

app = typer.Typer()
data_app = typer.Typer(help="Data sets for training: make them, check them.", no_args_is_help=True)
app.add_typer(data_app, name="data")
data_app.add_typer(data_import.app)
data_app.add_typer(data_from_node.app)
data_app.add_typer(data_synthesis.app)


@data_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="a data set", exists=True, file_okay=False)],
) -> None:
    """Compare every case of a data set with its SHA-256 and print what is in it."""
    from rich.progress import track

    from models.data_sets.data_set import PARTS, DataSet

    with refusals():
        data = DataSet.open(folder)
        for name in track(data.names(), description="checking"):
            data.read(name)
    for part in PARTS:
        entries = [data.entry(name) for name in data.names(part)]
        print(f"{part:<11}{len(entries):>6} cases of {len({entry.patient for entry in entries})} patients")
    print("known in so many cases:")
    for structure in data.structures:
        known = sum(structure in data.entry(name).structures for name in data.names())
        print(f"  {structure:<18}{known:>5}")
    print(f"intact  sha256 {data.fingerprint}")
