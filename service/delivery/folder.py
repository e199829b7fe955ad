"""A folder as destination: files appear in it whole, under names that say nothing of the patient."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from service.backlog.file_sets import files_of
from service.delivery import outcome
from service.delivery.on_disk import fault_of
from service.delivery.outcome import Kind, Outcome

if TYPE_CHECKING:
    from service.backlog.records import Delivery

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_WRITTEN: Final = Outcome(Kind.DONE, "delivery.written", "Written to the folder.")
_NO_FOLDER: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.no-folder",
    "The destination's folder is not there. Mount or make it; the node makes none, lest it fill another.",
    alarm=True,
)
_FOLDER_FULL: Final = Outcome(
    Kind.SLOW_RETRY, "delivery.folder-full", "The destination's folder is full. Make room there.", alarm=True
)
_NOT_WRITTEN: Final = Outcome(
    Kind.RETRY,
    "delivery.folder-unwritable",
    "The destination's folder cannot be written just now.",
    alarm=True,
)


def write(delivery: Delivery, folder: Path) -> Outcome:
    """Write what a delivery brings into ``folder``: ``JOB-KIND.dcm``, or files in ``JOB-KIND``.

    Each file is written beside its place, flushed, and given its name; of several the one that names the
    others comes last. Written again, the files are the same.
    """
    fault = fault_of(delivery.file, delivery.sop_instance_uid)
    if fault is not None:
        return fault
    is_set = delivery.file.suffix == ".json"
    sources = files_of(delivery.file) if is_set else [delivery.file]
    if not all(each.is_file() for each in sources):
        return outcome.FILE_MISSING
    if not folder.is_dir():
        return _NO_FOLDER
    name = f"{delivery.job_id}-{delivery.kind.value}"
    try:
        if is_set:
            (folder / name).mkdir(exist_ok=True)
            for source in sources:
                _copy(source, folder / name / source.name)
            _flush(folder)
        else:
            _copy(delivery.file, folder / f"{name}.dcm")
    except OSError as error:
        return _FOLDER_FULL if error.errno in _FULL else _NOT_WRITTEN
    return _WRITTEN


def _copy(source: Path, target: Path) -> None:
    """So that ``target`` is there whole or not at all."""
    part = target.with_name(f".{uuid4().hex}.part")
    try:
        with source.open("rb") as read, part.open("xb") as written:
            shutil.copyfileobj(read, written, 1024 * 1024)
            written.flush()
            os.fsync(written.fileno())
        part.replace(target)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _flush(target.parent)


def _flush(folder: Path) -> None:
    """Names in the folder survive a loss of power, where its file system lets folders be flushed."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
