"""``delineate audit``: who did what to which CT, and when."""

from __future__ import annotations

import csv
import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.backlog.audit import Entry

app = typer.Typer()

_DEFAULT = Path("config.yaml")
_COLUMNS = ("at", "deed", "code", "who", "address", "succeeded", "job", "facts")


@app.command()
def audit(
    since: Annotated[str | None, typer.Option(help="from this day or time on, e.g. 2026-11-01")] = None,
    until: Annotated[str | None, typer.Option(help="before this day or time")] = None,
    config: Annotated[
        Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file")
    ] = _DEFAULT,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document a line")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="a table for spreadsheets")] = False,
    atna: Annotated[
        bool,
        typer.Option("--atna", help="audit messages of DICOM PS3.15 A.5; they name patients"),
    ] = False,
) -> None:
    """Say who did what to which job, and when; reading it is written down too."""
    from service.backlog.audit import AuditTrail
    from service.backlog.audit_messages import audit_messages
    from service.backlog.ledger import Ledger
    from service.command_line.moments import seconds_of
    from service.config.in_force import load_in_force

    if as_json + as_csv + atna > 1:
        raise typer.BadParameter("choose one of --json, --csv and --atna", param_hint="--json")
    loaded, _ = load_in_force(config)
    zone = loaded.site.node.timezone
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.check()
    try:
        trail = AuditTrail(ledger)
        ends = None if until is None else seconds_of(until, zone, "--until")
        found = trail.entries(seconds_of(since, zone, "--since") if since else 0.0, ends)
        trail.record("audit.read", who=getpass.getuser(), facts={"count": len(found)})
        if atna:
            for message in audit_messages(ledger, found, loaded.site.node.ae_title):
                print(message)
        elif as_json:
            for row in _rows(found, zone):
                print(json.dumps(row, ensure_ascii=False))
        elif as_csv:
            _print_csv(found, zone)
        else:
            _print_table(found, zone)
    finally:
        ledger.close()


def _rows(entries: Sequence[Entry], zone: str) -> list[dict[str, object]]:
    from service.backlog.documents import iso

    return [
        {
            "at": iso(entry.at, zone),
            "deed": entry.deed.value,
            "code": entry.code,
            "who": entry.who,
            "address": entry.address,
            "succeeded": entry.succeeded,
            "job": entry.job_id,
            "facts": dict(entry.facts),
        }
        for entry in entries
    ]


def _print_csv(entries: Sequence[Entry], zone: str) -> None:
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(entries, zone):
        facts = json.dumps(row["facts"], ensure_ascii=False)
        writer.writerow({name: _harmless(value) for name, value in (row | {"facts": facts}).items()})


def _harmless(value: object) -> object:
    """A spreadsheet takes a text that begins so for a formula; an AE title may."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _print_table(entries: Sequence[Entry], zone: str) -> None:
    from rich.table import Table

    from service.command_line.tables import print_table

    table = Table("When", "What", "Who", "From", "Job", "Came about", "Particulars")
    for row in _rows(entries, zone):
        facts = row["facts"]
        told = ", ".join(f"{key} {value}" for key, value in facts.items()) if isinstance(facts, dict) else ""
        cells = (row["at"], row["code"], row["who"] or "the node", row["address"] or "", row["job"] or "")
        table.add_row(*map(str, cells), "yes" if row["succeeded"] else "no", told)
    print_table(table)
