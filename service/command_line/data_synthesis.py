"""``delineate data synthesize``: data sets of synthetic CT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.command_line.data_refusals import refusals

if TYPE_CHECKING:
    from models.training.data_set import DataSetWriter, Part
    from models.training.synthesis import Source, Synthesis

app = typer.Typer()


@app.command()
def synthesize(  # noqa: PLR0913, PLR0917 - each argument is one option of the command
    out: Annotated[
        Path, typer.Argument(help="a new or empty folder, or an interrupted one", file_okay=False)
    ],
    phantoms: Annotated[
        str | None, typer.Option(help="seeds FIRST:END of procedural phantoms [1000:100000 without maps]")
    ] = None,
    tissue_maps: Annotated[
        Path | None, typer.Option(help="file of complete tissue maps (.npz)", exists=True, dir_okay=False)
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="how many CT")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="the same seed makes the same data set")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU where there is one")] = "auto",
    spacing: Annotated[float, typer.Option(min=0.5, max=20, help="pixel spacing, mm")] = 1.953125,
    slice_spacing: Annotated[float, typer.Option("--slice", min=0.5, max=20, help="slice spacing, mm")] = 3.0,
    shares: Annotated[
        str, typer.Option(help="shares of the patients that are trained on, validated on, tested on")
    ] = "0.7,0.15,0.15",
    phantom_share: Annotated[
        float, typer.Option(min=0, max=1, help="how many of the CT are phantoms where there are maps too")
    ] = 0.3,
    test_set: Annotated[
        bool, typer.Option("--test-set", help="test cases only; allows phantoms from seed 900000 on")
    ] = False,
) -> None:
    """Make a data set of synthetic CT with every structure that is known in them.

    Stopped at any time, killed too, the same command goes on where it was.
    """
    from models.training.synthesis import Synthesis, map_sources, phantom_sources, writer_of
    from models.training.whole_scan import Voxels

    told = []
    with refusals():
        of_phantoms: list[Source] = []
        of_maps: list[Source] = []
        if tissue_maps is not None:
            of_maps += map_sources(tissue_maps)
            told.append(f"tissue maps of {tissue_maps.name} (sha256 {_hash(tissue_maps)[:12]})")
        if phantoms is not None or not of_maps:
            first, end = _seeds(phantoms or "1000:100000")
            of_phantoms = phantom_sources(first, end, reserved=test_set)
            told.append(f"phantoms {first}:{end}")
        voxels = Voxels(spacing, slice_spacing, _device(device))
        synthesis = Synthesis(
            of_phantoms, of_maps, cases, seed, voxels, _shares(shares), phantom_share, test_set
        )
        writer = writer_of(out, synthesis, " and ".join(told))
        _write_visibly(synthesis, writer)
    print(f"{cases} cases in {out}")


def _write_visibly(synthesis: Synthesis, writer: DataSetWriter) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("synthesizing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[name]}"),
    )
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("cases", total=synthesis.cases, name="")
        synthesis.write(
            writer,
            lambda done, total, name: progress.update(task, completed=done, total=total, name=name),
        )
        writer.close()


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter("there is no GPU that can be used here", param_hint="--device")
    return wanted


def _seeds(text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit() and int(first) < int(end)):
        raise typer.BadParameter(f"FIRST:END, for example 1000:1100; found {text!r}", param_hint="--phantoms")
    return int(first), int(end)


def _shares(text: str) -> dict[Part, float]:
    from models.training.data_set import PARTS

    try:
        values = [float(one) for one in text.split(",")]
        if len(values) != len(PARTS) or min(values) < 0 or sum(values) <= 0:
            raise ValueError  # noqa: TRY301 - told below with the number that is none
    except ValueError as error:
        sentence = f"three numbers of at least 0 with commas, for example 0.7,0.15,0.15; found {text!r}"
        raise typer.BadParameter(sentence, param_hint="--shares") from error
    return dict(zip(PARTS, values, strict=True))


def _hash(file: Path) -> str:
    import hashlib

    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
