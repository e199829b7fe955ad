"""How status, jobs and stories look to people, in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from service.backlog.records import DeliveryState
from service.command_line.tables import printable
from service.config.output_objects import ObjectKind

if TYPE_CHECKING:
    from service.backlog.ledger import JobLine, Story
    from service.backlog.records import Delivery, RecordedSeries
    from service.backlog.retention import Purged

_WIDTH = 160  # of what is not a terminal: nothing is cut off


def print_status(document: Mapping[str, Any]) -> None:
    """A line for each kind of thing."""
    console = _console()
    for title in ("series", "jobs", "deliveries"):
        console.print(f"{title.capitalize():<12}{_numbers(document[title])}")
    for queue, numbers in document["engine"].items():
        console.print(f"{f'Queue {queue}':<16}{_numbers(numbers)}")
    if document["longest_wait_seconds"]:
        console.print(f"The oldest waiting job has waited {document['longest_wait_seconds']:.0f} s.")
    for each in document["stuck"]:
        console.print(f"Has not moved for {each['seconds']:.0f} s: {each['key']} ({each['status'].lower()})")
    disk = document["disk"]
    budget = "no budget" if disk["budget_gb"] is None else f"budget {disk['budget_gb']:g} GB"
    console.print(
        f"Storage     {disk['used_gb']:.1f} GB used ({budget}), {disk['free_gb']:.1f} GB free "
        f"(C-STORE stops under {disk['reserve_gb']:g} GB)"
    )
    console.print(f"Configuration {document['config_version']}")
    if document["restart_needed"]:
        console.print(f"Waits for a restart of the node: {', '.join(document['restart_needed'])}")


def print_jobs(lines: Sequence[JobLine], series: Sequence[RecordedSeries], zone: str) -> None:
    """A table of jobs, then one of series that have none."""
    console = _console()
    table = Table("Job", "State", "Patient ID", "Name", "Protocol", "To", "Slices", "Created", "Why")
    for line in lines:
        job, who = line.job, line.identity
        row = (job.id, job.state.value, who.patient_id, who.patient_name, job.protocol)
        to, why = ", ".join(job.destinations), job.sentence or " ".join(line.retried)
        _row(table, *row, to, str(len(job.files)), _time(job.created_at, zone), why)
    console.print(table if lines else "No jobs.")
    if not series:
        return
    alone = Table("State", "Patient ID", "Name", "Series", "Images", "From", "Last image", "Why")
    for each in series:
        who = each.identity
        row = (
            each.state.value,
            who.patient_id,
            who.patient_name,
            who.series_description,
            str(each.instances),
        )
        _row(alone, *row, each.calling_ae_title, _time(each.last_at, zone), each.sentence or "")
    console.print("\nSeries without a job:")
    console.print(alone)


def print_story(story: Story, zone: str) -> None:
    """The story in sections: whose, what, findings, deliveries, events."""
    console = _console()
    for title, value in _head(story, zone):
        if value:
            console.print(printable(f"{title:<14}{value}"))
    if story.volumes_cm3:
        table = Table("Structure", "Volume (cm3)")
        for name, volume in story.volumes_cm3.items():
            _row(table, name, f"{volume:.1f}")
        console.print(table)
    for finding in story.findings:
        where = f"{finding.structure}: " if finding.structure else ""
        said = f"{finding.severity.value.capitalize()}: {where}{finding.sentence} ({finding.code})"
        console.print(printable(said), soft_wrap=True)
    if story.deliveries:
        console.print(_deliveries_table(story, zone))
    events = Table("When", "What", "Why", "Who")
    for event in story.events:
        why = event.sentence or ", ".join(f"{name} {value}" for name, value in event.facts.items())
        _row(events, _time(event.at, zone), event.code, why, event.who or "")
    console.print(events)


def print_purged(purged: Purged, *, dry_run: bool) -> None:
    """What went, or would."""
    verb = "Would delete" if dry_run else "Deleted"
    others = f"structure sets of {purged.structure_sets} jobs and {purged.files} other files"
    print(f"{verb} {purged.series} series, {others} ({purged.freed_bytes / 1e9:.3f} GB).")
    print(f"{verb} what the ledger says of {purged.rows} series.")
    if purged.over_budget_bytes:
        over = f"Still {purged.over_budget_bytes / 1e9:.3f} GB over budget"
        print(f"{over}: what is left is under way, has just ended, or failed.")


def _head(story: Story, zone: str) -> list[tuple[str, str]]:
    job, series, who = story.job, story.series, story.series.identity
    person = ", ".join(filter(None, (who.patient_name, who.birth_date, who.sex)))
    study = ", ".join(filter(None, (who.study_description, who.study_date, who.accession_number)))
    model = story.provenance or {}
    routes = ", ".join(job.routes) or "-"
    said = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in story.seconds.items())
    unvalidated = "" if model.get("validated", True) else ", synthetic data only: NOT FOR CLINICAL USE"
    return [
        ("Job", f"{job.id}: {job.state.value}" + (f" ({job.code})" if job.code else "")),
        ("", job.sentence or ""),
        ("Patient", f"{who.patient_id}  {person}"),
        ("Study", study),
        (
            "Series",
            f"{who.series_description} ({series.instances} images, {len(job.files)} slices contoured)",
        ),
        ("From", f"{series.calling_ae_title} at {series.sender_address}, called {series.called_ae_title}"),
        ("Arrived", f"{_time(series.first_at, zone)} to {_time(series.last_at, zone)}"),
        ("Routed", f"{job.protocol} by {routes}, mode {job.mode.value}, priority {job.priority}"),
        ("Configuration", job.config_version),
        ("Replaces", job.predecessor or ""),
        ("Replaced by", story.successor or ""),
        ("Notes", " ".join(job.notes)),
        ("Model", f"{model['model']}@{model['version']} on {model['device']}{unvalidated}" if model else ""),
        ("Contoured", f"{_time(story.contoured_at, zone)} ({said})" if story.contoured_at else ""),
        ("CT deleted", _time(series.purged_at, zone)),
        ("Sets deleted", _time(story.purged_at, zone)),
    ]


def _deliveries_table(story: Story, zone: str) -> Table:
    table = Table("To", "State", "Attempt", "Began", "Took", "Status", "Outcome")
    for delivery, attempts in story.deliveries:
        again = "" if delivery.generation == 1 else f" (sent again, no. {delivery.generation})"
        what = "" if delivery.kind is ObjectKind.RTSTRUCT else f", {delivery.noun}"
        _row(table, f"{delivery.destination}{what}{again}", _state(delivery, story), "", "", "", "", "")
        for each in attempts:
            took = "" if each.ended_at is None else f"{each.ended_at - each.started_at:.1f} s"
            answer = "" if each.status is None else f"0x{each.status:04X}"
            _row(table, "", "", str(each.n), _time(each.started_at, zone), took, answer, each.sentence or "")
        if delivery.next_at is not None:
            _row(table, "", "", "next", _time(delivery.next_at, zone), "", "", "")
    return table


def _state(delivery: Delivery, story: Story) -> str:
    """The delivery's state; of a delivered one, how far the destination has bound itself."""
    if delivery.state is not DeliveryState.DELIVERED:
        return delivery.state.value
    found = story.commitments.get(delivery.id)
    if found is None:
        return f"{delivery.state.value}: acknowledged"
    bound = found.state.value
    return f"{delivery.state.value}: {bound if bound == 'committed' else f'acknowledged, {bound}'}"


def _console() -> Console:
    """Prints texts as they are: nothing in a name is a colour, a face or a command to the terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(printable(cell) for cell in cells))


def _numbers(numbers: Mapping[str, int]) -> str:
    shown = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(numbers.items()) if count]
    return ", ".join(shown) or "none"


def _time(at: float | None, zone: str) -> str:
    return "" if at is None else datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
