"""``delineate train``: train the network of a bundle on synthetic CT, resuming where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.training.train import TrainingRun

app = typer.Typer()


@app.command()
def train(  # noqa: PLR0913, PLR0917 - one argument for each option
    out: Annotated[Path, typer.Option(help="Folder of the run; the new bundle is OUT/bundle.")],
    start_from: Annotated[
        str, typer.Option(help="Bundle NAME@VERSION, or the folder of one, to start from.")
    ] = "pelvis-ct@1.0",
    tissue_maps: Annotated[
        Path | None, typer.Option(help="File of tissue maps (.npz); phantoms alone without it.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Patient to keep for evaluation; may be repeated.")
    ] = None,
    phantoms: Annotated[
        str, typer.Option(help="Seeds FIRST:END of phantoms to train on, below 900000; 0:0 for none.")
    ] = "1000:100000",
    phantom_share: Annotated[float, typer.Option(min=0, max=1, help="How many samples are phantoms.")] = 0.3,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Stop after so long, pauses left out.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 2,
    sees: Annotated[int, typer.Option(min=1, help="How often a sample is seen, on average.")] = 2,
    learning_rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of the run: the same seed sees the same samples.")] = 1,
    version: Annotated[str, typer.Option(help="Version of the new bundle.")] = "1.1",
    fresh: Annotated[bool, typer.Option(help="Start from random weights.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the run in OUT.")] = False,
    producers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the training process.")] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")] = "cpu",
    bfloat16: Annotated[bool, typer.Option(help="Compute in bfloat16: faster on recent hardware.")] = False,
    cases: Annotated[int, typer.Option(min=1, help="Cases for each evaluation.")] = 16,
) -> None:
    """Train the network of a bundle on synthetic CT and write a new bundle with its figures.

    Stop it at any time and go on with --resume. The result is a bundle like the one it started from; it
    has seen synthetic CT only, and its figures say so.
    """
    import torch

    from models.training.train import TrainingRun
    from models.training.trainer import Plan

    if steps is None and hours is None:
        raise typer.BadParameter("give --steps, --hours or both: a run needs an end")
    if threads is not None:
        torch.set_num_threads(threads)
    run = TrainingRun(
        start_from=_bundle(start_from),
        out=out,
        plan=Plan(seed, steps, hours, batch, sees, learning_rate, bfloat16=bfloat16),
        version=version,
        tissue_maps=tissue_maps,
        leave_out=tuple(leave_out or ()),
        phantom_seeds=_seeds(phantoms),
        phantom_share=phantom_share,
        fresh=fresh,
        producers=producers,
        device=device,
        cases=cases,
    )
    _train_visibly(run, resume)


def _bundle(reference: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - models is imported late
    from models.card import BundleError, read_card
    from models.catalog import find_bundle

    try:
        folder = Path(reference)
        return read_card(folder / "card.yaml") if folder.is_dir() else find_bundle(reference)
    except BundleError as error:
        raise typer.BadParameter(str(error)) from error


def _seeds(text: str) -> tuple[int, int]:
    from models.training.phantom import NEVER_TRAINED_FROM_SEED

    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit()):
        raise typer.BadParameter(f"--phantoms is FIRST:END, for example 1000:100000; found {text!r}")
    if int(end) > NEVER_TRAINED_FROM_SEED:
        raise typer.BadParameter(
            f"phantoms from seed {NEVER_TRAINED_FROM_SEED} on are kept for tests and the demo"
        )
    return int(first), int(end)


def _train_visibly(run: TrainingRun, resume: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from models.training.train import train as train_bundle

    console = Console()
    columns = (
        TextColumn("step {task.fields[step]}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=1.0, step=0, loss=float("nan"))
        smooth: list[float] = []

        def report(step: int, loss: float) -> None:
            smooth.append(loss)
            del smooth[:-50]
            done = run.plan.done(step, 0.0) if run.plan.steps else None
            progress.update(task, completed=done, step=step, loss=sum(smooth) / len(smooth))

        try:
            card = train_bundle(run, resume=resume, report=report)
        except FileExistsError as error:
            raise typer.BadParameter(f"{error}: --resume or another --out") from error
    console.print(f"{card.reference} is in {card.folder}")
    for name, scores in card.figures.items():
        if isinstance(scores, dict):
            console.print(f"DSC, {name.replace('_', ' ')}:")
            for structure, dsc in scores.items():
                console.print(f"  {structure:16} {dsc:.3f}")
