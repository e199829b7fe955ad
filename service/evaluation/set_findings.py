"""Why a structure set that came is no review of ours, or what is odd about it: stable codes and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SetFinding:
    """What is said of a whole set."""

    code: str
    sentence: str


OTHER_CT: Final = SetFinding(
    "review.other-ct",
    "The structure set refers to no CT that this node knows. It was drawn on another image, or its CT was "
    "never sent here.",
)
NOT_CONTOURED: Final = SetFinding(
    "review.not-contoured",
    "The CT that the structure set refers to was received and not contoured, so there is nothing to compare.",
)
OURS_DELETED: Final = SetFinding(
    "review.ours-deleted",
    "Our structure sets of this CT are deleted. Keep them longer: node.retention.structure_set_days.",
)
CT_DELETED: Final = SetFinding(
    "review.ct-deleted",
    "The CT was deleted, and it was contoured before the node kept where its slices lie. "
    "Send the CT again, or review sooner.",
)
OTHER_FRAME_OF_REFERENCE: Final = SetFinding(
    "review.other-frame-of-reference",
    "The structure set has another frame of reference than its CT: its coordinates mean other places. "
    "Export it in the frame of the planning CT.",
)
OTHER_PATIENT: Final = SetFinding(
    "review.other-patient",
    "The structure set has another Patient ID than the CT that it refers to, so it is not compared. Look "
    "whom it was exported for; if the number was changed at the site, send the CT again under the new one.",
)
REPLACED: Final = SetFinding(
    "review.replaced",
    "The structure set is one of ours that was replaced or given up since, or was made from it: it is of the "
    "CT as it was before. It is not compared with what we say now.",
)
OWN_SET: Final = SetFinding(
    "review.own-set",
    "This is the node's own structure set, as it was sent. It is no review.",
)
UID_REUSED: Final = SetFinding(
    "review.uid-reused",
    "The contours were changed under our SOP Instance UID, which DICOM forbids. They are compared all the "
    "same; have the planning system give what it changes a UID of its own.",
)
SET_ASIDE: Final = SetFinding(
    "review.set-aside",
    "Comparing this structure set failed in an unforeseen way. The log says where.",
)
