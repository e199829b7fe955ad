"""What ``delineate purge`` does where a person names what is to go: list it, ask once, delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.backlog.erasure import Erased


def erase(found_by: Callable[[bool], Erased], *, dry_run: bool, yes: bool) -> int:
    """Do it; ``found_by(dry_run)`` deletes, or says what it would. The exit code: 1 if something stays."""
    found = found_by(True)
    _print(found, dry_run=True)
    if not dry_run and (yes or typer.confirm("Delete it for good?")):
        found = found_by(False)
        _print(found, dry_run=False)
    elif not dry_run:
        print("Nothing was deleted.")
    if found.under_way:
        print(f"Not touched: {found.under_way} series under way. Cancel their jobs or let them end first.")
    return 1 if found.under_way else 0


def _print(erased: Erased, *, dry_run: bool) -> None:
    verb, what = ("Would delete" if dry_run else "Deleted"), erased.purged
    others = f"structure sets of {what.structure_sets} jobs and {what.files} other files"
    print(f"{verb} {what.series} series, {others} ({what.freed_bytes / 1e9:.3f} GB).")
    if not dry_run:
        print(f"The ledger no longer says whose {erased.cleared} series were.")
