"""Deleting on a person's word what the node holds of a job, of a patient, or of all that has ended long ago.

As in retention nothing under way is deleted. Files are unlinked, their folders removed, and the ledger's rows
no longer say whose they were; what was done stays on record without it. What a file system or a disk keeps of
an unlinked file is not ours to reach: encrypt the disk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pydicom

from service.backlog.database import now
from service.backlog.ledger import Ledger
from service.backlog.retention import Purged, Retention, old_files
from service.backlog.spool import Spool
from service.dicom.library_errors import LIBRARY_ERRORS
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = EventLog("retention")
_EVERYTHING: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted, or in a dry run would be.

    Attributes:
        purged: series, structure sets, files, and how large they are.
        cleared: rows that no longer say whose they are; not counted in a dry run.
        under_way: series that wait, are contoured, held or sent: nothing of them was touched.
    """

    purged: Purged
    cleared: int
    under_way: int


class Erasure:
    """Deletes what a person names. ``dry_run`` says the same and deletes nothing."""

    def __init__(self, ledger: Ledger, spool: Spool, retention: Retention, who: str | None = None) -> None:
        self._ledger = ledger
        self._who = who
        self._spool = spool
        self._retention = retention

    def of_patient(self, patient_id: str, *, dry_run: bool = False) -> Erased:
        """Everything of the patient with this PatientID, whatever state of ended it is in."""
        series = self._ledger.series_of_patient(patient_id)
        for series_id, name in self._ledger.series_of_nobody().items():
            if _is_of(patient_id, (self._spool.incoming / name).glob("*.dcm")):
                series.add(series_id)
        folders = [self._spool.set_aside / name for name in self._ledger.folder_names(series)]
        files = [file for folder in folders for file in folder.glob("*.dcm")]
        alone = (*self._spool.structure_sets.glob("*.dcm"), *self._spool.set_aside.glob("**/*.dcm"))
        files += [file for file in alone if file not in files and _is_of(patient_id, [file])]
        return self._erase(series, self._ledger.jobs_on_disk(series), files, dry_run=dry_run)

    def of_job(self, job_id: str, *, dry_run: bool = False) -> Erased:
        """A job's structure sets, and its CT unless another job of the CT still has its own.

        Raises:
            LedgerRefused: there is no such job.
        """
        job = self._ledger.job(job_id)
        jobs = self._ledger.jobs_on_disk({job.series_id})
        series = set() if jobs.keys() - {job_id} else {job.series_id}
        own = {each: its for each, its in jobs.items() if each == job_id}
        return self._erase(series, own, [], dry_run=dry_run)

    def older_than(self, days: float, *, dry_run: bool = False) -> Erased:
        """CTs and structure sets alike that have not changed for so many days."""
        before = now() - days * 86400
        series = {each.id for each in self._ledger.ended_series(before)}
        jobs = dict.fromkeys(self._ledger.ended_jobs(before), 0)
        files = [path for each in old_files(self._loose(), before) for path in each.paths]
        return self._erase(series, jobs, files, before=before, dry_run=dry_run)

    def _loose(self) -> Iterable[Path]:
        yield from self._spool.structure_sets.glob("*.dcm")
        yield from self._spool.set_aside.rglob("*.dcm")

    def _erase(
        self,
        series: Collection[int],
        jobs: dict[str, int],
        files: Collection[Path],
        *,
        before: float | None = None,
        dry_run: bool,
    ) -> Erased:
        is_by_age, before = before is not None, now() + 1 if before is None else before
        ended = self._ledger.ended_among(series, before)
        gone = set(self._ledger.ended_jobs(before))
        due = [self._retention.due_series(each, before) for each in ended]
        due += [self._retention.due_job(job_id, before) for job_id in jobs if job_id in gone]
        due += old_files(files, _EVERYTHING)
        purged = self._retention.delete(due, dry_run=dry_run)
        busy = {jobs[job_id] for job_id in jobs if job_id not in gone}
        busy |= set(series) - {each.id for each in ended} - self._ledger.purged_among(series)
        if dry_run:
            return Erased(purged, 0, len(busy))
        of = None if is_by_age else {*series, *jobs.values()}
        cleared = self._ledger.clear_identity(before, of, self._who)
        self._ledger.scrub(thorough=True)
        _log.info("retention.erased", count=len(due), bytes=purged.freed_bytes)
        return Erased(replace(purged, rows=0), cleared, len(busy))


def _is_of(patient_id: str, files: Iterable[Path]) -> bool:
    """Whether the first of the files that can be read is of the patient."""
    for file in files:
        try:
            ds = pydicom.dcmread(file, specific_tags=["PatientID"], stop_before_pixels=True, force=True)
            return str(ds.get("PatientID") or "").strip() == patient_id
        except LIBRARY_ERRORS as error:  # the next one may tell
            _log.failure("retention.file-unreadable", error)
    return False
