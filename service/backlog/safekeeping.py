"""Which instances are really here: what a sender is told that asks for storage commitment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from service.backlog.spool import hashed
from service.dicom.storage_commitment import FailureReason, Report

if TYPE_CHECKING:
    from service.backlog.commitment_records import AskedCommitment
    from service.backlog.spool import Spool


def report_on(asked: AskedCommitment, spool: Spool) -> Report:
    """Look for each instance on the disk, under its final name, and read what it says that it is.

    An instance that was received, set aside or purged is judged by what lies there now.
    """
    committed: dict[str, str] = {}
    failed: dict[str, tuple[str, int]] = {}
    files = _found(spool, {hashed(uid) for _, uid in asked.instances})
    for sop_class, uid in asked.instances:
        reason = _failure(files.get(hashed(uid)), sop_class, uid)
        if reason is None:
            committed[uid] = sop_class
        else:
            failed[uid] = (sop_class, reason)
    return Report(asked.transaction_uid, committed, failed)


def _found(spool: Spool, names: set[str]) -> dict[str, Path]:
    """Files by name without ending; one walk through the folders, however many are looked for."""
    found: dict[str, Path] = {}
    for folder in (spool.structure_sets, *spool.folders()):
        for name in names & set(_stems(folder)):
            found[name] = folder / f"{name}.dcm"
        if len(found) == len(names):
            break
    return found


def _stems(folder: Path) -> Iterable[str]:
    try:
        return [name[: -len(".dcm")] for name in os.listdir(folder) if name.endswith(".dcm")]  # noqa: PTH208 thousands of names
    except OSError:  # purged since
        return []


def _failure(file: Path | None, sop_class: str, uid: str) -> FailureReason | None:
    if file is None:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    try:
        meta = read_file_meta_info(file)
        stored = str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)
    except FileNotFoundError:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    except (OSError, InvalidDicomError, AttributeError, EOFError, ValueError):
        return FailureReason.PROCESSING_FAILURE
    if stored[1] != uid:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    return None if stored[0] == sop_class else FailureReason.CLASS_INSTANCE_CONFLICT
