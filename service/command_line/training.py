"""``delineate train``: follow a recipe, on a data set or synthetic CT, to a bundle that the node serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.command_line.training_watch import refusals, watched

if TYPE_CHECKING:
    from models.cards.card import Card
    from models.training.learning.learner import Machine
    from models.training.learning.processes import Processes
    from models.training.synthetic.run import Synthetic

app = typer.Typer()

_SYNTHETIC = "Synthetic samples, in place of --data"
_MACHINE = "The machine"


def _of_machine(help_text: str, **limits: Any) -> Any:  # noqa: ANN401 - typer's own types
    return typer.Option(help=help_text, rich_help_panel=_MACHINE, **limits)


def _of_samples(help_text: str, **limits: Any) -> Any:  # noqa: ANN401 - typer's own types
    return typer.Option(help=help_text, rich_help_panel=_SYNTHETIC, **limits)


RecipeName = Annotated[str, typer.Argument(help="a name that delineate models recipes lists, or a file")]
Out = Annotated[Path, typer.Option(help="folder of the run; the new bundle is OUT/bundle")]
Data = Annotated[Path | None, typer.Option(help="data set, as delineate data import makes it")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override the recipe; repeatable")
]
Resume = Annotated[bool, typer.Option("--resume", help="go on with the run in OUT")]
Minutes = Annotated[float | None, typer.Option(min=0, help="pause then; --resume goes on")]
Grid = Annotated[bool, typer.Option("--grid", help="train every combination of the recipe's grid")]
StartFrom = Annotated[
    str | None, typer.Option(help="bundle NAME@VERSION or its folder: network, input, outputs, weights")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="take only structures, checks and words of --start-from's card")
]
Name = Annotated[str | None, typer.Option(help="of the new bundle, if not the recipe's")]
Version = Annotated[str | None, typer.Option(help="of the new bundle, if not the next")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="the same seed trains the same network")]
Prepared = Annotated[
    Path | None, typer.Option(help="folder for cases on the network's grid, to share between runs")
]
Device = Annotated[str, _of_machine("auto, cpu, cuda")]
PrecisionName = Annotated[str, _of_machine("auto, float32, bfloat16, float16")]
Threads = Annotated[int | None, _of_machine("of the arithmetic", min=1)]
Workers = Annotated[int | None, _of_machine("threads that make samples ahead", min=0)]
Compiled = Annotated[
    bool,
    typer.Option(
        "--compile", help="compile the network first: later start, faster steps", rich_help_panel=_MACHINE
    ),
]
CheckpointSteps = Annotated[int, _of_machine("between two checkpoints", min=1)]
TissueMaps = Annotated[Path | None, _of_samples("file of tissue maps (.npz)", exists=True, dir_okay=False)]
LeaveOut = Annotated[list[str] | None, _of_samples("patient to keep for the figures; repeatable")]
Phantoms = Annotated[str | None, _of_samples("seeds FIRST:END, below 900000; 0:0 for none")]
PhantomShare = Annotated[float, _of_samples("how many samples are phantoms", min=0, max=1)]
Sees = Annotated[int, _of_samples("how often a sample is seen", min=1)]
Producers = Annotated[int, _of_samples("processes that make samples", min=0)]
Cases = Annotated[int, _of_samples("for each figure", min=1)]


@app.command()
def train(  # noqa: PLR0913, PLR0917 - one argument for each option
    recipe: RecipeName,
    out: Out,
    data: Data = None,
    settings: Set = None,
    resume: Resume = False,
    minutes: Minutes = None,
    grid: Grid = False,
    start_from: StartFrom = None,
    fresh: Fresh = False,
    name: Name = None,
    version: Version = None,
    seed: Seed = 1,
    prepared: Prepared = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    threads: Threads = None,
    workers: Workers = None,
    checkpoint_steps: CheckpointSteps = 200,
    compiled: Compiled = False,
    tissue_maps: TissueMaps = None,
    leave_out: LeaveOut = None,
    phantoms: Phantoms = None,
    phantom_share: PhantomShare = 0.3,
    sees: Sees = 2,
    producers: Producers = 1,
    cases: Cases = 16,
) -> None:
    """Train a network as a recipe says and write a bundle with its figures.

    Stop it at any time and go on with --resume. Nothing that the node serves changes by itself: name the
    bundle in the configuration.
    """
    synthetic = _synthetic(tissue_maps, leave_out, phantoms, phantom_share, sees, producers, cases)
    source = _one_of(data, synthetic)
    from models.training.grid_search import grid_search
    from models.training.learning.processes import joined
    from models.training.train import train as train_once
    from models.training.training_run import TrainingRun

    with refusals():
        template = _bundle(start_from or ("pelvis-ct@2.0" if synthetic is not None else None))
        run = TrainingRun(
            recipe=_recipe(recipe, settings or [], None if fresh else template),
            out=out,
            data=source,
            start_from=template,
            with_weights=not fresh,
            seed=seed,
            name=name,
            version=version,
            prepared=prepared,
        )
        with joined(device) as (processes, here), watched(processes, minutes) as watcher:
            machine = _machine(here, processes, precision, workers, checkpoint_steps, threads, compiled)
            found = (grid_search if grid else train_once)(run, machine, watcher, resume=resume)
            if found is not None:
                _tell(found.card)
            elif processes.first:
                print("Paused. Go on with the same command and --resume.")


def _one_of(data: Path | None, synthetic: Synthetic | None) -> Path | Synthetic:
    source = data or synthetic
    if source is None or (data is not None and synthetic is not None):
        raise typer.BadParameter("give --data, or --tissue-maps or --phantoms for synthetic samples")
    return source


def _recipe(name: str, settings: list[str], template: Card | None) -> Any:  # noqa: ANN401 - imported late
    from models.training.recipes.recipe_book import as_bundle, overridden, recipe_content, recipe_of

    content = recipe_content(name)
    return recipe_of(overridden(as_bundle(content, template) if template else content, settings))


def _bundle(reference: str | None) -> Card | None:
    from models.cards.card import read_card
    from models.cards.catalog import find_bundle

    if reference is None:
        return None
    folder = Path(reference)
    return read_card(folder / "card.yaml") if folder.is_dir() else find_bundle(reference)


def _machine(  # noqa: PLR0913, PLR0917
    device: Any,  # noqa: ANN401 - torch is imported late
    processes: Processes,
    precision: str,
    workers: int | None,
    checkpoint_steps: int,
    threads: int | None,
    compiled: bool,
) -> Machine:
    import torch

    from models.training.learning.learner import PRECISIONS, Machine

    on_gpu = device.type == "cuda"
    if precision == "auto":
        half = "bfloat16" if on_gpu and torch.cuda.is_bf16_supported() else "float16"
        precision = half if on_gpu else "float32"
    if precision not in PRECISIONS:
        raise typer.BadParameter(f"--precision is one of auto, {', '.join(PRECISIONS)}")
    if threads is not None:
        torch.set_num_threads(threads)
    made_ahead = workers if workers is not None else (8 if on_gpu else 0)
    return Machine(device, PRECISIONS[precision], processes, made_ahead, checkpoint_steps, compiled)


def _synthetic(  # noqa: PLR0913, PLR0917
    tissue_maps: Path | None,
    leave_out: list[str] | None,
    phantoms: str | None,
    phantom_share: float,
    sees: int,
    producers: int,
    cases: int,
) -> Synthetic | None:
    from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED
    from models.training.synthetic.run import Synthetic

    if tissue_maps is None and phantoms is None:
        return None
    first, _, end = (phantoms or "1000:100000").partition(":")
    if not (first.isdigit() and end.isdigit()):
        raise typer.BadParameter(f"--phantoms is FIRST:END, for example 1000:100000; found {phantoms!r}")
    if int(end) > NEVER_TRAINED_FROM_SEED:
        raise typer.BadParameter(
            f"phantoms from seed {NEVER_TRAINED_FROM_SEED} on are kept for tests and the demo"
        )
    seeds = (int(first), int(end))
    return Synthetic(tissue_maps, tuple(leave_out or ()), seeds, phantom_share, sees, producers, cases)


def _tell(card: Card) -> None:
    print(f"{card.reference} is in {card.folder}")
    for part, scores in card.figures.items():
        if isinstance(scores, dict):
            print(f"DSC, {part.replace('_', ' ')}:")
            for structure, dsc in scores.items():
                print(f"  {structure:16} {dsc:.3f}")
