"""``delineate demo``: the whole way of one CT, visibly, on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

DEMO_SEED = 900_001
"""A phantom that nobody trained on: training refuses seeds from 900,000."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder for the results")] = Path("build/demo"),
    seed: Annotated[int, typer.Option(help="which phantom patient")] = DEMO_SEED,
) -> None:
    """Start a node, send it a pelvic phantom CT and show the structure sets that come back."""
    from service.command_line.demonstration import run_demonstration

    run_demonstration(out, seed)
