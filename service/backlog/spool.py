"""Received instances as files: in the spool before the sender hears success, found again after any crash.

An instance is written beside its place, flushed to the disk, put into it, and the folder flushed, in that
order; a process that receives many waits for the disk less often, by a landing. Folders and files are named
by a hash of the UID, so that no UID and no value of a patient is ever a path.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

from service.backlog.landing import Data, Landing, Place, flush_folder, write_all
from service.backlog.same_content import holds_data_set
from service.errors import SpoolUnavailable
from service.log import EventLog

Outcome = Literal["new", "duplicate", "conflict"]

_TRIES: Final = 3
_NO_HARD_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without them say


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """Where an instance lies now and whether it was known.

    Attributes:
        file: the instance; of a conflict, the copy set aside; of a duplicate, the one that was there.
        outcome: new; duplicate, the same data set was there; conflict, another one of the same UID was.
    """

    file: Path
    outcome: Outcome


_log = EventLog("spool")


def hashed(uid: str) -> str:
    """The name under which a UID appears on disk: 32 hex digits."""
    return hashlib.sha256(uid.encode("ascii", "backslashreplace")).hexdigest()[:32]


def write_durably(path: Path, data: Data | Sequence[Data]) -> None:
    """Write a file so that after a crash it is there whole or not at all.

    Raises:
        SpoolUnavailable: the disk is full, read-only or failing.
    """
    parts = [data] if isinstance(data, bytes | bytearray | memoryview) else list(data)
    try:
        part = _write_part(path.parent, parts)
        part.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise _unavailable(error) from None


def write_once(path: Path, data: Data | Sequence[Data]) -> bool:
    """The same, unless there is such a file, which stays as it is: another process may be writing it too.

    Returns:
        Whether the file is ours.

    Raises:
        SpoolUnavailable: the disk is full, read-only or failing.
    """
    parts = [data] if isinstance(data, bytes | bytearray | memoryview) else list(data)
    try:
        part = _write_part(path.parent, parts)
        is_ours = _linked(part, path)
        flush_folder(path.parent)
    except OSError as error:
        raise _unavailable(error) from None
    return is_ours


def _linked(part: Path, path: Path) -> bool:
    """Give a part file its name, which unlike a rename never replaces what another put there meanwhile."""
    try:
        os.link(part, path)
    except FileExistsError:
        part.unlink()
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        part.replace(path)
    else:
        part.unlink()
    return True


class Spool:
    """The storage folder's ``spool`` and ``jobs``; a file ``over_budget`` is there while it is too large."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.incoming = storage / "spool" / "incoming"
        self.set_aside = storage / "spool" / "set-aside"
        self.structure_sets = storage / "spool" / "structure-sets"
        self.purging = storage / "spool" / "purging"
        self.jobs = storage / "jobs"
        self.over_budget = storage / "over-budget"
        self._landing: Landing | None = None
        try:
            for folder in (self.incoming, self.set_aside, self.structure_sets, self.purging, self.jobs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unavailable(error) from None

    def series_folder(self, series_instance_uid: str) -> Path:
        """Where a series' instances lie; not created."""
        return self.incoming / hashed(series_instance_uid)

    def instance_file(self, series_instance_uid: str, sop_instance_uid: str) -> Path:
        """Where an instance lies or would lie."""
        return self.series_folder(series_instance_uid) / f"{hashed(sop_instance_uid)}.dcm"

    def job_folder(self, job_id: str) -> Path:
        """Where a job's files lie; created.

        Raises:
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        folder = self.jobs / job_id
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unavailable(error) from None
        return folder

    def folders(self) -> Iterator[Path]:
        """The folders of all series."""
        with os.scandir(self.incoming) as entries:
            yield from sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))

    def free_bytes(self) -> int:
        """Space that is left for us."""
        return shutil.disk_usage(self.storage).free

    def open_landing(self) -> int:
        """Receive by a landing from now on; how many instances that a dead process had there got their place.

        Raises:
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        landing = Landing(self.storage / "spool" / "landing", self.incoming)
        try:
            landing.open()
            self._landing = landing
        except OSError as error:  # a file system that does not lock: then it is waited for twice
            _log.failure("spool.no-landing", error)
        try:
            return landing.take_over()
        except OSError as error:
            raise _unavailable(error) from None

    def settle(self) -> None:
        """What was received has its final name on the disk when this returns, unless the disk is failing."""
        if self._landing is not None:
            with suppress(OSError):  # the landing keeps it, and the next C-STORE says so
                self._landing.settle()

    def close_landing(self) -> None:
        """Receive no more by a landing."""
        if self._landing is not None:
            with suppress(OSError):
                self._landing.close()
            self._landing = None

    def store(self, series_instance_uid: str, sop_instance_uid: str, parts: Sequence[Data]) -> Stored:
        """Keep a Part 10 file, given in parts; when this returns it survives a loss of power.

        Raises:
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        target = self.instance_file(series_instance_uid, sop_instance_uid)
        return self._keep(target, self.set_aside / target.parent.name, parts, self._landing)

    def store_structure_set(self, sop_instance_uid: str, parts: Sequence[Data]) -> Stored:
        """Keep a received RTSTRUCT, with the same promise and outcomes as :meth:`store`."""
        return self._keep(self.structure_sets / f"{hashed(sop_instance_uid)}.dcm", self.set_aside, parts)

    def _keep(
        self, target: Path, aside: Path, parts: Sequence[Data], landing: Landing | None = None
    ) -> Stored:
        try:
            for _ in range(_TRIES):
                try:
                    return _keep_once(target, aside, parts, landing)
                except FileNotFoundError:
                    continue  # the folder was purged between our steps: begin again
            return _keep_once(target, aside, parts, landing)
        except OSError as error:
            raise _unavailable(error) from None


def _keep_once(target: Path, aside: Path, parts: Sequence[Data], landing: Landing | None = None) -> Stored:
    if target.exists():
        return _compare(target, aside, parts)
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flush_folder(target.parent.parent)
    landed = landing.land(Place(target.parent.name, target.stem), parts) if landing is not None else None
    if landing is not None and landed is not None:
        return _placed(target, aside, parts, landing, landed)
    if not _linked(_write_part(target.parent, parts), target):
        return _compare(target, aside, parts)
    flush_folder(target.parent)
    return Stored(target, "new")


def _placed(target: Path, aside: Path, parts: Sequence[Data], landing: Landing, landed: Path) -> Stored:
    """What has landed, under its second name."""
    try:
        os.link(landed, target)
    except OSError as error:
        if isinstance(error, FileExistsError):
            landed.unlink()
            return _compare(target, aside, parts)
        if error.errno not in _NO_HARD_LINKS:
            landed.unlink()
            raise
        landed.replace(target)
        flush_folder(target.parent)
    else:
        landing.placed(landed, target)
    return Stored(target, "new")


def _compare(known: Path, aside: Path, parts: Sequence[Data]) -> Stored:
    if holds_data_set(known, parts):
        os.utime(known)  # it has arrived again: a purge that is under way must not take it away
        flush_folder(known.parent)  # the one that wrote it may not have come so far yet
        return Stored(known, "duplicate")
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = _write_part(aside, parts)
    place = aside
    for count in itertools.count(1):
        place = aside / f"{known.stem}-{count}.dcm"
        if not place.exists():
            part.replace(place)
            flush_folder(aside)
            break
        if holds_data_set(place, parts):
            part.unlink()
            break
    return Stored(place, "conflict")


def _write_part(folder: Path, parts: Sequence[Data]) -> Path:
    part = folder / f".{uuid4().hex}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, parts)
        os.fsync(descriptor)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return part


def _unavailable(error: OSError) -> SpoolUnavailable:
    reason = os.strerror(error.errno or 0)
    sentence = f"The storage folder cannot be written ({reason}). Free space or mend the disk."
    return SpoolUnavailable("spool.unavailable", sentence)
