"""``delineate serve`` and the stages it is made of."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer()

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
_DEFAULT = Path("config.yaml")


def _begin(stage: str) -> None:
    from service.log import log_the_unexpected, start_logging
    from service.process_life import die_with_parent

    die_with_parent()
    start_logging()
    log_the_unexpected(stage)


def _wanted(names: str, known: Sequence[str], option: str) -> list[str]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted or not set(wanted) <= set(known):
        raise typer.BadParameter(f"these are known: {', '.join(known)}", param_hint=option)
    return wanted


def _prepared(config: Path) -> bool:
    from service.node.preparation import prepare_for_parent

    return prepare_for_parent(config)


@app.command()
def serve(
    config: Config = _DEFAULT,
    roles: Annotated[
        str, typer.Option(help="what this host does, with commas; less than all of it needs PostgreSQL")
    ] = "arrival,contour,deliver,console",
) -> None:
    """Run the node on this machine until it is told to stop: all of it, or a part where several share it."""
    from service.node.supervisor import ROLES, Supervisor

    wanted = _wanted(roles, ROLES, "--roles")
    if wanted == ["console"]:
        alone = "a console runs beside another role; `delineate console` runs one alone"
        raise typer.BadParameter(alone, param_hint="--roles")
    _begin("node")

    def announce(ae_title: str, port: int | None) -> None:
        said = {"event": "node.ready", "ae_title": ae_title}
        print(json.dumps(said if port is None else {**said, "port": port}), flush=True)

    sys.exit(Supervisor(config, announce, wanted).run())


@app.command()
def arrival(
    config: Config = _DEFAULT,
    prepare: Annotated[bool, typer.Option("--prepare", hidden=True)] = False,
) -> None:
    """Run the Storage SCP alone: receives, completes and routes."""
    _begin("arrival")
    from service.arrival.arrival_process import run
    from service.config.reader import WatchedSite
    from service.node.heartbeat import Heartbeat
    from service.process_life import stop_event

    if prepare and not _prepared(config):
        return
    stop = stop_event()
    with Heartbeat(WatchedSite(config).current().storage, "arrival"):
        run(config.absolute(), stop)


@app.command()
def work(
    config: Config = _DEFAULT,
    queues: Annotated[str, typer.Option(help="contour, deliver, or both with a comma")] = "contour,deliver",
    role: Annotated[str, typer.Option(help="name of this worker, unique on this machine")] = "work",
    prepare: Annotated[bool, typer.Option("--prepare", hidden=True)] = False,
) -> None:
    """Run a worker alone: contours, delivers, or both."""
    _begin("work")
    from service.backlog.engine import CONTOUR, DELIVER
    from service.node.work import Work
    from service.process_life import stop_event

    wanted = _wanted(queues, (CONTOUR, DELIVER), "--queues")
    if prepare and not _prepared(config):
        return
    stop = stop_event()
    Work(config.absolute(), wanted, role).run(stop)
    sys.stderr.flush()
    os._exit(0)  # a transfer or a model that is still under way would hold the process; it is run again


@app.command()
def console(config: Config = _DEFAULT) -> None:
    """Run the HTTP process alone: health, metrics and the API."""
    _begin("console")
    from service.config.reader import WatchedSite
    from service.console.process import serve as serve_http
    from service.node.heartbeat import Heartbeat
    from service.process_life import stop_event

    stop = stop_event()
    site = WatchedSite(config)
    with Heartbeat(site.current().storage, "console"):
        serve_http(site, stop)


@app.command(
    "model-process",
    hidden=True,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def model_process() -> None:
    """Run models for a worker; started by it."""
    _begin("model-process")
    from service.contouring.model_process import main

    main()


@app.command()
def health(config: Config = _DEFAULT) -> None:
    """Say what is wrong with the processes on this machine; exit code 1 if anything is."""
    from service.config.reader import load
    from service.log import start_logging
    from service.node.health import problems

    start_logging()
    found = problems(load(config, check_bundles=False))
    for sentence in found:
        print(sentence, file=sys.stderr)
    sys.exit(1 if found else 0)
