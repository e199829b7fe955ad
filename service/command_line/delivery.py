"""Commands about destinations: are they there, send again, send a folder."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.config.reader import LoadedSite
    from service.delivery.storage_scu import Peer

app = typer.Typer()

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
_DEFAULT = Path("config.yaml")


@app.command()
def echo(
    destination: Annotated[str | None, typer.Argument(help="a destination of the configuration")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="every destination of the configuration")] = False,
    config: Config = _DEFAULT,
) -> None:
    """Ask a destination by C-ECHO whether it is there; exit code 1 if one is not."""
    if every == (destination is not None):
        raise typer.BadParameter("name one destination, or say --all", param_hint="DESTINATION")
    from service.delivery.storage_scu import echo as verify

    loaded = _loaded(config)
    names = list(loaded.site.destinations) if destination is None else [destination]
    silent = False
    for name in names:
        at = loaded.destination(name)
        if every and at is not None and at.ae_title is None:
            print(f"{name} ({at.address}): not asked, it is no Storage SCP")
            continue
        peer = _peer(loaded, name)
        found = verify(peer)
        silent |= not found.stored
        answer = "answers" if found.stored else f"{found.code}: {found.sentence}"
        print(f"{name} ({peer.ae_title} at {peer.host}:{peer.port}): {answer}")
    sys.exit(1 if silent else 0)


@app.command()
def resend(
    job: Annotated[str, typer.Argument(help="the job's id, from `delineate jobs`")],
    to: Annotated[str, typer.Option("--to", help="destination; one that has not had it yet gets it too")],
    config: Config = _DEFAULT,
) -> None:
    """Send a job's structure set to a destination again; the running node does it."""
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.operations import Operations
    from service.node.resending import resend as submit

    loaded = _loaded(config)
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.check()
    operations = Operations(ledger, EngineClient(loaded.database_url, patient=False), getpass.getuser())
    delivery = submit(loaded, ledger, operations, job, to)
    print(f"Job {job} goes to {to} (delivery {delivery.id}). `delineate show {job}` tells how it went.")


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="folder with DICOM files", exists=True, file_okay=False)],
    to: Annotated[str, typer.Option("--to", help="destination to send them to")],
    config: Config = _DEFAULT,
) -> None:
    """Send every DICOM file of a folder and its subfolders to a destination; needs no running node."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from service.delivery.outcome import NOT_DICOM
    from service.delivery.storage_scu import send_all

    loaded = _loaded(config)
    peer = _peer(loaded, to)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    stored = 0
    problems: dict[str, tuple[str, bool]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(f"Sending to {to}", total=len(files))
        for _, found in send_all(files, peer):
            progress.advance(task)
            stored += found.stored
            if found.code not in ("delivery.stored", NOT_DICOM.code):
                problems.setdefault(found.code, (found.sentence, found.stored))
    print(f"{stored} of {len(files)} files stored at {to}.")
    for code, (sentence, _) in problems.items():
        print(f"{code}: {sentence}", file=sys.stderr)
    failed = stored == 0 or not all(was_stored for _, was_stored in problems.values())
    sys.exit(1 if failed else 0)


def _loaded(config: Path) -> LoadedSite:
    from service.config.reader import load
    from service.log import start_logging

    start_logging()
    return load(config, check_bundles=False)


def _peer(loaded: LoadedSite, name: str) -> Peer:
    from service.delivery.association import peer_of
    from service.node.resending import destination_named

    at = destination_named(loaded, name)
    return peer_of(at, at.calling_ae_title or loaded.site.node.ae_title)
