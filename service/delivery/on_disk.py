"""Whether what lies on disk is what a delivery means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.filereader import read_file_meta_info

from service.backlog.file_sets import NoFileSet, instance_uid_of
from service.delivery import outcome
from service.dicom.library_errors import LIBRARY_ERRORS

if TYPE_CHECKING:
    from pathlib import Path

    from service.delivery.outcome import Outcome


def fault_of(file: Path, sop_instance_uid: str) -> Outcome | None:
    """Why the file cannot be brought anywhere; None if it is the object of that UID."""
    try:
        found = instance_uid_of(file) if file.suffix == ".json" else _uid_of(file)
    except FileNotFoundError:
        return outcome.FILE_MISSING
    except OSError:
        return outcome.FILE_UNREADABLE
    except NoFileSet:
        return outcome.FILE_UNREADABLE if file.exists() else outcome.FILE_MISSING
    except LIBRARY_ERRORS:
        return outcome.NOT_DICOM
    return None if found == sop_instance_uid else outcome.OTHER_INSTANCE


def _uid_of(file: Path) -> str:
    return str(read_file_meta_info(file).MediaStorageSOPInstanceUID)
