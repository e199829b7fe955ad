"""``delineate contour``: the structure set of a CT folder, without node, database or network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from models.stages import Peak, Stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from models.volume import Segmentation
    from service.config.reader import LoadedSite
    from service.contouring.segment import ModelClient

app = typer.Typer()


@app.command()
def contour(
    folder: Annotated[Path, typer.Argument(help="a folder with a CT series", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="folder for the structure sets")],
    protocol: Annotated[list[str] | None, typer.Option(help="protocol; by default every one")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="DELINEATE_CONFIG", help="configuration; by default config.yaml here, else the shipped one"
        ),
    ] = None,
    tps_profile: Annotated[str, typer.Option(help="TPS profile of the structure sets")] = "generic",
    profile: Annotated[
        bool, typer.Option("--profile", help="print seconds and peak memory by stage")
    ] = False,
) -> None:
    """Contour every CT series below FOLDER by one protocol or more and write RTSTRUCT files to OUT."""
    from service.config.reader import load
    from service.contouring.segment import ModelClient
    from service.errors import ConfigInvalid

    loaded = load(config or shipped_config())
    wanted = protocol or list(loaded.site.protocols)
    unknown = [name for name in wanted if loaded.protocol(name) is None]
    if unknown:
        known = ", ".join(loaded.site.protocols)
        raise ConfigInvalid((f"There is no protocol {', '.join(unknown)}; {loaded.path.name} has {known}.",))
    out.mkdir(parents=True, exist_ok=True)
    with ModelClient(loaded, quiet=True) as models:  # its log would write over the progress bar
        written = _contour_folder(folder, out, _Wish(loaded, wanted, tps_profile, profile), models)
    raise typer.Exit(0 if written else 1)


def shipped_config() -> Path:
    """``config.yaml`` of this folder if there is one, else the one that comes with the program."""
    import service

    here = Path("config.yaml")
    return here if here.is_file() else Path(service.__file__).resolve().parents[1] / "config.yaml"


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is contoured how; ``costs``: say what each stage took."""

    loaded: LoadedSite
    protocols: list[str]
    tps_profile: str
    costs: bool


def _contour_folder(folder: Path, out: Path, wish: _Wish, models: ModelClient) -> int:
    """How many structure sets were written; each refusal is printed with its sentence."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from service.arrival.series_of_folder import series_of
    from service.command_line.tables import printable
    from service.errors import NodeError

    # Texts of the CT are shown as they are: "[...]" in a description is no markup.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    found = [series for series in series_of(folder, wish.loaded) if series.is_ct]
    if not found:
        console.print("There is no CT in this folder.")
    written = 0
    bar = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*bar, console=console) as progress:
        for number, series in enumerate(found, 1):
            files = [Path(header.filename) for header in series.headers]
            for name in wish.protocols:
                file = out / (f"{name}.dcm" if len(found) == 1 else f"{number:02d}-{name}.dcm")
                task = progress.add_task(f"{printable(series.title)}: {name}", total=1.0)
                told = partial(_show, progress, task)
                try:
                    lines = _contour_series(files, file, name, wish, models, told)
                except NodeError as error:
                    console.print(f"{name}: {error.code}: {error.sentence}")
                else:
                    console.print(f"{file}", *lines, sep="\n  ")
                    written += 1
                progress.update(task, completed=1.0)
    return written


def _show(progress: Progress, task: TaskID, part: float) -> None:
    progress.update(task, completed=part)


def _contour_series(
    files: list[Path],
    file: Path,
    name: str,
    wish: _Wish,
    models: ModelClient,
    told: Callable[[float], None],
) -> list[str]:
    """Write one structure set; lines for people: volumes, findings, notes, and costs if they are wanted."""
    from service.contouring.contoured_ct import SetOrigin, contour_ct, site_time
    from service.contouring.profiles import profile_named
    from service.contouring.second_look import held_because

    done = contour_ct(files, wish.loaded, wish.loaded.site.protocols[name], models, told)
    made_at = site_time(wish.loaded)
    stages = Stages()
    # Each run is a contouring of its own: two runs must not put different bytes under one UID.
    origin = SetOrigin(f"{name} {done.series.series_instance_uid} {uuid4()}", made_at)
    tps_profile = profile_named(wish.tps_profile, own=wish.loaded.site.profiles)
    file.write_bytes(done.structure_set(wish.loaded, tps_profile, origin, stages))
    volumes = [f"{structure} {volume:.1f} cm3" for structure, volume in done.volumes_cm3.items()]
    findings = [finding.sentence for finding in (*done.series.findings, *done.segmentation.findings)]
    waits = held_because(done.segmentation.findings)
    findings += [] if waits is None else [f"A node would hold this set. {waits}"]
    return volumes + findings + (_costs(done.segmentation, stages) if wish.costs else [])


def _costs(segmentation: Segmentation, stages: Stages) -> list[str]:
    """A line for each stage as they ran: seconds, peak memory of its process and of the GPU."""
    seconds = {**segmentation.seconds, **stages.seconds}
    peaks = {**segmentation.peaks, **stages.peaks}
    lines = [f"{'stage':20}{'seconds':>9}{'peak MiB':>10}{'GPU MiB':>9}"]
    for name, spent in seconds.items():
        peak = peaks.get(name, Peak(0))
        memory = [f"{amount / 2**20:.0f}" if amount else "-" for amount in (peak.resident, peak.on_gpu)]
        lines.append(f"{name:20}{spent:9.3f}{memory[0]:>10}{memory[1]:>9}")
    mode = segmentation.provenance
    return [*lines, f"on {mode.device}, {mode.precision}"]
