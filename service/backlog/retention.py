"""Deleting what has been kept long enough, or early when the storage folder is over its budget.

Nothing under way is ever deleted: a series or job that waits, is contoured, is held or is being sent keeps
all its files, and so does a series that a new slice has just reached.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.backlog.database import now
from service.backlog.ledger import Ledger
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


@dataclass(frozen=True, slots=True, repr=False)
class _Due:
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
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        node: Node,
        delete_engine_rows: Callable[[float], int] | None = None,
    ) -> None:
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
        gone = [each for each in due + early if dry_run or self._delete(each)]
        forget_before = at - self._keep.ledger_days * _DAY
        rows = self._ledger.count_rows(forget_before) if dry_run else self._ledger.delete_rows(forget_before)
        engine_rows = 0
        if self._delete_engine_rows is not None and not dry_run:
            engine_rows = self._delete_engine_rows(at - min(_ENGINE_DAYS, self._keep.ledger_days) * _DAY)
        purged = Purged(
            series=sum(each.series is not None for each in gone),
            structure_sets=sum(each.job_id is not None for each in gone),
            files=sum(each.series is None and each.job_id is None for each in gone),
            rows=rows,
            engine_rows=engine_rows,
            freed_bytes=sum(each.bytes for each in gone),
            over_budget_bytes=over,
        )
        if not dry_run and purged != Purged(over_budget_bytes=over):
            _log.info("retention.purged", count=len(gone), bytes=purged.freed_bytes)
        if over:
            _log.warning("retention.over-budget", bytes=over)
        return purged

    def _due_by_age(self, at: float) -> list[_Due]:
        ct_before = at - self._keep.ct_days * _DAY
        sets_before = at - self._keep.structure_set_days * _DAY
        due = [self._due_series(series, ct_before) for series in self._ledger.ended_series(ct_before)]
        due += [self._due_job(job_id, sets_before) for job_id in self._ledger.ended_jobs(sets_before)]
        due += _old_files(self._spool.structure_sets.glob("*.dcm"), sets_before)
        due += _old_files(self._spool.set_aside.rglob("*.dcm"), ct_before)
        due += _old_files(self._spool.storage.rglob(".*.part"), at - _BROKEN_OFF_SECONDS)
        return due

    def _due_by_budget(self, at: float, due: list[_Due]) -> tuple[list[_Due], int]:
        """What must go early, the oldest first, and by how many bytes that is not enough."""
        if self._budget_gb is None:
            return [], 0
        over = size([self._spool.storage]) - sum(each.bytes for each in due) - int(self._budget_gb * _GB)
        before = at - _YOUNGEST_SECONDS
        known = {each.series.id for each in due if each.series} | {each.job_id for each in due if each.job_id}
        early: list[_Due] = []
        for candidate in self._early(before):
            if over <= 0:
                break
            if (candidate.series.id if candidate.series else candidate.job_id) not in known:
                early.append(candidate)
                over -= candidate.bytes
        return early, max(0, over)

    def _early(self, before: float) -> Iterator[_Due]:
        """Series first, for they are large and can be sent again; never one that a person must look at."""
        for series in self._ledger.ended_series(before):
            if not series.failed:
                yield self._due_series(series, before)
        for job_id in self._ledger.ended_jobs(before, failed=False):
            yield self._due_job(job_id, before)

    def _due_series(self, series: EndedSeries, before: float) -> _Due:
        return _Due((series.folder,), size([series.folder]), before, series=series)

    def _due_job(self, job_id: str, before: float) -> _Due:
        folder = self._spool.jobs / job_id
        return _Due((folder,), size([folder]), before, job_id=job_id)

    def _delete(self, due: _Due) -> bool:
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
        return True

    def _finish_interrupted(self) -> None:
        """Go on where a purge was broken off between marking, moving away and deleting."""
        for moved in self._spool.purging.iterdir():
            name, _, newest = moved.name.partition(".")
            self._delete_moved(moved, self._spool.incoming / name, float(newest or 0))
        for folder, last_at in self._ledger.purged_series_folders():
            if folder.is_dir():
                self._remove_folder(folder, last_at + _CLOCKS_SECONDS)

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
    """Purge every now and then until ``stop``; the body of a thread."""
    while not stop.wait(every_seconds):
        try:
            retention.purge()
        except Exception as error:  # noqa: BLE001 the loop body of this thread
            _log.failure("retention.failed", error)


def _old_files(files: Iterable[Path], before: float) -> list[_Due]:
    old = [file for file in files if file.stat().st_mtime < before]
    return [_Due((file,), size([file]), before) for file in old]


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
