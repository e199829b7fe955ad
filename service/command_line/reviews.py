"""``delineate reviews``: structure sets that came back, what was changed in them, and readers' grades."""

from __future__ import annotations

import getpass
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.command_line.tables import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.backlog.ledger import Ledger
    from service.backlog.review_records import ReviewedSet, ReviewedStructure, SliceMeasures
    from service.config.reader import LoadedSite

app = typer.Typer()
reviews_app = typer.Typer(
    help="Structure sets that came back: list, show, grade what was changed.", no_args_is_help=True
)
app.add_typer(reviews_app, name="reviews")

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
Json = Annotated[bool, typer.Option("--json", help="as one JSON document")]
_DEFAULT = Path("config.yaml")
_SHOWN = ("dsc", "surface_dsc", "hd95_mm", "added_path_mm", "contours_untouched")


@reviews_app.command("list")
def list_reviews(
    job: Annotated[str | None, typer.Option(metavar="JOB", help="those of one job")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest")] = 50,
    config: Config = _DEFAULT,
    *,
    as_json: Json = False,
) -> None:
    """Name the structure sets that came, newest first: from whom, approved or not, and what they are."""
    with _ledger(config) as (ledger, loaded):
        found = ledger.reviewed_sets_of_job(job)[::-1] if job else ledger.reviewed_sets(limit=limit)
        rows = [
            _set_row(each, ledger.find_reviewed_structures(set_id=each.id, with_superseded=True), loaded)
            for each in found[:limit]
        ]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    _print_sets(rows)


@reviews_app.command()
def show(
    set_id: Annotated[int, typer.Argument(metavar="ID", help="the set's number, as `reviews list` says")],
    config: Config = _DEFAULT,
    *,
    slices: Annotated[
        int | None, typer.Option(metavar="STRUCTURE", help="the slices of one structure, by its number")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what was changed in a set, structure by structure, or in one structure slice by slice."""
    with _ledger(config) as (ledger, loaded):
        found = ledger.reviewed_set(set_id)
        structures = ledger.find_reviewed_structures(set_id=set_id, with_superseded=True)
        if slices is not None:
            ledger.reviewed_structure(slices)
            _print_slices(ledger.slice_measures(slices), as_json=as_json)
            return
    if as_json:
        document = _set_row(found, structures, loaded)
        document["reviewed"] = [_structure_row(each) for each in structures]
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    _print_set(found, structures, loaded)


@reviews_app.command()
def grade(
    structure: Annotated[int, typer.Argument(metavar="STRUCTURE", help="its number, as `reviews show` says")],
    value: Annotated[str, typer.Argument(metavar="GRADE", help="acceptable, minor, major or not-acceptable")],
    at_mm: Annotated[
        float | None, typer.Option("--slice", metavar="MM", help="one slice, by its position")
    ] = None,
    by: Annotated[str | None, typer.Option(help="the reader, if not you")] = None,
    config: Config = _DEFAULT,
) -> None:
    """Write down a reader's grade of a structure, or of one slice of it."""
    with _ledger(config) as (ledger, _), ledger.begin() as conn:
        graded = ledger.grade(conn, structure, value, by or getpass.getuser(), at_mm)
    of = graded.structure if at_mm is None else f"{graded.structure} at {at_mm:g} mm"
    print(f"{of} of job {graded.job_id}: {value}. Estimated {graded.estimated_grade or 'not at all'}.")


@reviews_app.command()
def again(
    sets: Annotated[list[int], typer.Argument(metavar="ID...", help="numbers, as `reviews list` says")],
    config: Config = _DEFAULT,
) -> None:
    """Compare sets anew, after names, tolerances or grades were changed in the configuration."""
    from service.backlog.spool import Spool
    from service.contouring.kept_grid import grid_of
    from service.evaluation.review_worker import ReviewWorker

    with _ledger(config) as (ledger, loaded):
        spool = Spool(loaded.storage)
        worker = ReviewWorker(lambda: loaded, ledger, spool, lambda job: grid_of(job, spool.jobs / job.id))
        for set_id in sets:
            worker.again(set_id)
            found = ledger.find_reviewed_structures(set_id=set_id, with_superseded=True)
            print(f"Set {set_id}: {sum(bool(each.measures) for each in found)} of {len(found)} measured.")


@reviews_app.command()
def fetch(config: Config = _DEFAULT) -> None:
    """Ask the destinations of evaluation.query for structure sets now, as the node does at night."""
    from service.backlog.spool import Spool
    from service.node.destination_query import DestinationQuery

    with _ledger(config) as (ledger, loaded):
        asked = DestinationQuery(lambda: loaded, ledger, Spool(loaded.storage)).ask_all()
    for name, each in asked.items():
        told = f"{each.found} found, {each.new} new, {each.fetched} fetched"
        print(f"{name}: {told if each.answered else 'does not answer'}.")
    if not asked:
        print("evaluation.query names no destination.")
    if not all(each.answered and each.fetched == each.new for each in asked.values()):
        sys.exit(1)


def _set_row(
    found: ReviewedSet, structures: Sequence[ReviewedStructure], loaded: LoadedSite
) -> dict[str, object]:
    from service.backlog.documents import iso

    return {
        "id": found.id,
        "received_at": iso(found.received_at, loaded.site.node.timezone),
        "sender": found.sender,
        "found_by": found.found_by,
        "approval": found.approval,
        "reviewer_known": found.reviewer_known,
        "jobs": list(dict.fromkeys(each.job_id for each in structures)),
        "structures": len(structures),
        "measured": sum(bool(each.measures) for each in structures),
        "code": found.code,
        "sentence": found.sentence,
    }


def _structure_row(each: ReviewedStructure) -> dict[str, object]:
    names: tuple[str, ...] = ("id", "job_id", "structure", "their_name", "matched_by", "model", "protocol")
    names += ("is_shadow", "code", "sentence", "estimated_grade", "reader_grade", "superseded")
    return {name: getattr(each, name) for name in names} | {"measures": dict(each.measures)}


def _print_sets(rows: Sequence[dict[str, object]]) -> None:
    from rich.table import Table

    from service.command_line.tables import print_table

    if not rows:
        print("No structure set has come back.")
        return
    table = Table("Set", "When", "From", "Approval", "Jobs", "Measured", "Remark")
    for row in rows:
        jobs, remark = row["jobs"], row["code"] or ""
        named = " ".join(jobs) if isinstance(jobs, list) else ""
        measured = f"{row['measured']} of {row['structures']}"
        cells = (row["id"], row["received_at"], row["sender"], row["approval"], named, measured, remark)
        table.add_row(*(printable(str(cell)) for cell in cells))
    print_table(table)


def _print_set(found: ReviewedSet, structures: Sequence[ReviewedStructure], loaded: LoadedSite) -> None:
    from rich.table import Table

    from service.backlog.documents import iso
    from service.command_line.tables import print_table

    at = iso(found.received_at, loaded.site.node.timezone)
    reviewer = "reviewer named in the file" if found.reviewer_known else "no reviewer named"
    approval = found.approval or "no approval status"
    print(f"Set {found.id} from {printable(found.sender)}, {at}, {approval}, {reviewer}")
    if found.code:
        print(f"{found.code}: {found.sentence}")
    table = Table("No", "Job", "Structure", "Model", *_SHOWN, "Estimated", "Reader", "Remark")
    for each in structures:
        values = [f"{each.measures[name]:.3g}" if name in each.measures else "" for name in _SHOWN]
        remark = each.code or ("superseded" if each.superseded else "")
        grades = (each.estimated_grade or "", each.reader_grade or "")
        table.add_row(str(each.id), each.job_id, each.structure, each.model, *values, *grades, remark)
    if structures:
        print_table(table)
    for each in structures:
        if each.sentence:
            theirs = f" ({each.their_name})" if each.their_name else ""
            print(printable(f"{each.structure}{theirs}: {each.sentence}"))


def _print_slices(slices: Sequence[SliceMeasures], *, as_json: bool) -> None:
    from dataclasses import asdict

    from rich.table import Table

    from service.command_line.tables import print_table

    if as_json:
        print(json.dumps([asdict(each) for each in slices], indent=2))
        return
    table = Table("mm", "State", "DSC", "Added path, mm")
    for each in slices:
        table.add_row(f"{each.position_mm:g}", each.state, f"{each.dsc:.3f}", f"{each.added_path_mm:.1f}")
    print_table(table)


@contextmanager
def _ledger(config: Path) -> Iterator[tuple[Ledger, LoadedSite]]:
    from service.backlog.ledger import Ledger
    from service.config.in_force import load_in_force

    loaded, _ = load_in_force(config)
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.check()
    try:
        yield ledger, loaded
    finally:
        ledger.close()
