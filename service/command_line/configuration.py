"""``delineate check``, ``explain``, ``schema`` and ``reference``: the configuration file, without a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.arrival.explanation import Explanation
    from service.config.reader import LoadedSite

app = typer.Typer()

_MISTAKES = 2
_Config = Annotated[Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file")]


@app.command()
def check(
    config: _Config = Path("config.yaml"),
    connect: Annotated[bool, typer.Option("--connect", help="also try to reach each destination")] = False,
) -> None:
    """Say every mistake of the configuration file, then what will not work as it stands."""
    from service.config.advice import warnings_of
    from service.dicom.transport_security import unusable_sections

    loaded = _load(config)
    for warning in warnings_of(loaded, connect=connect, also=unusable_sections(loaded.site)):
        print(f"warning: {warning.said_of(config.name)}")
    site = loaded.site
    counts = {
        "sender": len(site.senders),
        "destination": len(site.destinations),
        "protocol": len(site.protocols),
        "route": len(site.routes),
    }
    said = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())
    print(f"{config.name} is good (version {loaded.version}): {said}")


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
    from service.arrival.explanation import explained
    from service.arrival.series_of_folder import series_of

    loaded = _load(config)
    found = series_of(folder, loaded)
    for series in found:
        _print(explained(series, loaded, calling_ae, called_ae), loaded)
    if not found:
        print("there is no DICOM image in this folder")


def _print(it: Explanation, loaded: LoadedSite) -> None:
    from service.command_line.tables import printable

    print(printable(it.title))
    if not it.is_ct:
        print("  not a CT: it would not be contoured\n")
        return
    print(printable(f"  sent by {_caller(it)} to {_called(it)}"))
    if it.refused is not None:
        print(f"  REFUSED {it.refused[0]}: {it.refused[1]}\n")
        return
    if it.localizers:
        print(f"  {it.localizers} of {it.images} images are localizers and set aside")
    if it.only_localizers:
        print("  nothing else: the series would be ignored\n")
        return
    for each in it.routes:
        print(f"  {'takes' if each.reason.matched else 'not  '} {each.reason.route}: {each.reason.sentence}")
        for keyword, value in each.values:
            print(f"          {keyword} here: {printable(value)}")
    for job in it.jobs:
        label = " + ".join(_models(loaded, job.protocol))
        where = ", ".join(job.destinations) or "nowhere"
        print(f"  => {job.protocol} ({label}), {job.mode} to {where}, priority {job.priority}")
    print("" if it.jobs else "  => no route: kept, shown and not contoured\n")


def _models(loaded: LoadedSite, job_protocol: str) -> list[str]:
    from service.backlog.trial_names import configured_name, is_shadow

    protocol = loaded.site.protocols[configured_name(job_protocol)]
    if is_shadow(job_protocol) and protocol.shadow is not None:
        return [protocol.shadow]
    return [each.model for each in protocol.uses]


def _caller(it: Explanation) -> str:
    if not it.calling_ae:
        return "(unknown: give --calling-ae)"
    return it.calling_ae if it.caller_known else f"{it.calling_ae} (not under senders: it would be rejected)"


def _called(it: Explanation) -> str:
    return it.called_ae if it.called_ours else f"{it.called_ae} (not ours: the caller would be rejected)"


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
