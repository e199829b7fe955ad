"""``delineate data from-node``: what clinicians approved becomes a data set for training."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from service.command_line.data_import import Names, Records, Structures, import_visibly
from service.command_line.data_refusals import refusals

app = typer.Typer()

Aside = Annotated[
    float, typer.Option("--keep-aside", min=0, max=1, help="share of the patients never to be trained on")
]
Validation = Annotated[float, typer.Option(min=0, max=1, help="share of the patients for validation")]


@app.command("from-node")
def from_node(  # noqa: PLR0913, PLR0917 - each argument is one option of the command
    out: Annotated[Path, typer.Option(help="the data set: a new or empty folder", file_okay=False)],
    config: Annotated[
        Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file")
    ] = Path("config.yaml"),
    keep_aside: Aside = 0.2,
    validation: Validation = 0.15,
    since: Annotated[str | None, typer.Option(help="sets that came from this day or time on")] = None,
    names: Names = None,
    structures: Structures = None,
    records: Records = None,
    licence: Annotated[str, typer.Option(help="of the data, in words")] = "",
) -> None:
    """Make a data set of the node's CTs and the approved structure sets that came back, anonymised.

    Who is kept aside follows from the Patient ID and stays so in every later data set. Stopped or killed, the
    same command goes on where it was. Only patients whom evaluation.training says are taken.
    """
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger
    from service.command_line.moments import seconds_of
    from service.config.in_force import load_in_force
    from service.training_data.node_import import Wish, import_from_node

    if keep_aside + validation >= 1:
        raise typer.BadParameter("--keep-aside and --validation together leave nothing to train on")
    loaded, _ = load_in_force(config)
    wanted = None if structures is None else frozenset(filter(None, map(str.strip, structures.split(","))))
    wish = Wish(
        out=out,
        records=records or out.resolve().with_name(f"{out.resolve().name}-records"),
        keep_aside=keep_aside,
        validation=validation,
        since=seconds_of(since, loaded.site.node.timezone, "--since") if since else 0.0,
        structures=wanted,
        names=tuple(names or ()),
        licence=licence,
    )
    with refusals():
        ledger = Ledger(loaded.database_url, loaded.storage)
        ledger.check()
        try:
            report = import_visibly(
                lambda report, track: import_from_node(loaded, ledger, wish, report, track), wish.records, out
            )
            facts = {"cases": len(report.cases), "patients": len(report.parts)}
            AuditTrail(ledger).record("looked.training-data", who=getpass.getuser(), facts=facts)
        finally:
            ledger.close()
