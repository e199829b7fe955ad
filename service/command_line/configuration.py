"""``delineate check``, ``explain``, ``schema`` and ``reference``: the configuration file, without a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pydicom import Dataset

    from service.arrival.routing import Decision
    from service.config.reader import LoadedSite

app = typer.Typer()

_MISTAKES = 2
_Config = Annotated[Path, typer.Option("--config", help="the configuration file")]


@app.command()
def check(
    config: _Config = Path("config.yaml"),
    connect: Annotated[bool, typer.Option("--connect", help="also try to reach each destination")] = False,
) -> None:
    """Say every mistake of the configuration file, then what will not work as it stands."""
    from service.config.advice import warnings_of

    loaded = _load(config)
    for warning in warnings_of(loaded, connect=connect):
        print(f"warning: {warning.said_of(config.name)}")
    site = loaded.site
    print(
        f"{config.name} is good (version {loaded.version}): {len(site.senders)} senders, "
        f"{len(site.destinations)} destinations, {len(site.protocols)} protocols, {len(site.routes)} routes"
    )


@app.command()
def explain(
    folder: Annotated[Path, typer.Argument(help="a folder with DICOM files", exists=True, file_okay=False)],
    config: _Config = Path("config.yaml"),
    calling_ae: Annotated[str | None, typer.Option(help="AE title of the sender")] = None,
    called_ae: Annotated[
        str | None, typer.Option(help="AE title that is called; by default the node's")
    ] = None,
) -> None:
    """Say which routes each CT series of a folder would take, and why. Shows values of the images."""
    from service.arrival.routing import route
    from service.command_line.series_of_folder import series_of
    from service.errors import SeriesRefused

    loaded = _load(config)
    found = series_of(folder, loaded)
    for series in found:
        print(f"{series.title}")
        if not series.is_ct:
            print("  not a CT: it would not be contoured\n")
            continue
        caller = calling_ae or series.calling_ae
        called = called_ae or series.called_ae or loaded.site.node.ae_title
        print(f"  sent by {_caller(caller, loaded)} to {_called(called, loaded)}")
        try:
            decision = route(series.headers, caller, called, loaded)
        except SeriesRefused as refused:
            print(f"  REFUSED {refused.code}: {refused.sentence}\n")
            continue
        _print_decision(decision, series.headers, loaded)
    if not found:
        print("there is no DICOM image in this folder")


def _caller(caller: str, loaded: LoadedSite) -> str:
    if not caller:
        return "(unknown: give --calling-ae)"
    return caller if loaded.sender(caller) else f"{caller} (not under senders: it would be rejected)"


def _called(called: str, loaded: LoadedSite) -> str:
    return called if called in loaded.own_ae_titles else f"{called} (not ours: the caller would be rejected)"


def _print_decision(decision: Decision, headers: list[Dataset], loaded: LoadedSite) -> None:
    from service.arrival.attributes import shown_value
    from service.command_line.tables import printable

    if decision.localizers:
        print(f"  {len(decision.localizers)} of {len(headers)} images are localizers and set aside")
    if decision.only_localizers:
        print("  nothing else: the series would be ignored\n")
        return
    slices = [headers[index] for index in decision.slices]
    for reason in decision.reasons:
        print(f"  {'takes' if reason.matched else 'not  '} {reason.route}: {reason.sentence}")
        for keyword in [] if reason.matched else reason.keywords:
            if keyword not in ("calling_ae", "called_ae"):
                print(f"          {keyword} here: {printable(shown_value(slices, keyword))}")
    for job in decision.jobs:
        label = loaded.site.protocols[job.protocol].model
        where = ", ".join(job.destinations) or "nowhere"
        print(f"  => {job.protocol} ({label}), {job.mode} to {where}, priority {job.priority}")
    print("" if decision.jobs else "  => no route: kept, shown and not contoured\n")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from service.config.schema import json_schema_text

    print(json_schema_text(), end="")


@app.command()
def reference() -> None:
    """Print the configuration reference, docs/configuration.md."""
    from service.config.reference import reference as text

    print(text(), end="")


def _load(config: Path) -> LoadedSite:
    """The configuration; with mistakes, print them all and leave with exit code 2."""
    from service.config.reader import load
    from service.errors import ConfigInvalid

    try:
        return load(config)
    except ConfigInvalid as error:
        for mistake in error.mistakes:
            typer.echo(mistake, err=True)
        count = len(error.mistakes)
        typer.echo(f"{count} mistake{'s' if count > 1 else ''}; the file is not used", err=True)
        raise typer.Exit(_MISTAKES) from error
