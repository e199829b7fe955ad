"""A structure set as reception left it in the spool: who sent it, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydicom

from service.backlog.review_records import Approval
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.structure_set_reader import StructureSet, read_structure_set
from service.evaluation.rois import reading


@dataclass(frozen=True, repr=False)
class ReceivedSet:
    """A structure set in the spool.

    Attributes:
        name: of its file, a hash of its SOP Instance UID.
        file: where it lies.
        received_at: seconds since the epoch.
        bytes: the Part 10 file.
    """

    name: str
    file: Path
    received_at: float
    bytes: bytes

    @cached_property
    def structure_set(self) -> StructureSet:
        """As read.

        Raises:
            StructureSetInvalid: it cannot be.
        """
        return read_structure_set(self.bytes)

    def check(self) -> None:
        """Make sure that what it says of itself can be read.

        Raises:
            StructureSetInvalid: it cannot.
        """
        _ = self.approval, self.reviewer_known

    @property
    def sender(self) -> str:
        """AE title of who sent it, as reception wrote it down."""
        try:
            meta = pydicom.filereader.read_file_meta_info(self.file)
            return str(meta.get("SourceApplicationEntityTitle", "")).strip()
        except LIBRARY_ERRORS:
            return ""

    @property
    def approval(self) -> Approval:
        """Approval Status, empty if it is none that the Standard knows."""
        said = self.structure_set.approval_status
        known: tuple[Approval, ...] = ("APPROVED", "UNAPPROVED", "REJECTED")
        return next((each for each in known if each == said), "")

    @property
    def reviewer_known(self) -> bool:
        """It names who reviewed it or drew an ROI in it."""
        header = self.structure_set.header
        with reading():
            drawn_by = (item.get("ROIInterpreter") for item in header.get("RTROIObservationsSequence", []))
            return any(str(name or "").strip("^= ") for name in (header.get("ReviewerName"), *drawn_by))
