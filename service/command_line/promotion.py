"""``delineate promote``: the candidate in the shadow becomes the protocol's model."""

from __future__ import annotations

import getpass
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.backlog.ledger import Ledger
    from service.config.protocol import Protocol
    from service.config.reader import LoadedSite

app = typer.Typer()

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
_DEFAULT = Path("config.yaml")
_ACCOUNT = re.compile(r"[^a-z0-9._-]+")


@app.command()
def promote(
    protocol: Annotated[str, typer.Argument(help="a protocol with a candidate under `shadow`")],
    config: Config = _DEFAULT,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Show a protocol's model and its candidate side by side, and exchange the two once you agree.

    The old model contours in the shadow from then on; the same command takes the promotion back.
    """
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger
    from service.config.promotion import candidate_of
    from service.config.reader import load

    loaded = load(config)
    asked = candidate_of(loaded, protocol)
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.check()
    try:
        _print_side_by_side(ledger, protocol, asked)
        _print_what_is_lost(loaded, asked)
        if not yes and not typer.confirm(f"{asked.shadow} becomes the model of {protocol}?", default=False):
            print("Nothing was changed.")
            sys.exit(1)
        version = _exchange(loaded, protocol)
        facts = {"protocol": protocol, "model": asked.shadow, "before": asked.model, "version": version}
        AuditTrail(ledger).record("config.promoted", who=getpass.getuser(), facts=facts)
    finally:
        ledger.close()
    print(f"{asked.shadow} is the model of {protocol}; {asked.model} goes on in its shadow.")
    print("The node takes the file up within seconds. The text before is kept in the console's history.")


def _print_side_by_side(ledger: Ledger, name: str, protocol: Protocol) -> None:
    from rich.console import Console
    from rich.table import Table

    from service.command_line.tables import printable
    from service.evaluation.side_by_side import COMPARED, pairs_of, side_by_side, unpaired

    own = ledger.find_reviewed_structures(protocol=name, model=protocol.model, is_shadow=False)
    candidate = ledger.find_reviewed_structures(protocol=name, model=protocol.shadow, is_shadow=True)
    pairs = pairs_of(own, candidate)
    missing = unpaired(own, pairs)
    if not pairs:
        print(f"No reviewed structure set of {name} was measured against both: nothing to compare.")
        return
    table = Table("Structure", "Cases", *COMPARED, "Better", "Worse", "Only the model")
    for line in side_by_side(pairs):
        figures = [f"{_figure(line.model, key)} -> {_figure(line.candidate, key)}" for key in COMPARED]
        counts = (str(line.better), str(line.worse), str(missing.pop(line.structure, 0)))
        table.add_row(printable(line.structure), str(line.cases), *figures, *counts)
    for structure, count in sorted(missing.items()):
        table.add_row(printable(structure), "0", *("-" for _ in COMPARED), "0", "0", str(count))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 160
    console.print(f"{protocol.model} -> {protocol.shadow}: medians on the same CTs, against what came back")
    console.print(table)


def _figure(medians: Mapping[str, float], key: str) -> str:
    return f"{medians[key]:.3f}" if key in medians else "-"


def _print_what_is_lost(loaded: LoadedSite, protocol: Protocol) -> None:
    """A protocol that lists no structures sends what its model offers: that may change too."""
    from models.cards.catalog import find_bundle

    assert protocol.model is not None and protocol.shadow is not None  # noqa: S101, PT018 - both are there
    old, new = (
        set(find_bundle(reference, loaded.bundle_folders).structures)
        for reference in (protocol.model, protocol.shadow)
    )
    gone = sorted(old.intersection(protocol.structures) - new)
    if gone:
        print(f"{protocol.shadow} does not offer, so nobody gets any more: {', '.join(gone)}")


def _exchange(loaded: LoadedSite, protocol: str) -> str:
    """Write the file as the console's editor does; its version."""
    from service.config.promotion import must_be_promoted, promoted
    from service.config.reader import parse
    from service.console.pages.configuration_history import save, version_of

    before = loaded.path.read_text(encoding="utf-8")
    text = promoted(before, protocol)
    must_be_promoted(loaded, parse(text, loaded.path), protocol)
    who = _ACCOUNT.sub("-", getpass.getuser().lower()).strip("-")[:64] or "somebody"
    return save(loaded, text, version_of(before), who)
