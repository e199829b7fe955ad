"""What came of a run: how many CT were contoured, refused and why, which rows were not found. No patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.backlog.records import JobState, SeriesState
from service.backlog.trial_names import is_trial

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.records import Job
    from service.retrieval.choices import RowResult

CONTOURED: Final = "contoured"
WAITING: Final = "waiting to be contoured"
_GOOD: Final = (CONTOURED, WAITING)
_HELD: Final = "held for a person"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has done.

    Attributes:
        rows: how many were looked at; found: that are done; earlier: that were done by an earlier run.
        pulled, here: CT pulled now, and those that were here already.
        images: that came now.
        outcomes: what became of the CT, by what is said of it, several for one with several protocols.
        troubles: rows that are not done, by code.
        sentences: by code, what it means.
    """

    rows: int
    done: int
    earlier: int
    pulled: int
    here: int
    images: int
    outcomes: Mapping[str, int]
    troubles: Mapping[str, Sequence[int]]
    sentences: Mapping[str, str]

    @property
    def good(self) -> bool:
        """Every row was found, and every CT is contoured or going to be."""
        return not self.troubles and all(said in _GOOD for said in self.outcomes)


def report(ledger: Ledger, results: Sequence[RowResult], protocol: str | None) -> Report:
    """The report of a run, by the ledger as it stands."""
    outcomes: Counter[str] = Counter()
    for number in sorted({number for result in results for number in result.series}):
        outcomes.update(_outcomes(ledger, number, protocol))
    troubles: dict[str, list[int]] = {}
    sentences: dict[str, str] = {}
    for result in results:
        if result.code is not None:
            troubles.setdefault(result.code, []).append(result.row)
            sentences.setdefault(result.code, result.sentence or "")
    return Report(
        rows=len(results),
        done=sum(result.code is None for result in results),
        earlier=sum(result.earlier for result in results),
        pulled=sum(result.pulled for result in results),
        here=sum(result.here for result in results),
        images=sum(result.images for result in results),
        outcomes=dict(outcomes.most_common()),
        troubles=troubles,
        sentences=sentences,
    )


def _outcomes(ledger: Ledger, series_id: int, protocol: str | None) -> Iterator[str]:
    series = ledger.series(series_id)
    jobs: dict[str, Job] = {}
    for job in ledger.jobs_of_series(series.series_instance_uid):  # newest first
        if not is_trial(job.protocol) and protocol in (None, job.protocol):
            jobs.setdefault(job.protocol, job)
    if not jobs:
        named = {SeriesState.REFUSED: "refused", SeriesState.COLLECTING: "not complete"}
        yield f"{named.get(series.state, 'not contoured')}: {series.code or series.state.value}"
    for job in jobs.values():
        yield _outcome(job)


def _outcome(job: Job) -> str:
    if job.state in (JobState.DONE, JobState.DELIVERING):
        return CONTOURED
    if job.state in (JobState.QUEUED, JobState.CONTOURING):
        return WAITING
    if job.state is JobState.HELD:
        return f"{CONTOURED}, {_HELD}" if job.contoured else f"{_HELD}: {job.code or 'held'}"
    return f"{job.state.value}: {job.code or '-'}"
