"""``delineate data synthesize`` and ``delineate data complete``: synthetic CT, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.command_line.data_refusals import refusals

if TYPE_CHECKING:
    from models.data_sets.data_set import DataSetWriter, Part
    from models.synthetic_ct.synthesis import Source, Synthesis

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
    labels: Annotated[
        Path | None, typer.Option(help="folder of label maps, to be completed", exists=True, file_okay=False)
    ] = None,
    template: Annotated[
        str, typer.Option(help="what completes label maps: phantom, FILE.npz:NAME, or a label map's folder")
    ] = "phantom",
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
    from models.synthetic_ct.synthesis import Synthesis, writer_of
    from models.synthetic_ct.whole_scan import Voxels

    voxels = Voxels(spacing, slice_spacing, _device(device))
    shares_of_parts = _shares(shares)
    with refusals():
        made_of = _MadeOf()
        if tissue_maps is not None:
            made_of.add_tissue_maps(tissue_maps)
        if labels is not None:
            made_of.add_label_maps(labels, template, voxels.device)
        if phantoms is not None or not made_of.maps:
            made_of.add_phantoms(phantoms or "1000:100000", reserved=test_set)
        synthesis = Synthesis(
            made_of.phantoms, made_of.maps, cases, seed, voxels, shares_of_parts, phantom_share, test_set
        )
        _write_visibly(synthesis, writer_of(out, synthesis, " and ".join(made_of.told), made_of.licence))
    print(f"{cases} cases in {out}")


@dataclass
class _MadeOf:
    """What the CT of a data set are made of, and in words."""

    phantoms: list[Source] = field(default_factory=list)
    maps: list[Source] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    licence: str = ""

    def add_tissue_maps(self, file: Path) -> None:
        from models.synthetic_ct.synthesis import map_sources

        self.maps += map_sources(file)
        self.told.append(f"tissue maps of {file.name} (sha256 {_hash(file)[:12]})")

    def add_label_maps(self, folder: Path, template: str, device: str) -> None:
        from models.synthetic_ct.label_maps.label_sources import label_sources, template_named

        sources, unused, self.licence = label_sources(folder, template_named(template, device), device)
        for one in unused:
            print(f"left out: {one.name}: {one.remark}")
        self.maps += sources
        self.told.append(f"{len(sources)} label maps of {folder.name} completed with {Path(template).name}")

    def add_phantoms(self, seeds: str, *, reserved: bool) -> None:
        from models.synthetic_ct.synthesis import phantom_sources

        first, end = _seeds(seeds)
        self.phantoms += phantom_sources(first, end, reserved=reserved)
        self.told.append(f"phantoms {first}:{end}")


@app.command()
def complete(
    labels: Annotated[Path, typer.Argument(help="folder of label maps", exists=True, file_okay=False)],
    out: Annotated[
        Path, typer.Option(help="file of tissue maps (.npz), new or begun before", dir_okay=False)
    ],
    template: Annotated[
        str, typer.Option(help="where the rest comes from: phantom, FILE.npz:NAME, or a label map's folder")
    ] = "phantom",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU where there is one")] = "auto",
) -> None:
    """Complete label maps to tissue maps: bones, muscles, body and skin nobody drew come from a template.

    Stopped at any time, the same command goes on with the maps that are not in the file yet.
    """
    from rich.console import Console
    from rich.progress import Progress

    from models.synthetic_ct.label_maps.label_sources import complete_all, template_named
    from service.errors import DataRefused

    if out.suffix != ".npz":
        raise typer.BadParameter("the file's name ends in .npz", param_hint="--out")
    console = Console()
    used = _device(device)
    with refusals(), Progress(console=console) as progress:
        task = progress.add_task("completing")
        outcomes = complete_all(
            labels,
            out,
            template_named(template, used),
            used,
            lambda done, total, name: progress.update(
                task, completed=done, total=total, description=f"completing {name}"
            ),
        )
    for one in outcomes:
        fit = "" if one.bones_dsc is None else f"bones agree by DSC {one.bones_dsc:.2f}"
        print(
            f"{one.name}: "
            + ("REFUSED: " if one.refused else "")
            + "; ".join(filter(None, (fit, one.remark)))
        )
    if all(one.refused for one in outcomes):
        raise DataRefused(
            "labels.none-completed", "Not one label map could be completed; the reasons stand above."
        )
    print(f"{sum(not one.refused for one in outcomes)} of {len(outcomes)} label maps in {out}")


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
    from models.data_sets.data_set import PARTS

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
