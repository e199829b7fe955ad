"""Commands about what the node has to do and has done: status, jobs, show, and what people change."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.operations import Operations
    from service.backlog.records import Job, JobState
    from service.config.reader import LoadedSite

app = typer.Typer()

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="as one JSON document")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="the job's id, from `delineate jobs`")]
_DEFAULT = Path("config.yaml")
_STUCK_SECONDS = 900.0


@app.command()
def status(config: Config = _DEFAULT, *, as_json: AsJson = False) -> None:
    """How much waits, runs, failed, and how full the disk is."""
    from service.backlog.documents import status_document
    from service.backlog.retention import size
    from service.command_line.backlog_views import print_status
    from service.config.reader import restart_needed

    loaded = _loaded(config)
    with _opened(loaded) as (ledger, engine):
        document = status_document(ledger.counts(), engine.counts(), engine.stuck(_STUCK_SECONDS))
    node = loaded.site.node
    document["disk"] = {
        "used_gb": round(size([loaded.storage]) / 1e9, 3),
        "free_gb": round(_free_bytes(loaded) / 1e9, 3),
        "reserve_gb": node.disk.reserve_gb,
        "budget_gb": node.disk.budget_gb,
    }
    document["config_version"] = loaded.version
    document["restart_needed"] = list(restart_needed(loaded))
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print_status(document)


@app.command()
def jobs(
    patient: Annotated[str | None, typer.Option(help="only of this Patient ID")] = None,
    state: Annotated[str | None, typer.Option(help="only in this state, e.g. failed or held")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest")] = 50,
    config: Config = _DEFAULT,
    *,
    as_json: AsJson = False,
) -> None:
    """List jobs, and series that nobody asked to contour, newest first. Shows who the patients are."""
    from service.backlog.documents import job_document, series_document
    from service.command_line.backlog_views import print_jobs

    loaded = _loaded(config)
    wanted = _state(state)
    with _opened(loaded) as (ledger, _):
        lines = ledger.job_lines(wanted, patient, limit)
        alone = [] if wanted is not None else ledger.series_without_jobs(patient, limit)
    if as_json:
        zone = loaded.site.node.timezone
        found = {
            "jobs": [job_document(line.job, line.identity, zone) for line in lines],
            "series_without_jobs": [series_document(series, zone) for series in alone],
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_jobs(lines, alone, loaded.site.node.timezone)


@app.command()
def show(job: JobId, config: Config = _DEFAULT, *, as_json: AsJson = False) -> None:
    """Tell the whole story of one job, from the CT's arrival on. Shows who the patient is."""
    from service.backlog.documents import story_document
    from service.command_line.backlog_views import print_story

    loaded = _loaded(config)
    with _opened(loaded) as (ledger, _):
        story = ledger.story(job)
    if as_json:
        print(json.dumps(story_document(story, loaded.site.node.timezone), indent=2, ensure_ascii=False))
    else:
        print_story(story, loaded.site.node.timezone)


@app.command()
def retry(job: JobId, config: Config = _DEFAULT) -> None:
    """Try a failed, refused or cancelled job again."""
    with _changing(config) as operations:
        _say(operations.retry(job))


@app.command()
def cancel(job: JobId, config: Config = _DEFAULT) -> None:
    """Give a job up: nothing more of it is contoured or sent."""
    with _changing(config) as operations:
        _say(operations.cancel(job))


@app.command()
def hold(job: JobId, config: Config = _DEFAULT) -> None:
    """Keep a job from going on until it is released."""
    with _changing(config) as operations:
        _say(operations.hold(job))


@app.command()
def release(job: JobId, config: Config = _DEFAULT) -> None:
    """Let a held job go on where it stopped."""
    with _changing(config) as operations:
        _say(operations.release(job))


@app.command()
def priority(
    job: JobId,
    number: Annotated[int, typer.Argument(min=1, max=1000, help="1 runs first; routes say 100 by default")],
    config: Config = _DEFAULT,
) -> None:
    """Change when a waiting job's turn comes."""
    with _changing(config) as operations:
        _say(operations.set_priority(job, number))


@app.command()
def purge(
    config: Config = _DEFAULT,
    *,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="CTs and sets that ended longer ago")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="JOB", help="a job's sets, and its CT")] = None,
    patient: Annotated[str | None, typer.Option(metavar="ID", help="all of the patient with this ID")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Delete what has been kept long enough or is over budget, or what is named; nothing under way.

    What is named is listed and asked about first, and the ledger then no longer says whose it was.
    """
    from service.backlog.erasure import Erasure
    from service.backlog.retention import Retention
    from service.backlog.spool import Spool
    from service.command_line.backlog_views import print_purged
    from service.command_line.erasing import erase

    if sum(each is not None for each in (older_than, job, patient)) > 1:
        raise typer.BadParameter("name one of --older-than, --job and --patient")
    loaded = _loaded(config)
    with _opened(loaded) as (ledger, engine):
        spool = Spool(loaded.storage)
        retention = Retention(
            ledger,
            spool,
            loaded.site.node,
            engine.delete_finished,
            review_days=loaded.site.evaluation.keep_days,
        )
        erasure = Erasure(ledger, spool, retention, getpass.getuser())
        if older_than is not None:
            code = erase(lambda dry: erasure.older_than(older_than, dry_run=dry), dry_run=dry_run, yes=yes)
        elif job is not None:
            code = erase(lambda dry: erasure.of_job(job, dry_run=dry), dry_run=dry_run, yes=yes)
        elif patient is not None:
            code = erase(lambda dry: erasure.of_patient(patient, dry_run=dry), dry_run=dry_run, yes=yes)
        else:
            print_purged(retention.purge(dry_run=dry_run), dry_run=dry_run)
            code = 0
    sys.exit(code)


@app.command()
def migrate(config: Config = _DEFAULT) -> None:
    """Bring the database up to date; `serve` does it too. Make a backup before an upgrade."""
    from service.node.preparation import prepare

    prepare(config)
    print("The database is up to date.")


def _loaded(config: Path) -> LoadedSite:
    from service.config.in_force import load_in_force

    loaded, mistakes = load_in_force(config)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if mistakes:
        print(f"{config.name} has mistakes; this is the node as it was started.", file=sys.stderr)
    return loaded


def _opened(loaded: LoadedSite) -> AbstractContextManager[tuple[Ledger, EngineClient]]:
    from contextlib import contextmanager

    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger

    @contextmanager
    def both() -> Iterator[tuple[Ledger, EngineClient]]:
        ledger = Ledger(loaded.database_url, loaded.storage)
        ledger.check()
        engine = EngineClient(loaded.database_url, patient=False)
        try:
            yield ledger, engine
        finally:
            engine.close()
            ledger.close()

    return both()


def _changing(config: Path) -> AbstractContextManager[Operations]:
    from contextlib import contextmanager

    from service.backlog.operations import Operations

    @contextmanager
    def operations() -> Iterator[Operations]:
        with _opened(_loaded(config)) as (ledger, engine):
            yield Operations(ledger, engine, getpass.getuser())

    return operations()


def _say(job: Job) -> None:
    print(f"Job {job.id} is {job.state.value}.")
    if job.state.value == "contouring":
        print("It is being contoured now and will be held when that is done.")


def _state(name: str | None) -> JobState | None:
    from service.backlog.records import JobState

    if name is None:
        return None
    try:
        return JobState(name.lower())
    except ValueError:
        known = ", ".join(JobState)
        raise typer.BadParameter(f"states are {known}", param_hint="--state") from None


def _free_bytes(loaded: LoadedSite) -> int:
    from shutil import disk_usage

    return disk_usage(loaded.storage).free
