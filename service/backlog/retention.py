"""Deleting what has been kept long enough, or early when the storage folder is over its budget.

Nothing under way is ever deleted: a series or job that waits, is contoured, is held or is being sent keeps
all its files, and so does a series that a new slice has just reached.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.backlog.database import now
from service.backlog.ledger import Ledger, LedgerRefused
from service.backlog.ledger_retention import EndedSeries
from service.backlog.spool import Spool
from service.log import EventLog

if TYPE_CHECKING:
    from service.config.site import Node

_log = EventLog("retention")
_DAY: Final = 86400.0
_GB: Final = 1e9
_YOUNGEST_SECONDS: Final = 3600.0  # what ended later is never deleted early: a late slice may still come
_BROKEN_OFF_SECONDS: Final = _DAY  # a part file that old was left by a process that died
_CLOCKS_SECONDS: Final = 60.0  # by which a file's time may differ from the recorded time of its arrival
_BUDGET_SECONDS: Final = 60.0
_ENGINE_DAYS: Final = 30.0  # finished rows of the engine say nothing that the ledger does not


@dataclass(frozen=True, slots=True)
class Purged:
    """What was deleted, or in a dry run would be.

    Attributes:
        series: received series whose instances went.
        structure_sets: jobs whose structure sets went.
        files: received structure sets, files set aside and remains of broken-off transfers.
        rows: series that the ledger has forgotten.
        engine_rows: finished rows of the engine; not counted in a dry run.
        freed_bytes: size of the files.
        over_budget_bytes: by how much the storage folder is still over its budget.
    """

    series: int = 0
    structure_sets: int = 0
    files: int = 0
    rows: int = 0
    engine_rows: int = 0
    freed_bytes: int = 0
    over_budget_bytes: int = 0

    @property
    def count(self) -> int:
        """Series, jobs and files together."""
        return self.series + self.structure_sets + self.files


@dataclass(frozen=True, slots=True, repr=False)
class Due:
    """Something to delete: what of it, unless it has changed since ``before``."""

    paths: tuple[Path, ...]
    bytes: int
    before: float
    series: EndedSeries | None = None
    job_id: str | None = None


class Retention:
    """Applies ``node.retention`` and ``node.disk``.

    Args:
        ledger: what has ended, and when.
        spool: where the files are.
        node: the limits.
        delete_engine_rows: :meth:`EngineClient.delete_finished`; None leaves the engine alone.
        review_days: how long structure sets that are reviews of ours are kept (``evaluation.keep_days``).
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        node: Node,
        delete_engine_rows: Callable[[float], int] | None = None,
        *,
        review_days: float = 365,
    ) -> None:
        self._review_days = review_days
        self._ledger = ledger
        self._spool = spool
        self._keep = node.retention
        self._budget_gb = node.disk.budget_gb
        self._delete_engine_rows = delete_engine_rows

    def purge(self, *, dry_run: bool = False, at: float | None = None) -> Purged:
        """Delete what is due at ``at`` (seconds since the epoch, default now)."""
        at = now() if at is None else at
        if not dry_run:
            self._finish_interrupted()
        due = self._due_by_age(at)
        early, over = self._due_by_budget(at, due)
        purged = self.delete(due + early, dry_run=dry_run)
        forget_before = at - self._keep.ledger_days * _DAY
        rows = self._ledger.count_rows(forget_before) if dry_run else self._ledger.delete_rows(forget_before)
        purged = replace(purged, rows=rows, over_budget_bytes=over)
        if dry_run:
            return purged
        if self._delete_engine_rows is not None:
            before = at - min(_ENGINE_DAYS, self._keep.ledger_days) * _DAY
            purged = replace(purged, engine_rows=self._delete_engine_rows(before))
        cleared = self._ledger.clear_identity(at - self._keep.patient_days * _DAY)
        if cleared or purged != Purged(over_budget_bytes=over):
            _log.info("retention.purged", count=purged.count, bytes=purged.freed_bytes)
            self._scrub()
        self._tell_budget(over)
        return purged

    def keep_to_budget(self) -> int:
        """Delete early what the budget demands, and nothing else; by how many bytes it is still exceeded."""
        if self._budget_gb is None:
            self._tell_budget(0)
            return 0
        early, over = self._due_by_budget(now(), [])
        if early:
            purged = self.delete(early, dry_run=False)
            _log.info("retention.purged", count=purged.count, bytes=purged.freed_bytes)
        self._tell_budget(over)
        return over

    def delete(self, due: Iterable[Due], *, dry_run: bool) -> Purged:
        """Delete what has not changed since it was found; what that was."""
        gone = [each for each in due if dry_run or self._delete(each)]
        return Purged(
            series=sum(each.series is not None for each in gone),
            structure_sets=sum(each.job_id is not None for each in gone),
            files=sum(each.series is None and each.job_id is None for each in gone),
            freed_bytes=sum(each.bytes for each in gone),
        )

    def _tell_budget(self, over: int) -> None:
        """The receiver looks whether the file is there: then it takes no more (0xA700)."""
        if over:
            _log.warning("retention.over-budget", bytes=over)
            self._spool.over_budget.touch(mode=0o600)
        else:
            self._spool.over_budget.unlink(missing_ok=True)

    def _scrub(self) -> None:
        try:
            self._ledger.scrub(thorough=False)
        except LedgerRefused as refused:  # it is tried again with the next purge
            _log.warning(refused.code)

    def _due_by_age(self, at: float) -> list[Due]:
        ct_before = at - self._keep.ct_days * _DAY
        sets_before = at - self._keep.structure_set_days * _DAY
        due = [self.due_series(series, ct_before) for series in self._ledger.ended_series(ct_before)]
        due += [self.due_job(job_id, sets_before) for job_id in self._ledger.ended_jobs(sets_before)]
        due += self._due_received_sets(sets_before, at - self._review_days * _DAY)
        due += old_files(self._spool.set_aside.rglob("*.dcm"), ct_before)
        due += old_files(self._spool.storage.rglob(".*.part"), at - _BROKEN_OFF_SECONDS)
        return due

    def _due_received_sets(self, sets_before: float, reviews_before: float) -> list[Due]:
        """Structure sets that were sent to us; those that are reviews have a time of their own."""
        reviews = {file.name: came_at for file, came_at in self._ledger.kept_reviews().items()}
        every = {file.name: file for file in self._spool.structure_sets.glob("*.dcm")}
        due = old_files((file for name, file in every.items() if name not in reviews), sets_before)
        old = (file for name, file in every.items() if reviews.get(name, reviews_before) < reviews_before)
        return due + old_files(old, reviews_before)

    def _due_by_budget(self, at: float, due: list[Due]) -> tuple[list[Due], int]:
        """What must go early, the oldest first, and by how many bytes that is not enough."""
        if self._budget_gb is None:
            return [], 0
        over = size([self._spool.storage]) - sum(each.bytes for each in due) - int(self._budget_gb * _GB)
        before = at - _YOUNGEST_SECONDS
        known = {each.series.id for each in due if each.series} | {each.job_id for each in due if each.job_id}
        early: list[Due] = []
        for candidate in self._early(before):
            if over <= 0:
                break
            if (candidate.series.id if candidate.series else candidate.job_id) not in known:
                early.append(candidate)
                over -= candidate.bytes
        return early, max(0, over)

    def _early(self, before: float) -> Iterator[Due]:
        """Series first, for they are large and can be sent again; never one that a person must look at."""
        for series in self._ledger.ended_series(before):
            if not series.failed:
                yield self.due_series(series, before)
        for job_id in self._ledger.ended_jobs(before, failed=False):
            yield self.due_job(job_id, before)

    def due_series(self, series: EndedSeries, before: float) -> Due:
        """A series' instances."""
        return Due((series.folder,), size([series.folder]), before, series=series)

    def due_job(self, job_id: str, before: float) -> Due:
        """A job's structure sets."""
        folder = self._spool.jobs / job_id
        return Due((folder,), size([folder]), before, job_id=job_id)

    def _delete(self, due: Due) -> bool:
        if due.series is not None:
            if not self._ledger.mark_series_purged(due.series.id, due.before):
                return False
            self._remove_folder(due.series.folder, due.series.last_at + _CLOCKS_SECONDS)
            return True
        if due.job_id is not None and not self._ledger.mark_job_purged(due.job_id, due.before):
            return False
        for path in due.paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
                self._ledger.reviewed_file_gone(path)
                self._remove_if_empty(path.parent)
        return True

    def _remove_if_empty(self, folder: Path) -> None:
        if folder.parent == self._spool.set_aside:
            with suppress(OSError):  # something else lies there
                folder.rmdir()

    def _finish_interrupted(self) -> None:
        """Go on where a purge was broken off between marking, moving away and deleting."""
        for moved in self._spool.purging.iterdir():
            name, _, newest = moved.name.partition(".")
            self._delete_moved(moved, self._spool.incoming / name, float(newest or 0))
        for folder, last_at in self._ledger.purged_series_folders():
            if folder.is_dir():
                self._remove_folder(folder, last_at + _CLOCKS_SECONDS)
        for folder in self._spool.jobs.iterdir():
            if self._ledger.is_purged_job(folder.name):
                shutil.rmtree(folder)

    def _remove_folder(self, folder: Path, newest: float) -> None:
        """Move a series out of the receiver's sight, make sure that nothing came meanwhile, and delete it."""
        moved = self._spool.purging / f"{folder.name}.{int(newest)}"
        try:
            folder.rename(moved)
        except FileNotFoundError:
            return
        self._delete_moved(moved, folder, newest)

    def _delete_moved(self, moved: Path, folder: Path, newest: float) -> None:
        if any(file.stat().st_mtime > newest + 1 for file in moved.iterdir()):
            folder.mkdir(mode=0o700, exist_ok=True)
            for file in moved.iterdir():
                if not (folder / file.name).exists():
                    file.rename(folder / file.name)
            _log.warning("retention.put-back", series=folder.name)
        shutil.rmtree(moved)


def keep_purging(retention: Retention, stop: threading.Event, every_seconds: float = 3600.0) -> None:
    """Purge every now and then until ``stop``, and look at the budget more often; the body of a thread."""
    next_at = time.monotonic() + every_seconds
    while not stop.wait(min(_BUDGET_SECONDS, every_seconds)):
        try:
            if time.monotonic() < next_at:
                retention.keep_to_budget()
                continue
            next_at = time.monotonic() + every_seconds
            retention.purge()
        except Exception as error:  # noqa: BLE001 the loop body of this thread
            _log.failure("retention.failed", error)


def old_files(files: Iterable[Path], before: float) -> list[Due]:
    """Those of the files that were last changed before then."""
    old = [file for file in files if file.stat().st_mtime < before]
    return [Due((file,), size([file]), before) for file in old]


def size(paths: Iterable[Path]) -> int:
    """Bytes of files and of everything in folders; what is not there counts nothing."""
    total = 0
    for path in paths:
        if path.is_dir():
            for folder, _, names in os.walk(path):
                total += size(Path(folder) / name for name in names)
        elif path.exists():
            total += path.stat().st_size
    return total
