"""``delineate pull``: CT from an archive, one or a list of them, while the node does its daily work."""

from __future__ import annotations

import getpass
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.backlog.ledger import Ledger
    from service.command_line.pull_progress import Progress
    from service.config.reader import LoadedSite
    from service.retrieval.choices import Choices, RowResult
    from service.retrieval.run import Run
    from service.retrieval.troubles import PullStopped
    from service.retrieval.wanted import Wanted

app = typer.Typer()

_NOT_ALL = 1
_STOPPED = 3
Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]


@app.command()
def pull(  # noqa: PLR0913, PLR0917 - one for each option
    archive: Annotated[str, typer.Option("--from", help="archive of the configuration")],
    list_file: Annotated[
        Path | None, typer.Option("--list", help="CSV file with a row for each study, series or patient")
    ] = None,
    study: Annotated[str, typer.Option(help="StudyInstanceUID")] = "",
    series: Annotated[str, typer.Option(help="SeriesInstanceUID")] = "",
    patient: Annotated[str, typer.Option(help="PatientID; whoever sees processes sees it")] = "",
    accession: Annotated[str, typer.Option(help="AccessionNumber")] = "",
    since: Annotated[str, typer.Option(help="earliest study date, such as 2024-01-31")] = "",
    until: Annotated[str, typer.Option(help="latest study date")] = "",
    protocol: Annotated[str | None, typer.Option(help="contour all by this one; else by routes")] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="where sets of --protocol go; else they stay here")
    ] = None,
    priority: Annotated[int, typer.Option(min=1, max=1000, help="of the jobs; 1 runs first")] = 900,
    ahead: Annotated[
        int, typer.Option(min=1, max=10_000, help="pull no more while so many CT wait to be contoured")
    ] = 4,
    between: Annotated[str | None, typer.Option(help="hours to pull in, such as 18:00-06:00")] = None,
    wait: Annotated[bool, typer.Option(help="wait until all are contoured")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be pulled")] = False,
    config: Config = Path("config.yaml"),
) -> None:
    """Pull CT from an archive and contour them; a list goes on where it was when it is run again.

    Ends with 0 when every row is done, 1 when a row or a CT is not, 3 when it stopped before the end.
    """
    from service.retrieval.choices import Choices
    from service.retrieval.hours import Hours
    from service.retrieval.wanted import Wanted, checked, read_list

    dates = _date(since, "--since"), _date(until, "--until")
    if list_file is not None and any((study, series, patient, accession)):
        raise typer.BadParameter("a list or one of the others, not both", param_hint="--list")
    loaded = _loaded(config)
    rows: Sequence[Wanted]
    if list_file is not None:
        rows = read_list(list_file, since=dates[0], until=dates[1])
    else:
        rows = (checked(Wanted(1, study, series, patient, accession, *dates)),)
    choices = Choices(
        archive=archive,
        who=getpass.getuser(),
        protocol=protocol,
        destinations=tuple(to or ()),
        priority=priority,
        ahead=ahead,
        between=Hours.parse(between) if between is not None else None,
    )
    sys.exit(_work(loaded, choices, rows, listed=list_file is not None, wait=wait, dry_run=dry_run))


def _work(
    loaded: LoadedSite, choices: Choices, rows: Sequence[Wanted], *, listed: bool, wait: bool, dry_run: bool
) -> int:
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger
    from service.command_line.pull_progress import Progress
    from service.retrieval.opening import check_choices, open_run

    check_choices(loaded, choices)
    ledger = Ledger(loaded.database_url, loaded.storage)
    try:
        with Progress(len(rows)) as progress:
            run = open_run(loaded, ledger, choices, progress)
            facts = {"archive": choices.archive, "rows": len(rows), "protocol": choices.protocol}
            code = "pull.looked" if dry_run else "pull.begun"
            AuditTrail(ledger).record(code, who=choices.who, facts=facts)
            if dry_run:
                return _look(run, rows, progress)
            results, stopped = _pull(loaded, run, choices, rows if listed else (), rows)
            if wait and stopped is None:
                _wait(run, results, progress)
        return _tell(ledger, choices, len(rows), results, stopped)
    finally:
        ledger.close()


def _pull(
    loaded: LoadedSite,
    run: Run,
    choices: Choices,
    journalled: Sequence[Wanted],
    rows: Sequence[Wanted],
) -> tuple[list[RowResult], PullStopped | None]:
    from contextlib import nullcontext

    from service.errors import SpoolUnavailable
    from service.retrieval.journal import Journal
    from service.retrieval.troubles import PullStopped
    from service.retrieval.wanted import fingerprint

    how = (choices.archive, choices.protocol or "", *choices.destinations)
    name = fingerprint(journalled, *how)
    results: list[RowResult] = []
    with Journal(loaded.storage, name) if journalled else nullcontext() as journal:
        try:
            for result in run.pull(rows, journal):
                results.append(result)
        except (PullStopped, SpoolUnavailable) as trouble:
            stopped = PullStopped(trouble.code, trouble.sentence)
        except KeyboardInterrupt:
            stopped = PullStopped(
                "pull.interrupted", "Ended by hand. Run the same again: it goes on from here."
            )
        else:
            return results, None
    if run.current is not None and run.current not in results:
        run.current.code = stopped.code
        results.append(run.current)
    return results, stopped


def _look(run: Run, rows: Sequence[Wanted], progress: Progress) -> int:
    from service.retrieval.troubles import PullFailed

    code = 0
    for wanted in rows:
        try:
            missing, known = run.find(wanted)
        except PullFailed as trouble:
            progress.line(f"row {wanted.row}: {trouble.code}: {trouble.sentence}")
            code = _NOT_ALL
            continue
        images = sum(each.instances for each in missing)
        progress.line(
            f"row {wanted.row}: would pull {len(missing)} CT, {images} images; {len(known)} are here"
        )
    return code


def _wait(run: Run, results: Sequence[RowResult], progress: Progress) -> None:
    import time

    series = {number for result in results for number in result.series}
    try:
        while waiting := run.room.waiting(series):
            progress.says(f"{waiting} of {len(series)} CT wait to be contoured; they do so without this")
            time.sleep(1.0)
    except KeyboardInterrupt:
        pass
    progress.says("")


def _tell(
    ledger: Ledger, choices: Choices, total: int, results: Sequence[RowResult], stopped: PullStopped | None
) -> int:
    from rich.table import Table

    from service.backlog.audit import AuditTrail
    from service.command_line.pull_progress import ranges
    from service.command_line.tables import print_table
    from service.retrieval.report import report

    found = report(ledger, results, choices.protocol)
    facts = {"archive": choices.archive, "rows": found.rows, "pulled": found.pulled, "images": found.images}
    succeeded = stopped is None and found.good
    AuditTrail(ledger).record("pull.ended", who=choices.who, succeeded=succeeded, facts=facts)
    table = Table("what", "how many", "rows")
    earlier = f"{found.earlier} by an earlier run" if found.earlier else ""
    table.add_row("rows done", f"{found.done} of {total}", earlier)
    table.add_row("CT pulled", str(found.pulled), f"{found.images} images")
    table.add_row("CT that were here", str(found.here), "")
    for said, count in found.outcomes.items():
        table.add_row(said, str(count), "")
    for code, rows in found.troubles.items():
        said = "not found" if code == "pull.not-found" else f"not pulled: {code}"
        table.add_row(said, str(len(rows)), ranges(rows))
    print_table(table)
    for code, sentence in found.sentences.items():
        print(f"{code}: {sentence}", file=sys.stderr)
    if stopped is not None:
        print(f"{stopped.code}: {stopped.sentence}", file=sys.stderr)
        return _STOPPED
    return 0 if found.good else _NOT_ALL


def _date(text: str, option: str) -> str:
    digits = text.replace("-", "")
    if text and not re.fullmatch(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", digits):
        raise typer.BadParameter("write a date as in 2024-01-31", param_hint=option)
    return digits


def _loaded(config: Path) -> LoadedSite:
    import warnings

    import pydicom

    from service.config.reader import load
    from service.log import start_logging

    warnings.simplefilter("ignore")  # pydicom's quote values of the data set
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    start_logging()
    return load(config, check_bundles=False)
