"""``delineate quality``: how much of the node's work survives review, over time."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from service.backlog.database import now

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.config.reader import LoadedSite
    from service.evaluation.overview import Overview
    from service.evaluation.quality import Plan

app = typer.Typer()

_DEFAULT = Path("config.yaml")


@app.command()
def quality(  # noqa: PLR0913, PLR0917 - one argument for each option
    since: Annotated[
        str | None, typer.Option(help="reviews from this day or time on, e.g. 2026-11-01")
    ] = None,
    structure: Annotated[str | None, typer.Option(help="only this structure, by its TG-263 name")] = None,
    protocol: Annotated[str | None, typer.Option(help="only this protocol")] = None,
    model: Annotated[str | None, typer.Option(help="only this model version, e.g. pelvis-ct@2.0")] = None,
    csv: Annotated[Path | None, typer.Option(help="write all figures to this file, for spreadsheets")] = None,
    html: Annotated[Path | None, typer.Option(help="write charts and tables to this file, one page")] = None,
    commissioning: Annotated[
        Path | None, typer.Option(help="write the commissioning report, a PDF to be signed")
    ] = None,
    config: Annotated[
        Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file")
    ] = _DEFAULT,
) -> None:
    """Say how much of the node's contours reviewers left, by structure, protocol, sender and model version.

    Medians with quartiles, the share that is acceptable or needs minor changes, the share that nobody
    touched, and whether a structure drifts. docs/quality.md says what the limits and alarms are.
    """
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger
    from service.command_line.moments import seconds_of
    from service.config.in_force import load_in_force
    from service.evaluation.overview import Wanted, overview
    from service.evaluation.quality import plan_of

    loaded, _ = load_in_force(config)
    begins = None if since is None else seconds_of(since, loaded.site.node.timezone, "--since")
    plan = plan_of(loaded.site)
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.check()
    try:
        found = overview(ledger, AuditTrail(ledger), plan, Wanted(begins, structure, protocol, model))
        _print(found)
        if csv is not None:
            _write_csv(found, csv)
        if html is not None:
            _write_html(found, loaded, html)
        if commissioning is not None:
            _write_commissioning(found, plan, loaded, ledger, commissioning)
    finally:
        ledger.close()


def _print(found: Overview) -> None:
    from rich.table import Table

    from service.command_line.tables import print_table, printable
    from service.evaluation.html_report import HEAD, cells, told_kappa, told_state

    if not found.lines:
        print("No structure that came back was measured yet: `delineate reviews list` says what came.")
        return
    states = {chart.group: told_state(chart) for chart in found.charts}
    table = Table(*HEAD, "state")
    for line in found.lines:
        table.add_row(*map(printable, cells(line)), states.get(replace(line.group, sender=""), "–"))
    print_table(table)
    print(f"estimated and readers' grades: {told_kappa(found.agreement)}")


def _write_csv(found: Overview, file: Path) -> None:
    from service.evaluation.summary import write_csv

    with file.open("w", newline="", encoding="utf-8") as stream:
        write_csv(found.lines, stream)
    print(file)


def _write_html(found: Overview, loaded: LoadedSite, file: Path) -> None:
    from service.evaluation.html_report import html_report

    node = loaded.site.node
    day = day_in(node.timezone)
    file.write_text(html_report(found, node.ae_title, day(now()), day), encoding="utf-8")
    print(file)


def _write_commissioning(found: Overview, plan: Plan, loaded: LoadedSite, ledger: Ledger, file: Path) -> None:
    from service.backlog.audit import AuditTrail
    from service.evaluation.commissioning_pdf import write_pdf
    from service.node.commissioning import commissioning_report

    made = day_in(loaded.site.node.timezone)(now())
    report = commissioning_report(found, plan, loaded, ledger, made)
    write_pdf(report, file)
    audit = AuditTrail(ledger)
    for each in report.structures:
        for place in each.pictures:  # slices of somebody's CT
            audit.record("looked.job", who=getpass.getuser(), job_id=each.examples[place].job_id)
    print(file)


def day_in(zone: str) -> Callable[[float], str]:
    """Days of the node's time zone as people read them."""
    return lambda at: datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%d")
