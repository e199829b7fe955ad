"""Trying a protocol on a CT that is stored: contoured as ever, seen by people, sent to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.arrival.localizers import separate
from service.arrival.series_headers import headers_of
from service.backlog.database import LedgerRefused
from service.backlog.engine import CONTOUR, EngineClient
from service.backlog.ledger import Ledger, contour_key
from service.backlog.records import JobState, Mode, SeriesState
from service.backlog.trial_names import configured_name, is_trial, trial_name
from service.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from service.backlog.records import Job, RecordedSeries
    from service.config.reader import LoadedSite

LAST: Final = 1000
"""Priority of a trial: the clinic's CT come before it."""
_UNDER_WAY: Final = (JobState.QUEUED, JobState.CONTOURING, JobState.HELD)


def try_protocol(
    loaded: LoadedSite, ledger: Ledger, engine: EngineClient, series_row: int, protocol: str, who: str
) -> Job:
    """Submit a job of mode shadow without destinations; again only once the one before has ended.

    Raises:
        ModelRefused: the configuration has no such protocol.
        LedgerRefused: there is no such series, it is not complete or was purged, or a trial is under way.
        SeriesRefused: a file of the series cannot be read.
    """
    if loaded.protocol(protocol) is None:
        sentence = "The configuration has no protocol of that name. Choose one that it has."
        raise ModelRefused("protocol.unknown", sentence)
    files = _slices(loaded, ledger.series(series_row))
    with ledger.begin() as conn:
        series = ledger.locked_series(conn, series_row)
        jobs = [
            job for job in ledger.jobs_of_series(series.series_instance_uid, conn) if is_trial(job.protocol)
        ]
        trials = [job for job in jobs if configured_name(job.protocol) == protocol]
        going_on = next((job for job in trials if job.state in _UNDER_WAY), None)
        if going_on is not None:
            refusal = f"Job {going_on.id} tries this protocol on this CT just now. See that one."
            raise LedgerRefused("trial.under-way", refusal)
        ledger.save_config(conn, loaded.version, loaded.text)
        job = ledger.create_job(
            conn,
            series_id=series_row,
            protocol=trial_name(protocol, len(trials) + 1),
            destinations=(),
            mode=Mode.SHADOW,
            priority=LAST,
            files=files,
            config_version=loaded.version,
        )
        ledger.add_event(conn, job_id=job.id, series_id=series_row, code="job.trial", who=who)
        engine.submit(conn, CONTOUR, contour_key(job.id), job.id, priority=job.priority)
    return job


def _slices(loaded: LoadedSite, series: RecordedSeries) -> Sequence[Path]:
    """The slices of the CT, without its localizers."""
    if series.state is SeriesState.COLLECTING:
        raise LedgerRefused(
            "series.not-complete", "Images of this CT still arrive. Try it when it is complete."
        )
    found = sorted(series.folder.glob("*.dcm"))
    if series.purged_at is not None or not found:
        raise LedgerRefused("ct.purged", "This CT was purged. Send it again to try a protocol on it.")
    slices, _ = separate(headers_of(found, loaded))
    if not slices:
        raise LedgerRefused("series.only-localizers", "The series holds localizers only; choose another CT.")
    return [found[index] for index in slices]
