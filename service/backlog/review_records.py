"""What the ledger keeps of structure sets that came back, and of how much of ours survived in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from service.config.evaluation_section import Measure

Approval = Literal["APPROVED", "UNAPPROVED", "REJECTED", ""]
FoundBy = Literal["sent", "query"]
MatchedBy = Literal["uid", "name", "number", "code", "synonym"]
SliceState = Literal["untouched", "edited", "added", "removed"]

GRADES: Final = ("acceptable", "minor", "major", "not-acceptable")
"""How much of a contour survived, best first."""

MEASURES: Final[tuple[str, ...]] = get_args(Measure)
"""Keys of the measures of a structure. One that does not exist is absent: no distance to an empty contour."""


@dataclass(frozen=True, slots=True)
class ReviewedSet:
    """A structure set that came to the node.

    Attributes:
        id: row in the ledger.
        received_at: seconds since the epoch.
        series_id: row of the CT that it was drawn on; None if no such CT is known.
        sender: AE title that sent the set, or that it was fetched from.
        approval: Approval Status (300E,0002), empty if absent.
        reviewer_known: it says who approved or reviewed it; who that is stands in the file alone.
        found_by: ``sent`` to us, or found by a ``query`` of ours.
        file: where it lies, relative to the storage folder; empty once it is deleted.
        sha256: of the file, hex.
        code, sentence: why it is no review, or what is odd about it.
    """

    id: int
    received_at: float
    series_id: int | None
    sender: str
    approval: str
    reviewer_known: bool
    found_by: str
    file: str
    sha256: str
    code: str | None
    sentence: str | None


@dataclass(frozen=True, slots=True)
class ReviewedStructure:
    """One structure of one of our jobs, as a reviewer left it.

    Attributes:
        id, set_id: rows in the ledger.
        job_id: whose structure set had it.
        received_at, contoured_at: seconds since the epoch.
        protocol, ct_sender: of the job.
        model: ``name@version`` that made this structure.
        is_shadow: the job's set was sent nowhere, so that nobody edited it: they drew beside it.
        structure: our TG-263 name.
        their_name, matched_by: the ROI that it was compared with and how that was found; None if none was.
        code, sentence: why it was not measured, or what is odd about it.
        measures: by the keys of ``MEASURES``; empty where there was nothing to compare.
        estimated_grade: by the rules of the configuration; None without measures.
        reader_grade: the latest that a reader gave to the whole; else the worst of single slices.
        approval: of the set.
        superseded: another review of the same structure of the same job came later and counts.
    """

    id: int
    set_id: int
    job_id: str
    received_at: float
    contoured_at: float
    protocol: str
    ct_sender: str
    model: str
    is_shadow: bool
    structure: str
    their_name: str | None
    matched_by: str | None
    code: str | None
    sentence: str | None
    measures: Mapping[str, float]
    estimated_grade: str | None
    reader_grade: str | None
    approval: str = ""
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class SliceMeasures:
    """One slice of a reviewed structure.

    Attributes:
        position_mm: of the slice along the grid's normal: its first voxel's position projected onto it. For
            a supine patient, the z of ImagePositionPatient.
        dsc: of the slice; 0 where only one of the two is there.
        added_path_mm: length that was drawn anew on the slice.
        state: ``untouched``, ``edited``, ``added`` (only the reviewer drew) or ``removed`` (only we did).
    """

    position_mm: float
    dsc: float
    added_path_mm: float
    state: SliceState


@dataclass(frozen=True, slots=True)
class NewStructure:
    """What is written down of one structure; see :class:`ReviewedStructure`."""

    job_id: str
    contoured_at: float
    protocol: str
    ct_sender: str
    model: str
    is_shadow: bool
    structure: str
    their_name: str | None = None
    matched_by: MatchedBy | None = None
    code: str | None = None
    sentence: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    slices: tuple[SliceMeasures, ...] = ()
    estimated_grade: str | None = None


@dataclass(frozen=True, slots=True)
class ReaderGrade:
    """What a reader said of a structure, or of one slice of it (``slice_position_mm``)."""

    reviewed_structure_id: int
    slice_position_mm: float | None
    grade: str
    reader: str
    at: float
